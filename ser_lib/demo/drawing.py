"""Draw an analysis as HTML and SVG that loads nothing; ``page.css`` styles it."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np

from ser_lib.demo.analysis import Analysis
from ser_lib.inference import (
    COLOURS,
    FORMATS,
    UNKNOWN,
    UNKNOWN_COLOUR,
    Timeline,
    text_colour,
)
from ser_lib.predict import TIMELINE_SUFFIXES
from ser_lib.settings import VALUE, Task

_SILENCE_COLOUR = "#9a9a9a"
_TICKS_S = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 3600)
_MAX_TICKS = 6


def result_html(
    analysis: Analysis, tasks: Sequence[Task], address: str, how: str
) -> str:
    """Return the whole result.

    Arguments
    ---------
    analysis : Analysis
        The recording.
    tasks : Sequence[Task]
        What the model answers besides the emotion.
    address : str
        Where the browser finds the sound.
    how : str
        A remark on the model that was used, such as "adapted to 3 recordings".
    """
    timeline, row = analysis.timeline, analysis.row
    colours = label_colours(timeline.labels)
    shares = {label: row[f"p_{label}"] for label in timeline.labels}
    remark = " · ".join(filter(None, [analysis.name, _clock(timeline.duration_s), how]))
    score = f"{100 * row['score']:.0f} %"
    if row["label"] == UNKNOWN:
        best = max(shares, key=shares.__getitem__)
        score = f"not sure enough: {best}, {score}"
    parts = [
        '<section class="ser-result">',
        f'<h2 class="ser-label"><i style="background:{colours[row["label"]]}"></i>'
        f"{escape(row['label'])} <small>{escape(score)}</small></h2>",
        f'<p class="ser-remark">{escape(remark)}</p>',
        bars_html("Probabilities", shares, colours),
        *(_task_html(task, row) for task in tasks),
        timeline_html(timeline, colours, address),
        downloads_html(timeline),
        "</section>",
    ]
    return "".join(parts)


def error_html(message: str) -> str:
    """Return a sentence that says what is wrong."""
    return f'<p class="ser-error" role="alert">{escape(message)}</p>'


def label_colours(labels: Sequence[str]) -> dict[str, str]:
    """Return a colour for each label and for ``unknown``; those of the figures."""
    colours = {label: COLOURS[i % len(COLOURS)] for i, label in enumerate(labels)}
    return {**colours, UNKNOWN: UNKNOWN_COLOUR}


# ---- probabilities


def bars_html(
    title: str, shares: Mapping[str, float], colours: Mapping[str, str]
) -> str:
    """Return a bar for each label, with its probability in percent."""
    bars = (
        f"<tr><th scope='row'>{escape(label)}</th>"
        f"<td class='ser-track'><span style='width:{100 * share:.2f}%;"
        f"background:{colours.get(label, COLOURS[0])}'></span></td>"
        f"<td class='ser-percent'>{100 * share:.1f} %</td></tr>"
        for label, share in shares.items()
    )
    caption = f"<caption>{escape(title)}</caption>"
    return f'<table class="ser-bars">{caption}{"".join(bars)}</table>'


def _task_html(task: Task, row: Mapping) -> str:
    name = task.name.replace("_", " ").capitalize()
    if task.kind == VALUE:
        return f"<p>{escape(name)}: <b>{row[task.name]:.2f}</b></p>"
    shares = {label: row[f"{task.name}_p_{label}"] for label in task.labels}
    return bars_html(name, shares, {})


# ---- the timeline, with the sound under it


def timeline_html(timeline: Timeline, colours: Mapping[str, str], address: str) -> str:
    """Return waveform, segments, probabilities over time and a player.

    A segment is a button with its start and end; ``page.js`` plays it.
    """
    caption = "Over time: click a segment to hear it"
    return (
        f'<figure class="ser-timeline" data-duration="{timeline.duration_s:.3f}">'
        f"<figcaption>{caption}</figcaption>"
        f'<div class="ser-plot">{_waveform_svg(timeline, colours)}'
        f'<div class="ser-strip">{"".join(_segments(timeline, colours))}</div>'
        f"{_curves_svg(timeline, colours)}"
        f'<div class="ser-axis" aria-hidden="true">{"".join(_ticks(timeline))}</div>'
        f'<div class="ser-head"></div></div>'
        f'<audio controls preload="metadata" src="{escape(address)}" '
        f'aria-label="{escape(timeline.path)}"></audio></figure>'
    )


def _waveform_svg(timeline: Timeline, colours: Mapping[str, str]) -> str:
    """Draw the envelope in grey, and above it each label in its colour."""
    low, high = timeline.envelope.T
    peak = max(float(np.abs(timeline.envelope).max()), 1e-3)
    edges = np.linspace(0, timeline.duration_s, len(low) + 1)
    middles_s = (edges[:-1] + edges[1:]) / 2
    label_at = np.full(len(low), "", dtype=object)
    for segment in timeline.segments:
        inside = (middles_s >= segment.start_s) & (middles_s < segment.end_s)
        label_at[inside] = segment.label
    lines: dict[str, list[str]] = {}
    for x, (bottom, top) in enumerate(zip(low / peak, high / peak, strict=True)):
        colour = colours.get(label_at[x], _SILENCE_COLOUR)
        stroke = f"M{x + 0.5} {50 - 48 * top:.1f}V{50.5 - 48 * bottom:.1f}"
        lines.setdefault(colour, []).append(stroke)
    paths = "".join(
        f'<path d="{"".join(strokes)}" stroke="{colour}" stroke-width="1.2"/>'
        for colour, strokes in lines.items()
    )
    return _svg("ser-wave", f"0 0 {len(low)} 100", paths)


def _segments(timeline: Timeline, colours: Mapping[str, str]) -> Iterator[str]:
    for segment in timeline.segments:
        left = 100 * segment.start_s / timeline.duration_s
        width = 100 * (segment.end_s - segment.start_s) / timeline.duration_s
        colour = colours[segment.label]
        said = (
            f"{segment.label}, {segment.start_s:.1f} to {segment.end_s:.1f} s, "
            f"{100 * segment.score:.0f} %"
        )
        yield (
            f'<button type="button" class="ser-segment" data-start="'
            f'{segment.start_s:.3f}" data-end="{segment.end_s:.3f}" title="'
            f'{escape(said)}" aria-label="Play {escape(said)}" style="left:{left:.3f}%;'
            f'width:{width:.3f}%;background:{colour};color:{text_colour(colour)}">'
            f"<span>{escape(segment.label)}</span></button>"
        )


def _curves_svg(timeline: Timeline, colours: Mapping[str, str]) -> str:
    """Draw the smoothed probability of each label as steps; silence is a gap."""
    scale = 1000 / timeline.duration_s
    starts, ends = timeline.edges_s[:-1] * scale, timeline.edges_s[1:] * scale
    paths = []
    for label, values in zip(timeline.labels, timeline.probabilities.T, strict=True):
        steps, is_drawing = [], False
        for start, end, value in zip(starts, ends, values, strict=True):
            if np.isfinite(value):
                y = 98 - 96 * value
                pen = "L" if is_drawing else "M"
                steps.append(f"{pen}{start:.1f} {y:.1f}H{end:.1f}")
            is_drawing = bool(np.isfinite(value))
        paths.append(
            f'<path d="{"".join(steps)}" stroke="{colours[label]}" fill="none" '
            f'stroke-width="2" vector-effect="non-scaling-stroke"/>'
        )
    return _svg("ser-curves", "0 0 1000 100", "".join(paths))


def _svg(name: str, box: str, content: str) -> str:
    return (
        f'<svg class="{name}" viewBox="{box}" preserveAspectRatio="none" '
        f'aria-hidden="true">{content}</svg>'
    )


def _ticks(timeline: Timeline) -> Iterator[str]:
    longest = timeline.duration_s
    step_s = next((s for s in _TICKS_S if longest <= _MAX_TICKS * s), longest / 5)
    for time_s in np.arange(0, 0.97 * longest, step_s):
        left = 100 * time_s / longest
        shown = f"{time_s:g}" if longest < 60 else _clock(time_s)
        yield f'<span style="left:{left:.3f}%">{shown}</span>'


def _clock(seconds: float) -> str:
    """Return a duration to read.

    Example
    -------
    >>> _clock(3.21), _clock(75)
    ('3.2 s', '1:15')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


# ---- downloads


def downloads_html(timeline: Timeline) -> str:
    """Return a link for each format of timelines; the links hold the files."""
    links = []
    stem = Path(timeline.path).stem or "timeline"
    for name, text_of in FORMATS.items():
        content = base64.b64encode(text_of(timeline).encode()).decode()
        file = f"{stem}{TIMELINE_SUFFIXES.get(name, f'.{name}')}"
        links.append(
            f'<a class="ser-download" download="{escape(file)}" href="data:'
            f'application/octet-stream;base64,{quote(content, safe="+/=")}">'
            f"{escape(_FORMAT_NAMES.get(name, name))}</a>"
        )
    return f'<p class="ser-downloads">Download the timeline: {" ".join(links)}</p>'


_FORMAT_NAMES = {
    "csv": "CSV",
    "json": "JSON",
    "rttm": "RTTM",
    "audacity": "Audacity",
    "textgrid": "TextGrid",
    "webvtt": "WebVTT",
    "vtt": "WebVTT",
}
