"""Classify live sound window by window, and measure how late the results are."""

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from ser_lib.inference import Recognizer, Window, Windowing, stream, sure_label
from ser_lib.listen.sources import Source
from ser_lib.utils.command import raise_if_interrupted


class Listener:
    """Classifies live sound.

    Arguments
    ---------
    recognizer : Recognizer
        The model.
    source : Source
        Where the sound comes from.
    windowing : Windowing
        Without ``vad`` and ``min_segment_s``.
    seconds : float | None
        How much to hear; None does not end before the source does.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        source: Source,
        windowing: Windowing,
        seconds: float | None = None,
    ) -> None:
        windowing.check(recognizer.min_duration_s)
        self._recognizer, self._source = recognizer, source
        self._windowing, self._seconds = windowing, seconds
        self._n_heard, self._heard_at_s = 0, 0.0
        self.latencies_s: list[float] = []
        # The first call of a network is slow.
        n_samples = round(windowing.window_s * recognizer.sample_rate_hz)
        recognizer.classify_batch(torch.zeros(1, n_samples), torch.ones(1))

    def windows(self) -> Iterator[Window]:
        """Yield each window as soon as it is classified."""
        rate_hz, how = self._source.sample_rate_hz, self._windowing
        limits = how.window_s, how.hop_s, how.skip_silence_dbfs
        for window in stream(self._recognizer, self._blocks(), rate_hz, *limits):
            raise_if_interrupted()
            if window.label is not None:
                label = sure_label(window.label, window.score, how.unknown_below)
                window = replace(window, label=label)
            yield window
            # The consumer has shown the window and asks for the next one.
            self._measure(window)

    def _blocks(self) -> Iterator[np.ndarray]:
        """Yield samples, and remember when the last one was heard."""
        rate_hz, n_limit = self._source.sample_rate_hz, None
        if self._seconds is not None:
            n_limit = round(self._seconds * rate_hz)
        for samples, heard_at_s in self._source.blocks():
            self._n_heard += len(samples)
            self._heard_at_s = heard_at_s
            if n_limit is None or self._n_heard < n_limit:
                yield samples
                continue
            n_more = self._n_heard - n_limit
            self._n_heard, self._heard_at_s = n_limit, heard_at_s - n_more / rate_hz
            yield samples[: len(samples) - n_more]
            return

    def _measure(self, window: Window) -> None:
        """Note how long after its last sample a window with sound was shown."""
        if window.label is not None:
            later_s = self._n_heard / self._source.sample_rate_hz - window.end_s
            shown_after_s = time.monotonic() - (self._heard_at_s - later_s)
            self.latencies_s.append(shown_after_s)

    def latency_text(self) -> str:
        """Sum up the latencies for a person, on one line."""
        if not self.latencies_s:
            return "No window with sound was complete."
        middle_s, high_s = np.percentile(self.latencies_s, [50, 95])
        number = len(self.latencies_s)
        return (
            f"From the last sample of a window to its line: median "
            f"{1000 * middle_s:.0f} ms, 95 % within {1000 * high_s:.0f} ms ({number} "
            f"window{'s' * (number > 1)})."
        )


def window_line(window: Window) -> str:
    """Return the line that shows a window.

    Example
    -------
    >>> window_line(Window(1.0, 5.0, (True,), "sad", 0.5, (0.5, 0.5)))
    '    1.0 to    5.0 s  sad        0.50'
    """
    where = f"{window.start_s:7.1f} to {window.end_s:6.1f} s"
    if window.label is None:
        return f"{where}  (silence)"
    return f"{where}  {window.label:9}  {window.score:.2f}"
