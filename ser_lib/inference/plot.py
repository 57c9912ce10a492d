"""The figure of a timeline: waveform, segments and probability curves.

That of several speakers has these three for each of them.
"""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    FuncFormatter,
    MaxNLocator,
    PercentFormatter,
)

from ser_lib.inference.colours import COLOURS, UNKNOWN_COLOUR, text_colour
from ser_lib.inference.formats import Timelines
from ser_lib.inference.segments import Segment
from ser_lib.inference.sureness import UNKNOWN
from ser_lib.inference.timeline import Timeline
from ser_lib.utils.file_names import on_one_line

_DPI = 150
_LINE_STYLES = ("-", "--", ":", "-.")  # for more labels than colours
_TICKS_S = (15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
_MAX_SPEAKERS = 12
# Width of a letter, as a share of the figure's width.
_LETTER = 0.008


def timeline_figure(timelines: Timelines) -> Figure:
    """Draw a timeline: waveform, segments, and the smoothed probability of each label.

    Silence is light grey and has no curve; segments that are unknown are dark grey.
    Of many speakers, the twelve are drawn who speak longest.
    """
    each = [timelines] if isinstance(timelines, Timeline) else list(timelines)
    shown = _longest(each)
    height_in = 5.5 if len(shown) == 1 else 3.2 * len(shown) + 0.5
    figure = Figure((11, height_in), dpi=_DPI, layout="constrained")
    all_axes = figure.subplots(
        3 * len(shown), 1, sharex=True, height_ratios=[4, 1, 4] * len(shown)
    )
    styles = _styles(shown)
    for i, timeline in enumerate(shown):
        waveform, strip, curves = all_axes[3 * i : 3 * i + 3]
        _draw_waveform(waveform, timeline, styles)
        _draw_segments(strip, timeline, styles)
        _draw_curves(curves, timeline, styles)
        if timeline.speaker:
            waveform.set_title(_text(timeline.speaker, 80), fontsize=9, loc="left")
            strip.set_ylabel("")  # there is no room for it
    _label_time(all_axes[-1], shown[0].duration_s)
    for axes in all_axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    handles = [
        Line2D([], [], lw=2.5, label=label, **style) for label, style in styles.items()
    ]
    figure.legend(
        handles=[*handles, Line2D([], [], color="0.75", lw=2.5, label="(silence)")],
        loc="outside right center",
        fontsize=9,
        frameon=False,
    )
    title = _text(shown[0].path, 110)
    if len(shown) < len(each):
        title += f"\n{len(shown)} of {len(each)} speakers, those who speak longest"
    figure.suptitle(title, fontsize=10)
    return figure


def _text(text: str, width: int) -> str:
    # A dollar sign in a name does not start a formula.
    return textwrap.fill(on_one_line(text), width).replace("$", r"\$")


def _longest(timelines: Sequence[Timeline]) -> list[Timeline]:
    """Return the speakers to draw, in their order."""

    def speaks_s(timeline: Timeline) -> float:
        return sum(s.end_s - s.start_s for s in timeline.segments)

    longest = sorted(timelines, key=speaks_s, reverse=True)[:_MAX_SPEAKERS]
    return [timeline for timeline in timelines if any(timeline is t for t in longest)]


def _styles(timelines: Sequence[Timeline]) -> dict[str, dict]:
    """Return the style of each label, and of ``unknown`` if a segment is unknown."""
    n_colours, n_styles = len(COLOURS), len(_LINE_STYLES)
    styles = {
        label: {
            "color": COLOURS[i % n_colours],
            "linestyle": _LINE_STYLES[i // n_colours % n_styles],
        }
        for i, label in enumerate(timelines[0].labels)
    }
    segments = [segment for timeline in timelines for segment in _labelled(timeline)]
    if any(segment.label not in styles for segment in segments):
        styles[UNKNOWN] = {"color": UNKNOWN_COLOUR, "linestyle": "-"}
    return styles


def _draw_waveform(axes: Axes, timeline: Timeline, styles: dict) -> None:
    low, high = timeline.envelope.T
    edges_s = np.linspace(0, timeline.duration_s, len(low) + 1)
    middles_s = (edges_s[:-1] + edges_s[1:]) / 2
    axes.fill_between(middles_s, low, high, color="0.75", lw=0.5)
    indices = _label_of_each(middles_s, timeline, list(styles))
    for i, style in enumerate(styles.values()):
        # One more column closes the gap between two colours.
        inside = indices == i
        inside |= np.roll(inside, 1) & (np.arange(len(inside)) > 0)
        axes.fill_between(
            middles_s, low, high, where=inside, color=style["color"], lw=0.5
        )
    limit = 1.05 * max(np.abs(timeline.envelope).max(), 1e-3)
    axes.set_ylim(-limit, limit)
    axes.set_ylabel("amplitude\n(full scale = 1)", fontsize=9)
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _label_of_each(
    times_s: np.ndarray, timeline: Timeline, labels: Sequence[str]
) -> np.ndarray:
    """Return the index of the label at each time; -1 in silence."""
    indices = np.full(len(times_s), -1)
    for segment in _labelled(timeline):
        inside = (times_s >= segment.start_s) & (times_s < segment.end_s)
        indices[inside] = labels.index(segment.label)
    return indices


def _labelled(timeline: Timeline) -> list[Segment]:
    return [segment for segment in timeline.segments if not segment.error]


def _draw_segments(axes: Axes, timeline: Timeline, styles: dict) -> None:
    axes.broken_barh([(0, timeline.duration_s)], (0, 1), color="0.9", lw=0)
    # With hundreds of segments, white lines between them would hide them.
    line_width = 0.8 if len(timeline.segments) < 100 else 0
    for label, style in styles.items():
        spans = [
            (segment.start_s, segment.end_s - segment.start_s)
            for segment in _labelled(timeline)
            if segment.label == label
        ]
        axes.broken_barh(spans, (0, 1), color=style["color"], ec="white", lw=line_width)
    for segment in _labelled(timeline):
        share = (segment.end_s - segment.start_s) / timeline.duration_s
        if share > _LETTER * (len(segment.label) + 1):
            colour = styles[segment.label]["color"]
            axes.text(
                (segment.start_s + segment.end_s) / 2,
                0.48,
                segment.label,
                ha="center",
                va="center",
                fontsize=8,
                color=text_colour(colour),
                clip_on=True,
            )
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.set_ylabel("emotion", fontsize=9)


def _draw_curves(axes: Axes, timeline: Timeline, styles: dict) -> None:
    for label, values in zip(timeline.labels, timeline.probabilities.T, strict=True):
        style = styles[label]
        axes.stairs(
            values, timeline.edges_s, baseline=None, lw=1.4, label=label, **style
        )
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=" %"))
    axes.set_ylabel("probability", fontsize=9)
    axes.grid(alpha=0.3)


def _label_time(axes: Axes, duration_s: float) -> None:
    axes.set_xlim(0, duration_s)
    if duration_s < 120:
        axes.set_xlabel("time (s)", fontsize=9)
        return
    axes.set_xlabel(
        "time (h:min:s)" if duration_s >= 3600 else "time (min:s)", fontsize=9
    )
    step_s = next((s for s in _TICKS_S if duration_s <= 10 * s), duration_s / 10)
    axes.set_xticks(np.arange(0, duration_s + 1e-6, step_s))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda s, _: _clock(s, duration_s)))


def _clock(seconds: float, duration_s: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    if duration_s < 3600:
        return f"{minutes}:{second:02d}"
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"
