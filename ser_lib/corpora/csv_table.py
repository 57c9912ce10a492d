"""A user's own corpus: a table of recordings in a CSV file.

``csv_rows.py`` reads the rows, ``folds/from_csv.py`` creates the folds.
recipes/Custom/README.md describes the table.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ser_lib.audio import audio_duration_s
from ser_lib.corpora.csv_rows import Row, check_unique, read_csv_table
from ser_lib.corpora.manifest import Utterance
from ser_lib.utils.listing import first_few


def read_corpus(
    data_folder: str | Path, corpus: Mapping, table: str | Path
) -> list[Utterance]:
    """Read the utterances of a table and check each audio file.

    Arguments
    ---------
    data_folder : str | Path
        Relative paths start in this folder.
    corpus : Mapping
        The ``corpus`` block of ``recipes/Custom/corpus.yaml``: ``sample_rate_hz``.
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
        If the table is invalid (see ``read_csv_table``), two rows have the same file,
        or an audio file cannot be read.
    """
    rows = read_csv_table(table)
    return read_recordings(rows, data_folder, corpus["sample_rate_hz"], table)


def read_recordings(
    rows: Sequence[Row], data_folder: str | Path, sample_rate_hz: int, table: str | Path
) -> list[Utterance]:
    """Check the audio files of the rows of a table; see :func:`read_corpus`."""
    files = {row.line: Path(data_folder, row.path) for row in rows}
    resolved = {line: file.resolve() for line, file in files.items()}
    check_unique(rows, "path", lambda row: resolved[row.line], table)
    _check_files_exist(rows, files, table)
    durations_s = _durations_s(rows, files, sample_rate_hz, table)
    return [row.utterance(durations_s[row.line]) for row in rows]


def labels_of(table: str | Path) -> list[str]:
    """Return the labels of a table in alphabetical order."""
    return sorted({row.label for row in read_csv_table(table)})


def folder_of(table: str | Path) -> str:
    """Return the folder of a table, in which its relative paths start.

    Example
    -------
    >>> folder_of("recordings/my.csv"), folder_of("my.csv")
    ('recordings', '.')
    """
    return str(Path(table).parent)


def _check_files_exist(
    rows: Sequence[Row], files: Mapping[int, Path], path: str | Path
) -> None:
    missing = [row for row in rows if not files[row.line].exists()]
    if missing:
        found = [f"line {row.line}: {files[row.line]}" for row in missing]
        raise FileNotFoundError(
            f"{path}, column path: {len(missing)} of {len(rows)} files do not exist: "
            f"{first_few(found, '; ')}. Expected absolute paths, or paths relative to "
            f"the folder of the table (or to --data_folder)."
        )


def _durations_s(
    rows: Sequence[Row], files: Mapping[int, Path], rate_hz: int, path: str | Path
) -> dict[int, float]:
    """Return the duration of each file by line; report all bad files in one error."""
    durations_s, bad = {}, []
    for row in rows:
        try:
            durations_s[row.line] = audio_duration_s(files[row.line], rate_hz)
        except (PermissionError, ValueError) as error:
            bad.append(f"line {row.line}: {error}")
    if bad:
        raise ValueError(
            f"{path}, column path: {len(bad)} of {len(rows)} files cannot be read as "
            f"audio (expected WAV, FLAC, MP3 or OGG): {first_few(bad, '; ')}"
        )
    return durations_s
