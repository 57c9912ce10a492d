"""A corpus of one's own: a table of recordings in a CSV file, and no code.

``table_rows.py`` reads the rows, ``table_folds.py`` makes the folds.
recipes/Custom/README.md describes the table.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ser_lib.audio import audio_duration_s
from ser_lib.corpora.csv_rows import (
    Row,
    bad_value,
    check_once,
    read_csv_table,
)
from ser_lib.corpora.manifest import Utterance


def read_corpus(
    data_folder: str | Path, corpus: Mapping, table: str | Path
) -> list[Utterance]:
    """Read the utterances of a table, and look at each of the audio files.

    Arguments
    ---------
    data_folder : str | Path
        The folder that relative paths begin in.
    corpus : Mapping
        The ``corpus`` block of ``recipes/Custom/corpus.yaml``: ``labels`` and
        ``sample_rate_hz``.
    table : str | Path
        The CSV file.

    Returns
    -------
    list[Utterance]
        In the order of the rows.

    Raises
    ------
    FileNotFoundError
        If the table or an audio file is missing.
    ValueError
        If the table is unsound (see :func:`read_csv_table`), a label is not one of
        ``labels`` or has no row, two rows have the same file, or audio files cannot
        be read.
    """
    rows = read_csv_table(table)
    _check_labels(rows, list(corpus["labels"]), table)
    files = {row.line: Path(data_folder, row.path) for row in rows}
    resolved = {line: file.resolve() for line, file in files.items()}
    check_once(rows, "path", lambda row: resolved[row.line], table)
    _check_are_there(rows, files, table)
    durations_s = _durations_s(rows, files, corpus["sample_rate_hz"], table)
    return [row.utterance(durations_s[row.line]) for row in rows]


def labels_of(table: str | Path) -> list[str]:
    """Give the labels of a table in the order of the alphabet.

    Arguments
    ---------
    table : str | Path
        The CSV file.

    Returns
    -------
    list[str]
        Each label once.
    """
    return sorted({row.label for row in read_csv_table(table)})


def folder_of(table: str | Path) -> str:
    """Give the folder of a table, in which relative paths begin.

    Arguments
    ---------
    table : str | Path
        The CSV file.

    Returns
    -------
    str
        The folder, ``.`` if the table is in the current one.

    Example
    -------
    >>> folder_of("recordings/my.csv"), folder_of("my.csv")
    ('recordings', '.')
    """
    return str(Path(table).parent)


def _check_labels(rows: Sequence[Row], labels: list, path: str | Path) -> None:
    if not all(isinstance(label, str) for label in labels):
        raise ValueError(
            f"labels: expected text, found {labels}. Put numbers in quotation marks: "
            f"--labels \"['1', '2']\"."
        )
    for row in rows:
        if row.label not in labels:
            expected = f"one of the given labels {labels}"
            raise bad_value(Path(path), row.line, "label", expected, repr(row.label))
    unused = [label for label in labels if label not in {row.label for row in rows}]
    if unused or len(labels) != len(set(labels)):
        raise ValueError(
            f"labels: expected each label of {path} once, found {labels}; no row has "
            f"the label {unused}."
        )


def _check_are_there(
    rows: Sequence[Row], files: Mapping[int, Path], path: str | Path
) -> None:
    missing = [row for row in rows if not files[row.line].exists()]
    if missing:
        found = [f"line {row.line}: {files[row.line]}" for row in missing]
        raise FileNotFoundError(
            f"{path}, column path: {len(missing)} of {len(rows)} files are not there: "
            f"{_first(found)}. Expected absolute paths, or paths that begin in the "
            f"folder of the table (or in --data_folder)."
        )


def _durations_s(
    rows: Sequence[Row], files: Mapping[int, Path], rate_hz: int, path: str | Path
) -> dict[int, float]:
    """Length of each file, by the line of its row; all bad files in one error."""
    durations_s, bad = {}, []
    for row in rows:
        try:
            durations_s[row.line] = audio_duration_s(files[row.line], rate_hz)
        except (PermissionError, ValueError) as error:
            bad.append(f"line {row.line}: {error}")
    if bad:
        raise ValueError(
            f"{path}, column path: {len(bad)} of {len(rows)} files cannot be read as "
            f"audio (expected WAV, FLAC, MP3 or OGG): {_first(bad)}"
        )
    return durations_s


def _first(items: Sequence[str], n: int = 5) -> str:
    more = f"; and {len(items) - n} more" if len(items) > n else ""
    return "; ".join(items[:n]) + more
