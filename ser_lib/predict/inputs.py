"""What ``python -m ser_lib.predict`` is to read: files, folders, tables, a pipe."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ser_lib.audio import find_audio
from ser_lib.utils.file_names import printable, shortened

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Recording:
    """One recording.

    Arguments
    ---------
    name : str
        What it is called in rows and messages.
    path : Path
        Where it is.
    short_name : str
        What files made from it are called, without their suffix; it may hold folders.
    error : str
        Why it is none; the rest is of no use then.
    """

    name: str
    path: Path
    short_name: str
    error: str = ""


def list_recordings(inputs: Iterable[str]) -> list[Recording]:
    """Find the recordings; what is wrong with an input is told by an item of its own.

    Arguments
    ---------
    inputs : Iterable[str]
        Audio files, folders (all audio in and below them), CSV files with a column
        ``path`` (relative to the CSV file's folder), or ``-`` for standard input.

    Returns
    -------
    list[Recording]
        In the order of the inputs and of the paths in a folder, each name once.

    Example
    -------
    >>> [item.name for item in list_recordings(["b.wav", "a.wav", "b.wav"])]
    ['b.wav', 'a.wav']
    """
    items: dict[str, Recording] = {}
    for given in inputs:
        for item in _items_of(given):
            items.setdefault(item.name, item)
    return list(items.values())


def _items_of(given: str) -> list[Recording]:
    path = Path(given)
    if given == STANDARD_INPUT:
        return [Recording(given, path, "standard_input")]
    try:
        if path.is_dir():
            return _items_in(path)
        if path.suffix.lower() == ".csv":
            return [_item(path.parent / cell, Path(cell)) for cell in _cells(path)]
    except (OSError, ValueError, csv.Error) as error:
        return [_unusable(path, str(error))]
    return [_item(path, Path(path.name))]


def _item(path: Path, relative: Path) -> Recording:
    """Name the files to be made from an item; they must not leave their folder."""
    inside = [shortened(p) for p in relative.parts if p not in (relative.anchor, "..")]
    return Recording(printable(str(path)), path, "/".join(inside))


def _unusable(path: Path, message: str) -> Recording:
    # A message that says nothing of the file, such as that of a decoder.
    is_named = path.name in message
    error = message if is_named else f"{path}: {message}"
    return Recording(printable(str(path)), path, path.name, error)


def _items_in(folder: Path) -> list[Recording]:
    """List the audio in a folder, and the folders in it that cannot be read."""
    unreadable: list[Recording] = []

    def note(path: Path, message: str) -> None:
        unreadable.append(_unusable(path, message))

    try:
        found = find_audio(folder, note)
    except FileNotFoundError as error:
        return unreadable or [_unusable(folder, str(error))]
    items = [_item(path, path.relative_to(folder)) for path in found]
    return sorted([*items, *unreadable], key=lambda item: item.path)


def _cells(path: Path) -> list[str]:
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is a device or FIFO; expected a CSV file.")
    # Names of files need not be UTF-8.
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as f:
        rows = csv.DictReader(f)
        columns = list(rows.fieldnames or [])
        if "path" not in columns:
            raise ValueError(
                f"{path} has the columns {columns}; expected one called path, in a "
                f"table in UTF-8 with commas."
            )
        cells = [row["path"] or "" for row in rows]
    empty = [i for i, cell in enumerate(cells, start=1) if not cell.strip()]
    if empty:
        raise ValueError(f"{path} has no path in row {empty[0]} (of {len(cells)}).")
    if not cells:
        raise ValueError(f"{path} has no rows; expected one for each recording.")
    return cells
