"""How a recording is cut into windows, and these are joined to segments."""

from dataclasses import dataclass

from ser_lib.inference.window_cutter import check_lengths

VADS = ("silero",)


@dataclass(frozen=True)
class Windowing:
    """The options of a timeline.

    Arguments
    ---------
    window_s : float
        Length of a window.
    hop_s : float
        Distance between the starts of consecutive windows.
    skip_silence_dbfs : float | None
        See ``windows.stream``.
    min_segment_s : float
        Shorter segments are merged into a neighbour.
    unknown_below : float | None
        The label of windows and segments is ``unknown`` where the highest probability
        is below this.
    vad : str | None
        ``silero`` cuts windows at speech, see ``speech.py``: between pauses, speech of
        at most ``window_s`` is one segment, and nothing else is a segment.
    """

    window_s: float = 4.0
    hop_s: float = 1.0
    skip_silence_dbfs: float | None = None
    min_segment_s: float = 0.0
    unknown_below: float | None = None
    vad: str | None = None

    def check(self, min_duration_s: float) -> None:
        """Raise ValueError if a value is out of range for a model."""
        check_lengths(self.window_s, self.hop_s, min_duration_s)
        if self.vad is not None and self.vad not in VADS:
            raise ValueError(f"vad is {self.vad!r}; expected None or one of {VADS}.")
