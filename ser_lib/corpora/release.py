"""What parsers of releases share: find the folder, list its audio, check the names.

A parser states what a release holds, and these functions compare it with what is there.
Their messages name the corpus, what was expected, what was found and what to do.
"""

import csv
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ser_lib.audio import find_audio
from ser_lib.corpora.manifest import Utterance
from ser_lib.utils.listing import first_few


def find_release(
    data_folder: str | Path,
    corpus: Mapping,
    looked_for: str,
    is_release: Callable[[Path], bool],
) -> Path:
    """Return the data folder if it holds a release.

    Arguments
    ---------
    corpus : Mapping
        The block ``corpus`` of ``corpus.yaml``: ``name`` and ``how_to_get``.
    looked_for : str
        What the folder must hold, such as ``data.tsv and samples/``.
    is_release : Callable[[Path], bool]
        Whether a folder holds it.

    Raises
    ------
    FileNotFoundError
        If it does not; the message names the right folder if it is one level away.
    """
    folder = Path(data_folder)
    how_to_get = " ".join(corpus["how_to_get"].split())
    if not folder.is_dir():
        what = "not a folder" if folder.exists() else "no folder"
        raise FileNotFoundError(
            f"{folder} is {what}; expected the folder of {corpus['name']} that holds "
            f"{looked_for}. {how_to_get}"
        )
    if is_release(folder):
        return folder
    inside = sorted(folder.iterdir())
    near = [folder.absolute().parent, *(path for path in inside if path.is_dir())]
    right = next((path for path in near if is_release(path)), None)
    advice = f"The right folder is {right}." if right else how_to_get
    raise FileNotFoundError(
        f"{folder} is not the folder of {corpus['name']}: looked for {looked_for}, "
        f"found {first_few([path.name for path in inside]) or 'nothing'}. {advice}"
    )


def audio_by_name(folder: Path, corpus: Mapping) -> dict[str, Path]:
    """List the audio files below a folder by their names without ending.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If two files have the same name, such as a WAV and a FLAC file.
    """
    files = defaultdict(list)
    for path in find_audio(folder):
        files[path.stem].append(path)
    repeated = [paths for paths in files.values() if len(paths) > 1]
    if repeated:
        raise ValueError(
            f"{len(repeated)} recordings of {corpus['name']} occur twice, the first as "
            f"{' and '.join(map(str, repeated[0]))}. Keep one file of each."
        )
    return {name: paths[0] for name, paths in sorted(files.items())}


def check_names(
    found: Collection[str], expected: Collection[str], folder: Path, corpus: Mapping
) -> None:
    """Check that recordings are exactly those of the release.

    Raises
    ------
    ValueError
        If there are others, or if some are missing.
    """
    others = sorted(set(found) - set(expected))
    if others:
        raise ValueError(
            f"{folder} holds {len(others)} audio files that do not belong to "
            f"{corpus['name']}: {first_few(others)}. Move them out of the folder."
        )
    missing = sorted(set(expected) - set(found))
    if missing:
        raise ValueError(
            f"{folder} is incomplete: expected {len(expected):,} recordings of "
            f"{corpus['name']}, found {len(found):,}, missing {len(missing):,}: "
            f"{first_few(missing)}. Copy or download the corpus again."
        )


def read_index(
    path: Path, columns: Sequence[str], optional: Sequence[str] = (), **options: Any
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the line number and some columns of each row of an index of a release.

    Arguments
    ---------
    columns : Sequence[str]
        The columns to read; each must have a value in every row. Spaces around values
        are removed.
    optional : Sequence[str]
        Further columns; empty where there is no value.
    **options : Any
        Passed to ``csv.DictReader``.

    Raises
    ------
    ValueError
        If a column or a value is missing.
    """
    with open(path, newline="", encoding="utf-8-sig") as f:
        reader = csv.DictReader(f, **options)
        missing = [name for name in columns if name not in (reader.fieldnames or [])]
        if missing:
            raise ValueError(
                f"{path}, line 1: expected the columns {', '.join(columns)}; missing: "
                f"{', '.join(missing)}. Download it again."
            )
        for row in reader:
            values = {name: (row[name] or "").strip() for name in columns}
            if not all(values.values()):
                raise ValueError(
                    f"{path}, line {reader.line_num}: expected a value for each of "
                    f"{', '.join(columns)}, found {values}. Download it again."
                )
            further = {name: (row.get(name) or "").strip() for name in optional}
            yield reader.line_num, values | further


def add_once(rows: dict, name: str, row: object, where: str) -> None:
    """Add a row of an index under its name; refuse a name that is there."""
    if name in rows:
        raise ValueError(
            f"{where}: expected a new utterance, found {name} again. Download it again."
        )
    rows[name] = row


def wrong_names(names: Collection[str], expected: str, corpus: Mapping) -> ValueError:
    """Create the error for files whose names are not those of a corpus."""
    return ValueError(
        f"{len(names)} audio files do not have the name of a recording of "
        f"{corpus['name']} ({expected}): {first_few(sorted(names))}. Move them out of "
        f"the folder."
    )


def check_speakers(utterances: Collection[Utterance], corpus: Mapping) -> None:
    """Raise a ValueError if the speakers are not those of ``corpus.yaml``."""
    found = {u.speaker for u in utterances}
    expected = set(map(str, corpus["speakers"]))
    if found != expected:
        raise ValueError(
            f"{corpus['name']} has the speakers {first_few(sorted(expected))} "
            f"({len(expected)}), found {len(found)}: missing "
            f"{first_few(sorted(expected - found)) or 'none'}, unknown "
            f"{first_few(sorted(found - expected)) or 'none'}. Copy or download the "
            f"corpus again."
        )
