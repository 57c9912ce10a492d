"""nEMO (https://github.com/amu-cai/nEMO): read the release.

``data.tsv`` lists the recordings; a row, with tabs between the columns::

    file_id               emotion    raw_text  normalized_text  speaker_id  gender  age
    WR0_surprised_64.wav  surprised  Ucho ...  ucho ...         WR0         male    23

The recording is ``samples/WR0_surprised_64`` with any audio ending.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

from ser_lib.audio import audio_duration_s
from ser_lib.corpora.manifest import Utterance
from ser_lib.corpora.release import (
    add_once,
    audio_by_name,
    check_names,
    check_speakers,
    find_release,
    read_index,
)

_COLUMNS = ("file_id", "emotion", "raw_text", "speaker_id")
_ATTRIBUTES = ("gender", "age")


def read_corpus(data_folder: str | Path, corpus: Mapping) -> list[Utterance]:
    """Read the 4,481 recordings of nEMO.

    Arguments
    ---------
    data_folder : str | Path
        The folder that holds ``data.tsv`` and ``samples``.
    corpus : Mapping
        The ``corpus`` block of ``recipes/nEMO/corpus.yaml``: ``name``, ``speakers``,
        ``how_to_get`` and ``sample_rate_hz``.

    Returns
    -------
    list[Utterance]
        Sorted by name, such as ``WR0_surprised_64``.

    Raises
    ------
    FileNotFoundError
        If the folder holds something else.
    ValueError
        If ``data.tsv`` or a recording is damaged, or a recording is missing, occurs
        twice or is not listed.
    """
    folder = find_release(
        data_folder,
        corpus,
        "data.tsv and samples/",
        lambda path: (path / "data.tsv").is_file() and (path / "samples").is_dir(),
    )
    rows = _read_index(folder / "data.tsv")
    files = audio_by_name(folder / "samples", corpus)
    check_names(files, rows, folder / "samples", corpus)
    utterances = [
        Utterance(
            id=name,
            path=files[name].relative_to(folder).as_posix(),
            label=row["emotion"],
            speaker=row["speaker_id"],
            duration_s=audio_duration_s(files[name], corpus["sample_rate_hz"]),
            text=row["raw_text"],
            attributes={name: row[name] for name in _ATTRIBUTES},
        )
        for name, row in sorted(rows.items())
    ]
    check_speakers(utterances, corpus)
    return utterances


def _read_index(path: Path) -> dict[str, dict[str, str]]:
    """Return the rows of ``data.tsv`` by recording."""
    rows: dict[str, dict[str, str]] = {}
    index = read_index(
        path, _COLUMNS, _ATTRIBUTES, delimiter="\t", quoting=csv.QUOTE_NONE
    )
    for line, row in index:
        add_once(rows, Path(row["file_id"]).stem, row, f"{path}, line {line}")
    return rows
