"""What ``python -m ser_lib.predict`` is to read: files, folders, tables, a pipe."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ser_lib.audio_checks import find_audio

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Item:
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


def list_items(inputs: Iterable[str]) -> list[Item]:
    """Find the recordings; what is wrong with an input is told by an item of its own.

    Arguments
    ---------
    inputs : Iterable[str]
        Audio files, folders (all audio in and below them), CSV files with a column
        ``path`` (relative to the CSV file's folder), or ``-`` for standard input.

    Returns
    -------
    list[Item]
        In the order of the inputs and of the paths in a folder, each name once.

    Example
    -------
    >>> [item.name for item in list_items(["b.wav", "a.wav", "b.wav"])]
    ['b.wav', 'a.wav']
    """
    items: dict[str, Item] = {}
    for given in inputs:
        for item in _items_of(given):
            items.setdefault(item.name, item)
    return list(items.values())


def printable(text: str) -> str:
    r"""Replace what is no text in a file's name, as Linux allows it to be.

    Arguments
    ---------
    text : str
        A name, or a message that holds it.

    Returns
    -------
    str
        Different texts stay different.

    Example
    -------
    >>> print(printable("\udcff.wav"))
    \udcff.wav
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _items_of(given: str) -> list[Item]:
    path = Path(given)
    if given == STANDARD_INPUT:
        return [Item(given, path, "standard_input")]
    try:
        if path.is_dir():
            return [_item(found, found.relative_to(path)) for found in _audio_in(path)]
        if path.suffix.lower() == ".csv":
            return [_item(path.parent / cell, Path(cell)) for cell in _cells(path)]
    except (OSError, ValueError) as error:
        return [Item(printable(given), path, path.name, str(error))]
    return [_item(path, Path(path.name))]


def _item(path: Path, relative: Path) -> Item:
    """Name the files to be made from an item; they must not leave their folder."""
    inside = [p for p in relative.parts if p not in (relative.anchor, "..")]
    return Item(printable(str(path)), path, "/".join(inside))


def _audio_in(folder: Path) -> list[Path]:
    # macOS writes "._a.wav" beside a.wav on foreign disks; it holds no audio.
    found = [path for path in find_audio(folder) if not path.name.startswith("._")]
    if not found:
        raise FileNotFoundError(
            f"The folder {folder} holds no audio, only files named ._* (made by macOS)."
        )
    return found


def _cells(path: Path) -> list[str]:
    with open(path, encoding="utf-8-sig", newline="") as f:
        rows = csv.DictReader(f)
        columns = list(rows.fieldnames or [])
        if "path" not in columns:
            raise ValueError(
                f"{path} has the columns {columns}; expected one called path."
            )
        cells = [row["path"] or "" for row in rows]
    empty = [i for i, cell in enumerate(cells, start=1) if not cell.strip()]
    if empty:
        raise ValueError(f"{path} has no path in row {empty[0]} (of {len(cells)}).")
    if not cells:
        raise ValueError(f"{path} has no rows; expected one for each recording.")
    return cells
