"""Write and read the rows of ``python -m ser_lib.predict``: CSV, JSON, JSON lines."""

import csv
import io
import json
from collections.abc import Mapping, Sequence

from ser_lib.inference import answer_columns
from ser_lib.settings import Task

ROW_FORMATS = ("csv", "json", "jsonl")
_POSITION = "path segment n_segments start_s end_s".split()


def columns_of(
    labels: Sequence[str],
    is_timeline: bool,
    has_speakers: bool = False,
    has_turns: bool = False,
    tasks: Sequence[Task] = (),
) -> list[str]:
    """Return the columns of the rows: files, segments, or turns of speakers.

    Arguments
    ---------
    tasks : Sequence[Task]
        What the model answers besides the emotion.

    Example
    -------
    >>> columns_of(["sad", "angry"], is_timeline=False)
    ['path', 'label', 'score', 'p_sad', 'p_angry', 'error']
    """
    shares = [f"p_{label}" for label in labels]
    further = answer_columns(tasks, with_probabilities=not is_timeline)
    if not is_timeline:
        return ["path", "label", "score", *shares, *further, "error"]
    speaker = ["speaker"] if has_speakers else []
    shares = shares if has_turns else []
    return [*_POSITION, *speaker, "label", "score", *shares, *further, "error"]


class Encoder:
    """Turns rows into text.

    Arguments
    ---------
    columns : Sequence[str]
        Columns of the rows; a row may lack some.
    row_format : str
        ``csv``; ``json``, an array with a line per row; or ``jsonl``.

    Example
    -------
    >>> json_rows = Encoder(["path", "label"], "json")
    >>> print(json_rows.begin() + json_rows.rows([{"path": "a.wav"}]) + json_rows.end())
    [
    {"path": "a.wav", "label": null}
    ]
    <BLANKLINE>
    """

    def __init__(self, columns: Sequence[str], row_format: str) -> None:
        self.columns = list(columns)
        self.row_format = row_format
        self._n_rows = 0

    def begin(self) -> str:
        """Return the text before the first row."""
        if self.row_format == "csv":
            return self._csv_line(self.columns)
        return "[\n" if self.row_format == "json" else ""

    def rows(self, rows: Sequence[Mapping]) -> str:
        """Return the text of the next rows, to be appended."""
        return "".join(
            self._row([row.get(name) for name in self.columns]) for row in rows
        )

    def _row(self, values: list) -> str:
        if self.row_format == "csv":
            return self._csv_line(values)
        text = json.dumps(
            dict(zip(self.columns, values, strict=True)),
            ensure_ascii=False,
            allow_nan=False,
        )
        if self.row_format == "jsonl":
            return text + "\n"
        self._n_rows += 1
        return text if self._n_rows == 1 else f",\n{text}"

    def end(self) -> str:
        """Return the text after the last row."""
        if self.row_format != "json":
            return ""
        return "\n]\n" if self._n_rows else "]\n"

    def read(self, text: str) -> list[dict]:
        """Read rows from text, except an incomplete last one.

        In CSV, all values are text. ValueError if the columns differ.
        """
        complete, _, last = text.rpartition("\n")
        if self.row_format == "csv":
            return self._read_csv(complete)
        lines = [line.rstrip(",") for line in [*complete.split("\n"), last]]
        rows = [row for row in map(_object, lines) if row is not None]
        for row in rows:
            self._check_columns(list(row))
        return rows

    def _read_csv(self, text: str) -> list[dict]:
        if not text:
            return []
        first, *rows = csv.reader(io.StringIO(text, newline=""))
        self._check_columns(first)
        n_columns = len(self.columns)
        return [
            dict(zip(self.columns, row, strict=True))
            for row in rows
            if len(row) == n_columns
        ]

    def _check_columns(self, found: list[str]) -> None:
        if found != self.columns:
            raise ValueError(f"its columns are {found}, expected {self.columns}")

    @staticmethod
    def _csv_line(values: list) -> str:
        line = io.StringIO()
        # Names may contain \r and \n; csv quotes only those of its line terminator.
        csv.writer(line, lineterminator="\r\n").writerow(values)
        return line.getvalue().removesuffix("\r\n") + "\n"


def _object(line: str) -> dict | None:
    # A row is one line; an incomplete line is not valid JSON.
    try:
        row = json.loads(line, parse_constant=_refuse_constant)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")  # written by an older version
