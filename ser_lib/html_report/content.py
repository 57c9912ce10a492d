"""What a page consists of: sections with texts, tables and figures."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd
from markupsafe import Markup

from ser_lib.utils.text_tables import as_texts


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Arguments
    ---------
    text : str
        What it shows.
    key : float | str
        What it is sorted by.
    html : Markup
        Shown in place of the text, such as a player.
    shade : float
        From 0 to 1, how much its background is coloured.
    title : str
        Shown when the pointer rests on it.
    """

    text: str
    key: float | str = ""
    html: Markup = Markup("")
    shade: float = 0.0
    title: str = ""

    @property
    def is_number(self) -> bool:
        """Whether it is sorted as a number."""
        return not isinstance(self.key, str)


@dataclass(frozen=True)
class Table:
    """A table whose first column names the rows.

    Arguments
    ---------
    filters : tuple[int, ...]
        Columns that a reader can choose a value of; with any, rows can be searched.
    is_sortable : bool
        Whether a click on a heading sorts the rows.
    """

    caption: str
    columns: list[str]
    rows: list[list[Cell]]
    filters: tuple[int, ...] = ()
    is_sortable: bool = True

    def is_number(self, column: int) -> bool:
        """Return whether a column has numbers; the first one has names."""
        return column > 0 and any(row[column].is_number for row in self.rows)

    def values_of(self, column: int) -> list[str]:
        """Return the different texts of a column, sorted."""
        return sorted({row[column].text for row in self.rows})


@dataclass(frozen=True)
class Figure:
    """A drawing in SVG, with a caption."""

    svg: Markup
    caption: str


@dataclass(frozen=True)
class Section:
    """A part of a page, with a heading; texts come first, then figures, then tables."""

    heading: str
    texts: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    items: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    """A page.

    Arguments
    ---------
    highlights : list[tuple[str, str, str]]
        The numbers at the top: name, value, interval.
    notes : list[str]
        What a reader must know before the scores.
    """

    title: str
    subtitle: str
    sections: list[Section]
    highlights: list[tuple[str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def table_of(frame: pd.DataFrame, caption: str, filters: Sequence[str] = ()) -> Table:
    """Turn a DataFrame into a table; its index is the first column.

    Numbers are formatted as in the Markdown reports.

    Example
    -------
    >>> frame = pd.DataFrame({"UA": [62.5]}, index=pd.Index(["1"], name="fold"))
    >>> table = table_of(frame, "Folds")
    >>> table.columns, [cell.text for cell in table.rows[0]]
    (['fold', 'UA'], ['1', '62.50'])
    """
    columns = [str(frame.index.name or ""), *map(str, frame.columns)]
    texts = as_texts(frame)
    rows = [
        [Cell(str(name), _key(name)), *map(_cell, values, shown)]
        for name, values, shown in zip(
            frame.index, frame.astype(object).to_numpy(), texts.to_numpy(), strict=True
        )
    ]
    return Table(caption, columns, rows, tuple(columns.index(f) for f in filters))


def _cell(value: object, text: str) -> Cell:
    return Cell(str(text), _key(value))


def _key(value: object) -> float | str:
    if isinstance(value, str):
        try:
            return float(value.split()[0])  # "71.00 [69.50, 73.00]", "71.00 ± 1.4"
        except (ValueError, IndexError):
            return value
    return float("-inf") if pd.isna(value) else float(value)
