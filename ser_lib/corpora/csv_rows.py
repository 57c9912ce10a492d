"""The rows of a user's table: a CSV file, checked line by line.

recipes/Custom/README.md describes the columns. Errors name line and column, and what
was expected and found.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from speechbrain.utils.logger import get_logger

from ser_lib.corpora.audformat_table import audformat_records
from ser_lib.corpora.manifest import COLUMNS, Utterance

logger = get_logger(__name__)

REQUIRED_COLUMNS = ("path", "label", "speaker")
OPTIONAL_COLUMNS = ("id", "session", "text", "split", "fold")
_COLUMNS = (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS)
SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Arguments
    ---------
    line : int
        First line of the row in the file, counted from 1.
    path, label, speaker : str
        As in the table; spaces around a label or a speaker are removed.
    id, session, text, split, fold : str
        Empty if the table has no such column; the id is then the path.
    groups : Mapping[str, str]
        The columns that were asked for by name.
    attributes : Mapping[str, str]
        All further columns, by name.
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
    groups: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)

    def utterance(self, duration_s: float = 0.0) -> Utterance:
        """Convert the row to a manifest row, whose path has no leading ``./``.

        Arguments
        ---------
        duration_s : float
            Duration of the audio; 0 if it does not matter.
        """
        return Utterance(
            id=self.id,
            path=Path(self.path).as_posix(),
            label=self.label,
            speaker=self.speaker,
            duration_s=duration_s,
            session=self.session,
            text=self.text,
            attributes=self.attributes,
        )


def read_csv_table(path: str | Path, groups: Sequence[str] = ()) -> list[Row]:
    r"""Read a table and check what can be checked without the audio.

    Arguments
    ---------
    path : str | Path
        A CSV file in UTF-8, separated by commas; the first line has the column names.
        Or the ``db.yaml`` of a database in audformat.
    groups : Sequence[str]
        Columns to keep as ``Row.groups``; each must have a value in every row.

    Returns
    -------
    list[Row]
        The rows that are not blank, in the order of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not such a CSV file, a column or a value is missing, a split or a
        fold is invalid, an id occurs twice, or there is only one speaker or one label.

    Example
    -------
    >>> table = Path(getfixture("tmp_path")) / "my.csv"
    >>> lines = ["path,label,speaker", "a.wav,sad,Ann", '"b, 2.wav",calm,Bob']
    >>> _ = table.write_text("\n".join(lines))
    >>> [(row.line, row.path, row.speaker) for row in read_csv_table(table)]
    [(2, 'a.wav', 'Ann'), (3, 'b, 2.wav', 'Bob')]
    """
    path = Path(path)
    is_database = path.suffix == ".yaml"
    records = audformat_records(path) if is_database else _records(path)
    _, header = next(records, (1, []))
    names = [name.strip() for name in header]
    _check_columns(names, path, groups)
    rows = [_row(line, values, names, path, groups) for line, values in records]
    check_unique(rows, "id", lambda row: row.id, path)
    for column in ("label", "speaker"):
        found = {getattr(row, column) for row in rows}
        if len(found) < 2:
            raise ValueError(
                f"{path}: expected at least two different values in the column "
                f"{column}, found {sorted(found)} in {len(rows)} rows. Test speakers "
                f"must differ from training speakers, and there must be at least two "
                f"labels to distinguish."
            )
    return rows


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the values of each line that is not blank."""
    if not path.is_file():
        is_database = (path / "db.yaml").is_file()
        advice = "Give its db.yaml" if is_database else "Give its path"
        raise FileNotFoundError(f"There is no table {path}. {advice} with --csv.")
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
            line = reader.line_num + 1  # a quoted value may contain line breaks
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {line}: expected values separated by commas, and quotation "
            f"marks around those that contain a comma; found an error: {error}."
        ) from error


def _check_columns(names: Sequence[str], path: Path, groups: Sequence[str]) -> None:
    required = dict.fromkeys((*REQUIRED_COLUMNS, *groups))
    missing = [name for name in required if name not in names]
    if missing:
        hint = "" if len(names) > 1 else " Are there commas between the values?"
        raise ValueError(
            f"{path}, line 1: expected the columns {', '.join(required)}, "
            f"found {', '.join(names)}; missing: {', '.join(missing)}.{hint}"
        )
    repeated = [n for n in (*_COLUMNS, *groups) if names.count(n) > 1]
    if repeated:
        raise ValueError(f"{path}, line 1: the column {repeated[0]} occurs twice.")
    unused = [name for name in names if name not in (*_COLUMNS, *groups)]
    if unused:
        _warn_once(
            f"{path}: the columns {unused} are not used, unless a task names them; "
            f"expected some of {list(_COLUMNS)}."
        )


@lru_cache  # since a run reads its table several times
def _warn_once(message: str) -> None:
    logger.warning(message)


def _row(
    line: int,
    values: list[str],
    names: Sequence[str],
    path: Path,
    groups: Sequence[str],
) -> Row:
    if len(values) != len(names):
        raise ValueError(
            f"{path}, line {line}: expected {len(names)} values, as in line 1, found "
            f"{len(values)}: {values}. A value that contains a comma needs quotation "
            f"marks around it."
        )
    # Spaces may be part of a file name.
    cells = {
        name: value if name == "path" else value.strip()
        for name, value in zip(names, values, strict=True)
    }
    needed = (*REQUIRED_COLUMNS, "id", "split", "fold", *groups)
    for name, cell in cells.items():
        if not cell.strip() and name in needed:
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
    used = {name: cell for name, cell in cells.items() if name in _COLUMNS}
    grouped = {name: cells[name] for name in groups}
    further = {
        name: cell
        for name, cell in cells.items()
        # Not those of a manifest (duration_s ...), nor one that occurs twice
        if name not in (*_COLUMNS, *COLUMNS) and names.count(name) == 1
    }
    own = {"id": cells["path"], **used}
    return Row(line, **own, groups=grouped, attributes=further)


def bad_value(
    path: str | Path, line: int, column: str, expected: str, found: str
) -> ValueError:
    """Create the error for one value of a table."""
    return ValueError(
        f"{path}, line {line}, column {column}: expected {expected}, found {found}."
    )


def check_unique(
    rows: Iterable[Row], column: str, value: Callable, path: str | Path
) -> None:
    """Refuse two rows for which ``value`` returns the same; ``column`` names it."""
    lines = defaultdict(list)
    for row in rows:
        lines[value(row)].append(row.line)
    repeated = {key: found for key, found in lines.items() if len(found) > 1}
    if repeated:
        key, found = next(iter(repeated.items()))
        raise ValueError(
            f"{path}, lines {' and '.join(map(str, found))}, column {column}: expected "
            f"each value once, found {str(key)!r} {len(found)} times ({len(repeated)} "
            f"repeated values in total). Keep one row of each."
        )
