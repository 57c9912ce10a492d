"""Turn the windows of a recording into smoothed probabilities and segments.

1. The recording is divided into **cells** as long as the hop. The probabilities of a
   cell are the mean over all classified windows that contain its middle (four with the
   default lengths). Its label is the most probable one, or ``unknown`` if that one is
   less probable than ``unknown_below``; a silent cell has none.
2. Adjacent cells with the same label form a **segment**. Its score is the mean
   probability of that label over time; for ``unknown``, it is the highest
   probability of each cell.
3. The shortest segment below ``min_segment_s`` (the first, if there are several) is
   merged into the adjacent segment whose label is more probable in it; this is
   repeated. A segment between silences is kept, even if it is too short.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ser_lib.inference.sureness import UNKNOWN
from ser_lib.inference.windows import Window

_SILENT = -1


@dataclass(frozen=True)
class Segment:
    """A part of a recording with one emotion; its score is the mean probability.

    ``others`` are the mean answers of the model's other tasks. The turn of a speaker
    has the mean probability of each label, too, or an error and no label if it cannot
    be classified.
    """

    start_s: float
    end_s: float
    label: str
    score: float
    others: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()
    error: str = ""


def smooth(
    windows: Sequence[Window], n_answers: int, hop_s: float
) -> tuple[np.ndarray, np.ndarray]:
    """Turn overlapping windows into cells that do not overlap.

    Arguments
    ---------
    windows : Sequence[Window]
        All windows of a recording.
    n_answers : int
        Number of probabilities and other answers of a window.
    hop_s : float
        Distance between the starts of consecutive windows.

    Returns
    -------
    edges_s : (cells + 1,) np.ndarray
        Starts of the cells, and the end of the last one.
    answers : (cells, n_answers) np.ndarray
        Mean over the classified windows that contain the middle of the cell; NaN in
        silent cells.

    Example
    -------
    >>> first = Window(0.0, 2.0, (True, True), "a", 1.0, (1.0, 0.0))
    >>> second = Window(1.0, 3.0, (True, True), "a", 0.5, (0.5, 0.5))
    >>> edges_s, probabilities = smooth([first, second], n_answers=2, hop_s=1.0)
    >>> probabilities[:, 0]
    array([1.  , 0.75, 0.5 ])
    """
    # Each window starts a new cell; the last window contains all remaining cells.
    has_sound = [window.has_sound[0] for window in windows]
    has_sound += windows[-1].has_sound[1:]
    starts_s = windows[0].start_s + np.arange(len(has_sound)) * hop_s
    edges_s = np.append(starts_s, windows[-1].end_s)
    middles_s = (edges_s[:-1] + edges_s[1:]) / 2
    sums, counts = np.zeros((len(has_sound), n_answers)), np.zeros(len(has_sound))
    for first, window in enumerate(windows):
        if window.probabilities is not None:
            # A window that ends at the middle of a cell does not contain it.
            end = np.searchsorted(middles_s, window.end_s - 1e-6)
            sums[first:end] += np.array(window.probabilities + window.others)
            counts[first:end] += 1
    counts[~np.asarray(has_sound)] = np.nan
    return edges_s, sums / counts[:, None]


def find_segments(
    labels: Sequence[str],
    edges_s: np.ndarray,
    answers: np.ndarray,
    min_segment_s: float = 0.0,
    unknown_below: float | None = None,
) -> list[Segment]:
    """Join adjacent cells with the same label.

    Arguments
    ---------
    labels : Sequence[str]
        The labels, in the order of the probabilities.
    edges_s : (cells + 1,) np.ndarray
        From :func:`smooth`.
    answers : (cells, n_answers) np.ndarray
        From :func:`smooth`: the probabilities, then other answers.
    min_segment_s : float
        Shorter segments are merged into a neighbour.
    unknown_below : float | None
        The label of cells whose highest probability is below is ``unknown``.

    Example
    -------
    >>> shares = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
    >>> for segment in find_segments(["sad", "angry"], np.arange(4.0), shares):
    ...     print(segment.start_s, segment.end_s, segment.label, f"{segment.score:.1f}")
    0.0 2.0 sad 0.8
    2.0 3.0 angry 0.8
    """
    probabilities, others = np.split(answers, [len(labels)], axis=1)
    labels = [*labels, UNKNOWN]
    highest = probabilities.max(axis=1)
    indices = np.nan_to_num(probabilities).argmax(axis=1)
    if unknown_below is not None:
        indices[highest < unknown_below] = labels.index(UNKNOWN)
    indices[np.isnan(highest)] = _SILENT
    probabilities = np.column_stack([probabilities, highest])
    indices = _without_short(indices, edges_s, probabilities, min_segment_s)
    segments = []
    for start, end in zip(*_runs(indices), strict=True):
        index = int(indices[start])
        if index != _SILENT:
            durations_s = np.diff(edges_s[start : end + 1])
            score = np.average(probabilities[start:end, index], weights=durations_s)
            means = np.average(others[start:end], axis=0, weights=durations_s)
            start_s, end_s = float(edges_s[start]), float(edges_s[end])
            values = labels[index], float(score), tuple(means.tolist())
            segments.append(Segment(start_s, end_s, *values))
    return segments


def _runs(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return starts and ends of the runs of equal indices."""
    starts = np.flatnonzero(np.diff(indices, prepend=_SILENT - 1))
    return starts, np.append(starts[1:], len(indices))


def _without_short(
    indices: np.ndarray,
    edges_s: np.ndarray,
    probabilities: np.ndarray,
    min_segment_s: float,
) -> np.ndarray:
    """Merge the shortest run into a neighbour until none is too short."""
    indices = indices.copy()
    while True:
        starts, ends = _runs(indices)
        durations_s = (edges_s[ends] - edges_s[starts]).round(6)
        around = np.pad(indices[starts], 1, constant_values=_SILENT)
        has_neighbour = (around[:-2] != _SILENT) | (around[2:] != _SILENT)
        is_short = has_neighbour & (around[1:-1] != _SILENT)
        is_short &= durations_s < min_segment_s
        if not is_short.any():
            return indices
        shortest = int(np.where(is_short, durations_s, np.inf).argmin())
        start, end = starts[shortest], ends[shortest]
        means = probabilities[start:end].mean(axis=0)
        neighbours = [i for i in around[[shortest, shortest + 2]] if i != _SILENT]
        indices[start:end] = max(neighbours, key=means.__getitem__)
