"""Drawings in SVG whose colours follow the page, light or dark.

Sizes are in the units of the drawing; it is scaled to the width of the page.
"""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup, escape
from matplotlib.ticker import MaxNLocator

_WIDTH, _HEIGHT = 560, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 42
_ROW, _NAMES = 26, 200  # height of a row and width of its name, with intervals


class Line(NamedTuple):
    """Points to join, and their name in the legend; a guide is grey and dotted."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    is_guide: bool = False


class Interval(NamedTuple):
    """A value with the ends of its interval, and what it is compared with."""

    name: str
    value: float
    low: float
    high: float
    reference: float | None = None


def line_chart(
    lines: Sequence[Line],
    title: str,
    axes: tuple[str, str],
    x_range: tuple[float, float],
    y_range: tuple[float, float],
) -> Markup:
    """Draw lines over two axes.

    Arguments
    ---------
    title : str
        For readers who cannot see the drawing.
    axes : tuple[str, str]
        Names of the axes.

    Example
    -------
    >>> line = Line("fold 1", [1, 2], [0.5, 0.7])
    >>> svg = line_chart([line], "Accuracy", ("epoch", "share"), (1, 2), (0, 1))
    >>> "<polyline" in svg, "fold 1" in svg
    (True, True)
    """
    parts = [*_grid(axes, x_range, y_range)]
    for k, line in enumerate(lines):
        points = " ".join(
            f"{_x(x, x_range):.1f},{_y(y, y_range):.1f}"
            for x, y in zip(line.x, line.y, strict=True)
            if y == y  # not NaN
        )
        shape = Markup('<polyline class="line {}" points="{}"><title>{}</title>')
        kind = _kind(k, line)
        parts.append(shape.format(kind, points, line.name) + Markup("</polyline>"))
    legend = _legend([(line.name, _kind(k, line)) for k, line in enumerate(lines)])
    return _svg(title, parts, _WIDTH, _HEIGHT) + legend


def interval_chart(
    rows: Sequence[Interval], title: str, axis: str, reference: str = ""
) -> Markup:
    """Draw a dot with its interval for each row, in percent.

    Arguments
    ---------
    reference : str
        What the open circles are, if the rows have any.
    """
    low = min(min(r.low, r.value, r.reference or r.value) for r in rows)
    high = max(max(r.high, r.value, r.reference or r.value) for r in rows)
    start, end = 10 * int(max(low, 0) // 10), min(10 * -int(-high // 10), 100)
    width = _WIDTH + _NAMES - _LEFT
    height = _TOP + _ROW * len(rows) + _BOTTOM

    def at(value: float) -> float:
        return _NAMES + (value - start) / (end - start) * (width - _NAMES - _RIGHT)

    base = height - _BOTTOM
    parts = []
    for tick in range(start, end + 1, 10):
        parts.append(_line(at(tick), _TOP, at(tick), base, "grid"))
        parts.append(_text(at(tick), base + 16, str(tick), "tick middle"))
    parts.append(_text((_NAMES + width) / 2, height - 6, axis, "axis middle"))
    for k, row in enumerate(rows):
        y = _TOP + _ROW * (k + 0.5)
        parts.append(_text(_NAMES - 10, y + 4, row.name, "tick end"))
        if row.low == row.low:  # not NaN
            parts.append(_line(at(row.low), y, at(row.high), y, "whisker"))
        dot = Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="4.5">')
        told = f"{row.name}: {row.value:.2f} [{row.low:.2f}, {row.high:.2f}]"
        parts.append(dot.format(at(row.value), y) + _title(told) + Markup("</circle>"))
        if row.reference is not None:
            ring = Markup('<circle class="ring" cx="{:.1f}" cy="{:.1f}" r="5">')
            told = f"{row.name}, {reference}: {row.reference:.2f}"
            ring = ring.format(at(row.reference), y) + _title(told)
            parts.append(ring + Markup("</circle>"))
    return _svg(title, parts, width, height)


def _grid(
    axes: tuple[str, str], x_range: tuple[float, float], y_range: tuple[float, float]
) -> list[Markup]:
    bottom = _HEIGHT - _BOTTOM
    parts = []
    for value in _ticks(y_range):
        y = _y(value, y_range)
        parts.append(_line(_LEFT, y, _WIDTH - _RIGHT, y, "grid"))
        parts.append(_text(_LEFT - 8, y + 4, f"{value:.3g}", "tick end"))
    for value in _ticks(x_range):
        x = _x(value, x_range)
        parts.append(_text(x, bottom + 16, f"{value:.3g}", "tick middle"))
    middle_x, middle_y = (_LEFT + _WIDTH - _RIGHT) / 2, (_TOP + bottom) / 2
    parts.append(_text(middle_x, _HEIGHT - 6, axes[0], "axis middle"))
    turned = Markup('<text class="axis middle" transform="rotate(-90 12 {y:.0f})" ')
    turned += Markup('x="12" y="{y:.0f}">{name}</text>')
    parts.append(turned.format(y=middle_y, name=axes[1]))
    return parts


def _ticks(ends: tuple[float, float]) -> list[float]:
    """Return round numbers between two ends."""
    ticks = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(*ends)
    return [float(tick) for tick in ticks if ends[0] <= tick <= ends[1]]


def _x(value: float, ends: tuple[float, float]) -> float:
    span = (ends[1] - ends[0]) or 1
    return _LEFT + (value - ends[0]) / span * (_WIDTH - _LEFT - _RIGHT)


def _y(value: float, ends: tuple[float, float]) -> float:
    span = (ends[1] - ends[0]) or 1
    bottom = _HEIGHT - _BOTTOM
    return bottom - (value - ends[0]) / span * (bottom - _TOP)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    line = Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>')
    return line.format(kind, x1, y1, x2, y2)


def _text(x: float, y: float, text: str, kind: str) -> Markup:
    markup = Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>')
    return markup.format(kind, x, y, text)


def _title(text: str) -> Markup:
    return Markup("<title>{}</title>").format(text)


def _kind(k: int, line: Line) -> str:
    return "guide" if line.is_guide else f"s{k % 8}"


def _legend(lines: Sequence[tuple[str, str]]) -> Markup:
    if len(lines) < 2:
        return Markup("")
    item = Markup('<li><span class="key {}"></span>{}</li>')
    items = Markup("").join(item.format(kind, name) for name, kind in lines)
    return Markup('<ul class="legend">') + items + Markup("</ul>")


def _svg(title: str, parts: Sequence[Markup], width: float, height: float) -> Markup:
    start = Markup('<svg role="img" aria-label="{}" viewBox="0 0 {:.0f} {:.0f}">')
    body = Markup("").join(escape(part) for part in parts)
    return start.format(title, width, height) + body + Markup("</svg>")
