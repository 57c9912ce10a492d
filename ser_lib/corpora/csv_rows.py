"""The rows of a user's table: a CSV file, checked line by line.

recipes/Custom/README.md describes the columns. Every error names the line and the
column, what was expected and what was found.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from speechbrain.utils.logger import get_logger

from ser_lib.corpora.manifest import Utterance

logger = get_logger(__name__)

NEEDED_COLUMNS = ("path", "label", "speaker")
OPTIONAL_COLUMNS = ("id", "session", "text", "split", "fold")
SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Arguments
    ---------
    line : int
        Where it begins in the file, counted from 1.
    path, label, speaker : str
        As they stand there; spaces around a label or a speaker do not count.
    id, session, text, split, fold : str
        Empty where the table has no such column; the id is then the path.
    """

    line: int
    path: str
    label: str
    speaker: str
    id: str
    session: str = ""
    text: str = ""
    split: str = ""
    fold: str = ""

    def utterance(self, duration_s: float = 0.0) -> Utterance:
        """Turn the row into a row of the manifest.

        Arguments
        ---------
        duration_s : float
            Length of the audio; 0 where it does not matter.

        Returns
        -------
        Utterance
            Its path has no ``./`` in front.
        """
        return Utterance(
            id=self.id,
            path=Path(self.path).as_posix(),
            label=self.label,
            speaker=self.speaker,
            duration_s=duration_s,
            session=self.session,
            text=self.text,
        )


def read_csv_table(path: str | Path) -> list[Row]:
    r"""Read a table and check what can be checked without the audio.

    Arguments
    ---------
    path : str | Path
        A CSV file in UTF-8, with commas; the first line holds the names of the
        columns.

    Returns
    -------
    list[Row]
        The rows that are not blank, in the order of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not such a CSV file, a column or a value is missing, a split or
        a fold is not a possible one, an id occurs twice, or there is only one speaker
        or one label.

    Example
    -------
    >>> table = Path(getfixture("tmp_path")) / "my.csv"
    >>> lines = ["path,label,speaker", "a.wav,sad,Ann", '"b, 2.wav",calm,Bob']
    >>> _ = table.write_text("\n".join(lines))
    >>> [(row.line, row.path, row.speaker) for row in read_csv_table(table)]
    [(2, 'a.wav', 'Ann'), (3, 'b, 2.wav', 'Bob')]
    """
    path = Path(path)
    records = _records(path)
    _, header = next(records, (1, []))
    names = [name.strip() for name in header]
    _check_columns(names, path)
    rows = [_row(line, values, names, path) for line, values in records]
    check_once(rows, "id", lambda row: row.id, path)
    for column in ("label", "speaker"):
        found = {getattr(row, column) for row in rows}
        if len(found) < 2:
            raise ValueError(
                f"{path}: expected at least two different values in the column "
                f"{column}, found {sorted(found)} in {len(rows)} rows. What is tested "
                f"must be another speaker than what is trained on, and there must be "
                f"something to tell apart."
            )
    return rows


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number of each line that is not blank, and its values."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no table {path}. Give its path as --csv.")
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}, line {line}: expected text in UTF-8, found the byte "
            f"{error.object[error.start]:#x}. Save the table as CSV in UTF-8."
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for values in reader:
            if any(value.strip() for value in values):
                yield line, values
            line = reader.line_num + 1  # a quoted value may hold line breaks
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {line}: expected values with commas between them, and "
            f"quotation marks around those that hold a comma; found an error: {error}."
        ) from error


def _check_columns(names: Sequence[str], path: Path) -> None:
    missing = [name for name in NEEDED_COLUMNS if name not in names]
    if missing:
        hint = "" if len(names) > 1 else " Are there commas between the values?"
        raise ValueError(
            f"{path}, line 1: expected the columns {', '.join(NEEDED_COLUMNS)}, found "
            f"{', '.join(names)}; missing: {', '.join(missing)}.{hint}"
        )
    known = [*NEEDED_COLUMNS, *OPTIONAL_COLUMNS]
    twice = [name for name in known if names.count(name) > 1]
    if twice:
        raise ValueError(f"{path}, line 1: the column {twice[0]} is there twice.")
    unused = [name for name in names if name not in known]
    if unused:
        _warn_once(f"{path}: the columns {unused} are not used (known are {known}).")


@lru_cache  # a run reads its table several times
def _warn_once(message: str) -> None:
    logger.warning(message)


def _row(line: int, values: list[str], names: Sequence[str], path: Path) -> Row:
    if len(values) != len(names):
        raise ValueError(
            f"{path}, line {line}: expected {len(names)} values, as in line 1, found "
            f"{len(values)}: {values}. A value that holds a comma needs quotation "
            f"marks around it."
        )
    given = dict(zip(names, values, strict=True))
    # Spaces may be part of a file's name.
    cells = {k: v if k == "path" else v.strip() for k, v in given.items()}
    for name, cell in cells.items():
        if not cell.strip() and name in (*NEEDED_COLUMNS, "id", "split", "fold"):
            raise bad_value(path, line, name, "a value", "nothing")
        if "\0" in cell:
            raise bad_value(path, line, name, "text", f"a NUL in {cell!r}")
    if cells.get("split", "test") not in SPLITS:
        expected = f"one of {', '.join(SPLITS)}"
        raise bad_value(path, line, "split", expected, repr(cells["split"]))
    if not cells.get("fold", "1").isdecimal():
        expected = "the number of the fold that tests this row, such as 1"
        raise bad_value(path, line, "fold", expected, repr(cells["fold"]))
    if "fold" in cells:
        cells["fold"] = str(int(cells["fold"]))
    known = {
        k: v for k, v in cells.items() if k in (*NEEDED_COLUMNS, *OPTIONAL_COLUMNS)
    }
    return Row(line, **{"id": cells["path"], **known})


def bad_value(
    path: str | Path, line: int, column: str, expected: str, found: str
) -> ValueError:
    """Make the error of one value of a table.

    Arguments
    ---------
    path : str | Path
        The CSV file.
    line : int
        Where it is.
    column : str
        Where it is.
    expected : str
        What was expected.
    found : str
        What is there.

    Returns
    -------
    ValueError
        To be raised.
    """
    return ValueError(
        f"{path}, line {line}, column {column}: expected {expected}, found {found}."
    )


def check_once(
    rows: Iterable[Row], column: str, value: Callable, path: str | Path
) -> None:
    """Refuse two rows that are the same in some respect.

    Arguments
    ---------
    rows : Iterable[Row]
        The rows.
    column : str
        The column to name in the error.
    value : Callable
        Gives what must be different, from a row.
    path : str | Path
        The CSV file.

    Raises
    ------
    ValueError
        If it is the same for two rows.
    """
    lines = defaultdict(list)
    for row in rows:
        lines[value(row)].append(row.line)
    repeated = {key: found for key, found in lines.items() if len(found) > 1}
    if repeated:
        key, found = next(iter(repeated.items()))
        raise ValueError(
            f"{path}, lines {' and '.join(map(str, found))}, column {column}: expected "
            f"each once, found {str(key)!r} {len(found)} times ({len(repeated)} such "
            f"values in all). Keep one row of each."
        )
