"""The files of a new corpus, ready to be filled in; see CONTRIBUTING.md.

What they hold works at once on files named like ``anna_angry_01.wav``. Lines marked
TODO are those to change.
"""

import keyword
import re
from pathlib import Path
from string import Template

PARSER = '''\
"""$name (TODO: address): read the release.

TODO: the paper. A file name such as ``anna_angry_01`` is the speaker, the emotion and
the take.

Example
-------
>>> import soundfile
>>> path = Path(getfixture("tmp_path")) / "anna_angry_01.wav"  # TODO, and below
>>> soundfile.write(path, [0.0] * 16000, 16000)
>>> corpus = {"name": "$name", "how_to_get": "", "sample_rate_hz": 16000}
>>> read_corpus(path.parent, corpus | {"speakers": ["anna"]})[0].label
'angry'
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

_NAME = re.compile(r"(?P<speaker>[a-z]+)_(?P<label>[a-z]+)_(?P<take>\\d+)")  # TODO


def read_corpus(data_folder: str | Path, corpus: Mapping) -> list[Utterance]:
    """Read the recordings of $name, sorted by name.

    Raises
    ------
    FileNotFoundError, ValueError
        If the folder holds something else, or the release is not complete.
    """
    looked_for, pattern = "anna_angry_01.wav", "*_*_*.*"  # TODO
    folder = find_release(
        data_folder, corpus, looked_for, lambda path: any(path.glob(pattern))
    )
    files = audio_by_name(folder, corpus)
    names = {name: _NAME.fullmatch(name) for name in files}
    if wrong := [name for name, match in names.items() if match is None]:
        raise wrong_names(wrong, looked_for, corpus)
    utterances = [
        Utterance(
            id=name,
            path=files[name].relative_to(folder).as_posix(),
            label=match["label"],  # TODO, if it is a code
            speaker=match["speaker"],
            duration_s=audio_duration_s(files[name], corpus["sample_rate_hz"]),
        )
        for name, match in names.items()
    ]
    check_speakers(utterances, corpus)
    return utterances
'''

CORPUS = """\
# $name: labels, protocol, parser and folds. See README.md for details.

corpus:
  name: $name
  licence: TODO
  source: TODO
  how_to_get: TODO say where to download it.
  citation: TODO
  sample_rate_hz: 16000  # as the encoders expect; files are resampled when read
  speakers: [anna, bela, carl, dora]  # TODO
  labels: [angry, happy, neutral, sad]  # TODO, and recipes/labels.yaml
  counts: {angry: 8, happy: 8, neutral: 8, sad: 8}  # TODO
  min_duration_s: 0.2
  # What two parts of a fold may share; anything else stops the run. TODO
  allowed_overlap:
    speaker: [train-valid]
    session: []
    dialog: []
    text: []
    audio: []

label_map: {}

read_corpus: !name:ser_lib.corpora.$module.read_corpus
  data_folder: !ref <data_folder>
  corpus: !ref <corpus>

make_folds: !name:ser_lib.folds.leave_one_speaker_out
  valid_share: 0.2
  seed: 0
"""

README = """\
# $name

TODO: what it is, how many speakers, recordings and hours.

- **Paper:** TODO
- **Source:** TODO
- **Licence:** TODO

## Get the data

TODO. `DATA` is the folder that holds the recordings.

## Run

```bash
cd recipes/$name
python train.py hparams/whisper_frozen.yaml --data_folder DATA
python train.py hparams/fbank_ecapa.yaml --data_folder DATA
```

## Protocol

TODO: the classes and their counts, the folds, what the parts share.

## Oddities

TODO: what a user must know, and what was not checked.
"""

EXPERIMENTS = {
    "whisper_frozen": """\
# A linear layer on a frozen Whisper tiny.en, on $name, on a CPU.
#     python train.py hparams/whisper_frozen.yaml --data_folder DATA
extends: [../../hparams/whisper_frozen.yaml, ../corpus.yaml]
""",
    "fbank_ecapa": """\
# Filter bank -> 2-D convolutions -> ECAPA-TDNN -> linear on $name.
#     python train.py hparams/fbank_ecapa.yaml --data_folder DATA
extends: [../../hparams/fbank_ecapa.yaml, ../../hparams/for_cpu.yaml, ../corpus.yaml]
""",
}

