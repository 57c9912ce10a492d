"""Sum up the timelines of a recording by speaker."""

from collections.abc import Sequence

import numpy as np

from ser_lib.inference.segments import Segment
from ser_lib.inference.spans import Cells
from ser_lib.inference.sureness import UNKNOWN
from ser_lib.inference.timeline import Timeline


def speaker_rows(timelines: Sequence[Timeline]) -> list[dict]:
    """Return a row for each speaker.

    Returns
    -------
    list[dict]
        ``speaker``; ``segments`` and their ``duration_s``; ``failed``, the number of
        turns without a result, which count no further; ``overlap_s``, how much of the
        duration others speak, too; for each label (and ``unknown``) its share of the
        duration, ``share_<label>``; the mean probabilities over time, ``p_<label>``.
        Shares and means are None for a speaker without a result.
    """
    return [_row(timeline, timelines) for timeline in timelines]


def _row(timeline: Timeline, timelines: Sequence[Timeline]) -> dict:
    own = [segment for segment in timeline.segments if not segment.error]
    others = [
        segment
        for other in timelines
        if other is not timeline
        for segment in other.segments
    ]
    durations_s = dict.fromkeys([*timeline.labels, UNKNOWN], 0.0)
    for segment in own:
        durations_s[segment.label] += segment.end_s - segment.start_s
    total_s = sum(durations_s.values())
    means = Cells(timeline.edges_s, timeline.probabilities).mean()
    return {
        "speaker": timeline.speaker,
        "segments": len(own),
        "failed": len(timeline.segments) - len(own),
        "duration_s": round(total_s, 3),
        "overlap_s": round(_overlap_s(own, others), 3),
        **{
            f"share_{label}": round(duration_s / total_s, 6) if total_s else None
            for label, duration_s in durations_s.items()
        },
        **{
            f"p_{label}": round(float(mean), 6) if total_s else None
            for label, mean in zip(timeline.labels, means, strict=True)
        },
    }


def _overlap_s(own: Sequence[Segment], others: Sequence[Segment]) -> float:
    """Return how long segments overlap the union of others."""
    edges_s = np.unique([t for s in [*own, *others] for t in (s.start_s, s.end_s)])
    middles_s = (edges_s[:-1] + edges_s[1:]) / 2
    is_both = _is_inside(middles_s, own) & _is_inside(middles_s, others)
    return float(np.diff(edges_s)[is_both].sum())


def _is_inside(times_s: np.ndarray, segments: Sequence[Segment]) -> np.ndarray:
    """Return for each time whether a segment contains it."""
    starts_s = np.sort([segment.start_s for segment in segments])
    ends_s = np.sort([segment.end_s for segment in segments])
    return np.searchsorted(starts_s, times_s) > np.searchsorted(ends_s, times_s)


def speaker_line(row: dict) -> str:
    """Sum up a row of :func:`speaker_rows` for a person, on one line.

    Example
    -------
    >>> speaker_line(
    ...     {"speaker": "Ann", "segments": 2, "failed": 1, "duration_s": 4.0,
    ...      "share_sad": 0.75, "share_happy": 0.25, "share_unknown": 0.0}
    ... )
    'Ann: 4.0 s in 2 segments: sad 75 %, happy 25 % (1 failed)'
    """
    shares = {
        name.removeprefix("share_"): share
        for name, share in row.items()
        if name.startswith("share_") and share
    }
    in_order = sorted(shares.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{label} {100 * share:.0f} %" for label, share in in_order)
    number = f"{row['segments']} segment{'s' * (row['segments'] != 1)}"
    failed = f" ({row['failed']} failed)" if row["failed"] else ""
    what = f": {shown}" if shown else ""
    return f"{row['speaker']}: {row['duration_s']:.1f} s in {number}{what}{failed}"
