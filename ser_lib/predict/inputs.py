"""The inputs of ``python -m ser_lib.predict``: files, folders, tables, a pipe.

With ``--ray``, they may also be at an address (``remote.py``).
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ser_lib.audio import find_audio
from ser_lib.predict.remote import is_remote, list_address
from ser_lib.utils.file_names import printable, shortened
from ser_lib.utils.packages import check_installed

STANDARD_INPUT = "-"
TABLE_SUFFIXES = (".csv", ".parquet")


@dataclass(frozen=True)
class Recording:
    """A recording, or an input that cannot be used.

    Arguments
    ---------
    name : str
        Its name in rows and messages.
    path : Path
        The file to read.
    short_name : str
        Path of its output files without suffix, relative to the output folder.
    error : str
        Why the input cannot be used, or empty.
    group : str
        Its value in the column that groups recordings, or empty.
    """

    name: str
    path: Path
    short_name: str
    error: str = ""
    group: str = ""


class MissingColumnError(ValueError):
    """An input does not say which group a recording belongs to."""


def list_recordings(
    inputs: Iterable[str], group_column: str | None = None
) -> list[Recording]:
    """Find the recordings; an input that cannot be used becomes one with an error.

    Arguments
    ---------
    inputs : Iterable[str]
        Audio files, folders (searched recursively), CSV or Parquet tables with a
        column ``path`` (relative to the table), addresses, or ``-`` for standard input.
    group_column : str | None
        The column of the CSV files that groups recordings; None does not group them.

    Returns
    -------
    list[Recording]
        In the order of the inputs, and of the paths in a folder, without duplicates.

    Raises
    ------
    ValueError
        If recordings are grouped, and an input is not a table with that column.

    Example
    -------
    >>> [recording.name for recording in list_recordings(["b.wav", "a.wav", "b.wav"])]
    ['b.wav', 'a.wav']
    """
    recordings: dict[str, Recording] = {}
    for argument in inputs:
        for recording in _recordings_of(argument, group_column):
            recordings.setdefault(recording.name, recording)
    return list(recordings.values())


def _recordings_of(argument: str, group_column: str | None) -> list[Recording]:
    path = Path(argument)
    if is_remote(argument):
        return _recordings_at(argument)
    is_table = path.suffix.lower() in TABLE_SUFFIXES and not path.is_dir()
    if group_column is not None and not is_table:
        raise MissingColumnError(
            f"{argument} is not a table; expected tables with the columns path and "
            f"{group_column}."
        )
    if argument == STANDARD_INPUT:
        return [Recording(argument, path, "standard_input")]
    try:
        if path.is_dir():
            return _recordings_in(path)
        if is_table:
            return [
                replace(_named(cell, path.parent), group=group)
                for cell, group in _cells(path, group_column)
            ]
    except MissingColumnError:
        raise
    except (OSError, ValueError, csv.Error) as error:
        return [_unusable(path, str(error))]
    return [_recording(path, Path(path.name))]


def _named(cell: str, folder: Path) -> Recording:
    """Return the recording that a table in a folder names."""
    if is_remote(cell):
        return Recording(printable(cell), Path(cell), cell)
    return _recording(folder / cell, Path(cell))


def _recordings_at(address: str) -> list[Recording]:
    try:
        names = list_address(address)
    except ValueError as error:
        return [Recording(address, Path(address), address, str(error))]
    return [Recording(name, Path(name), name) for name in names]


def _recording(path: Path, relative: Path) -> Recording:
    """Return a recording whose output files stay inside the output folder."""
    inside = [shortened(p) for p in relative.parts if p not in (relative.anchor, "..")]
    return Recording(printable(str(path)), path, "/".join(inside))


def _unusable(path: Path, message: str) -> Recording:
    # Some messages, such as those of decoders, do not name the file.
    error = message if path.name in message else f"{path}: {message}"
    return Recording(printable(str(path)), path, path.name, error)


def _recordings_in(folder: Path) -> list[Recording]:
    """List the audio files in a folder, and the folders in it that cannot be read."""
    unreadable: list[Recording] = []

    def on_error(path: Path, message: str) -> None:
        unreadable.append(_unusable(path, message))

    try:
        paths = find_audio(folder, on_error)
    except FileNotFoundError as error:
        return unreadable or [_unusable(folder, str(error))]
    recordings = [_recording(path, path.relative_to(folder)) for path in paths]
    return sorted([*recordings, *unreadable], key=lambda recording: recording.path)


def _cells(path: Path, group_column: str | None) -> list[tuple[str, str]]:
    """Read the path and the group of each row."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is a device or FIFO; expected a table.")
    read = _read_parquet if path.suffix.lower() == ".parquet" else _read_csv
    columns, rows = read(path)
    if "path" not in columns:
        raise ValueError(
            f"{path} has the columns {columns}; expected a column path in a "
            f"comma-separated table in UTF-8, or in a Parquet table."
        )
    if group_column is not None and group_column not in columns:
        raise MissingColumnError(
            f"{path} has the columns {columns}; expected a column {group_column}, "
            f"which groups the recordings."
        )
    cells = [(row["path"] or "", row.get(group_column) or "") for row in rows]
    empty = [i for i, (cell, _) in enumerate(cells, start=1) if not cell.strip()]
    if empty:
        raise ValueError(f"{path} has no path in row {empty[0]} of {len(cells)}.")
    if not cells:
        raise ValueError(f"{path} has no rows; expected one per recording.")
    return cells


def _read_csv(path: Path) -> tuple[list[str], list[dict]]:
    # File names need not be UTF-8.
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as f:
        rows = csv.DictReader(f)
        return list(rows.fieldnames or []), list(rows)


def _read_parquet(path: Path) -> tuple[list[str], list[dict]]:
    check_installed("A Parquet table", ["pyarrow"], "ray")
    import pandas as pd

    table = pd.read_parquet(path).astype("string").fillna("")
    return list(table.columns), table.to_dict("records")
