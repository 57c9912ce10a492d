"""EmoDB, the Berlin database of emotional speech: read the release.

The corpus is described by Burkhardt et al. (2005), Interspeech, pp. 1517-1520. A file
name such as ``03a01Wa`` is the speaker (03), the sentence (a01), the emotion (W, from
the German word) and the take (a).
"""

import re
from collections.abc import Mapping
from pathlib import Path

from ser_lib.audio import audio_duration_s
from ser_lib.corpora.manifest import Utterance
from ser_lib.corpora.release import (
    audio_by_name,
    check_speakers,
    find_release,
    wrong_names,
)

EMOTIONS = {
    "W": "anger",  # Wut
    "L": "boredom",  # Langeweile
    "E": "disgust",  # Ekel
    "A": "fear",  # Angst
    "F": "happiness",  # Freude
    "T": "sadness",  # Trauer
    "N": "neutral",
}
SENTENCES = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes "
    "besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
WOMEN = ("08", "09", "13", "14", "16")  # the other five speakers are men
_NAME = re.compile(
    rf"(?P<speaker>\d\d)(?P<sentence>{'|'.join(SENTENCES)})"
    rf"(?P<emotion>[{''.join(EMOTIONS)}])(?P<take>[a-z])"
)


def read_corpus(data_folder: str | Path, corpus: Mapping) -> list[Utterance]:
    """Read the 535 recordings of EmoDB.

    Arguments
    ---------
    data_folder : str | Path
        The unpacked archive, which holds ``wav``, or the folder ``wav`` itself.
    corpus : Mapping
        The ``corpus`` block of ``recipes/EmoDB/corpus.yaml``: ``name``, ``speakers``,
        ``how_to_get`` and ``sample_rate_hz``.

    Returns
    -------
    list[Utterance]
        Sorted by name, such as ``03a01Wa``.

    Raises
    ------
    FileNotFoundError
        If the folder holds something else.
    ValueError
        If a file has another name or cannot be read, occurs twice, or a speaker is
        missing.
    """
    folder = find_release(
        data_folder,
        corpus,
        "wav/03a01Wa.wav",
        lambda path: any(path.glob("wav/03a0*")) or any(path.glob("03a0*")),
    )
    folder = folder / "wav" if (folder / "wav").is_dir() else folder
    files = audio_by_name(folder, corpus)
    wrong = [name for name in files if not _NAME.fullmatch(name)]
    if wrong:
        raise wrong_names(wrong, "speaker, sentence, emotion, take: 03a01Wa", corpus)
    utterances = [_utterance(path, data_folder, corpus) for path in files.values()]
    check_speakers(utterances, corpus)
    return utterances


def _utterance(path: Path, data_folder: str | Path, corpus: Mapping) -> Utterance:
    name = _NAME.fullmatch(path.stem)
    return Utterance(
        id=path.stem,
        path=path.relative_to(data_folder).as_posix(),
        label=EMOTIONS[name["emotion"]],
        speaker=name["speaker"],
        duration_s=audio_duration_s(path, corpus["sample_rate_hz"]),
        text=SENTENCES[name["sentence"]],
        attributes={"gender": "female" if name["speaker"] in WOMEN else "male"},
    )