TEST = '''\
"""$name: read as released, and anything else is named."""

from collections import Counter

import numpy as np
import pytest
import soundfile

from ser_lib.corpora import protocol, read_utterances
from ser_lib.folds import audit_folds
from ser_lib.settings import RECIPES, Settings


def settings_of(folder):
    files = [RECIPES / "hparams" / "base.yaml", RECIPES / "$name" / "corpus.yaml"]
    return Settings.from_files(files, {"data_folder": str(folder)})


@pytest.fixture
def release(tmp_path):
    """A stand-in with names as in the release and a quarter of a second of noise."""
    corpus = settings_of(tmp_path)["corpus"]
    noise = np.random.default_rng(0)
    for label, n in corpus["counts"].items():
        for k in range(n):
            speaker = corpus["speakers"][k % len(corpus["speakers"])]
            path = tmp_path / f"{speaker}_{label}_{k}.wav"  # TODO
            soundfile.write(path, noise.normal(0, 0.1, 4000), 16000)
    return tmp_path


def test_the_release_is_read_and_its_folds_follow_the_protocol(release):
    settings = settings_of(release)
    utterances = read_utterances(settings)
    assert Counter(u.label for u in utterances) == settings["corpus"]["counts"]
    folds = settings["make_folds"](utterances)
    audit_folds(folds, protocol(settings)).check()
    assert sorted({u.speaker for fold in folds for u in fold.test}) == sorted(
        settings["corpus"]["speakers"]
    )


def test_a_missing_recording_is_counted(release):
    next(release.iterdir()).unlink()
    with pytest.raises(ValueError, match="The release is incomplete"):
        read_utterances(settings_of(release))


def test_a_file_that_does_not_belong_there_is_named(release):
    (release / "a_b.wav").touch()  # not a name of the release
    with pytest.raises(ValueError, match="1 audio files do not have the name.*a_b"):
        read_utterances(settings_of(release))


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder; expected the folder of"):
        read_utterances(settings_of(tmp_path / "none"))
'''


def write_skeleton(root: Path, name: str) -> list[Path]:
    """Write the files of a new corpus into a checkout.

    Arguments
    ---------
    root : Path
        The root of the checkout.
    name : str
        Name of the corpus, such as ``EmoDB``; it names the folder of the recipe.

    Returns
    -------
    list[Path]
        The new files.

    Raises
    ------
    FileExistsError
        If one of them exists; nothing is written then.
    ValueError
        If it is not such a name.
    """
    module = name.lower().replace("-", "_")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", name) or keyword.iskeyword(module):
        raise ValueError(
            f"{name!r} cannot name a corpus; expected letters, digits and hyphens, "
            f"such as CREMA-D."
        )
    recipe = root / "recipes" / name
    same = (root / "recipes" / "SAVEE" / "train.py").read_text(encoding="utf-8")
    files = {
        root / "ser_lib" / "corpora" / f"{module}.py": PARSER,
        root / "tests" / f"test_corpora_{module}.py": TEST,
        recipe / "corpus.yaml": CORPUS,
        recipe / "README.md": README,
        **{recipe / "hparams" / f"{k}.yaml": text for k, text in EXPERIMENTS.items()},
    }
    recipes = {path.name.lower(): path for path in (root / "recipes").iterdir()}
    same_name = [recipes[name.lower()]] if name.lower() in recipes else []
    existing = same_name or [path for path in files if path.exists()]
    if existing:
        raise FileExistsError(
            f"{existing[0]} exists; choose another name, or remove it first."
        )
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        filled = Template(text).substitute(name=name, module=module)
        path.write_text(filled, encoding="utf-8")
    (recipe / "train.py").write_text(same, encoding="utf-8")
    return [*files, recipe / "train.py"]
