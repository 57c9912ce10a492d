"""Cut a stream of audio blocks into overlapping windows."""

import numpy as np
import torch

from ser_lib.audio import mono

_MAX_WINDOW_S = 600.0  # a window is kept in memory
_MIN_HOP_S = 0.01  # about one period of a voice, needed to detect sound


def check_lengths(window_s: float, hop_s: float, min_duration_s: float) -> None:
    """Check the lengths of windows and hops.

    Arguments
    ---------
    window_s : float
        Length of a window: from ``min_duration_s`` to 600.
    hop_s : float
        Distance between the starts of consecutive windows: from 0.01 to ``window_s``.
    min_duration_s : float
        The shortest audio that the model accepts.

    Example
    -------
    >>> check_lengths(window_s=1.0, hop_s=2.0, min_duration_s=0.1)
    Traceback (most recent call last):
    ...
    ValueError: hop_s is 2.0; expected at least 0.01 and at most window_s (1.0).
    """
    if not min_duration_s <= window_s <= _MAX_WINDOW_S:
        raise ValueError(
            f"window_s is {window_s}; expected at least {min_duration_s:.3f}, the "
            f"shortest audio that the model accepts, and at most {_MAX_WINDOW_S:.0f}."
        )
    if not _MIN_HOP_S <= hop_s <= window_s:
        raise ValueError(
            f"hop_s is {hop_s}; expected at least {_MIN_HOP_S} and at most "
            f"window_s ({window_s})."
        )


class WindowCutter:
    """Cuts blocks into windows.

    Arguments
    ---------
    sample_rate_hz : int
        Sampling rate of the blocks.
    window_s : float
        Length of a window, rounded to samples.
    hop_s : float
        Distance between the starts of consecutive windows, rounded to samples.
    name : str
        Name of the recording, for error messages.
    start_s : float
        Position of the first sample in the recording.

    Example
    -------
    >>> cutter = WindowCutter(sample_rate_hz=1, window_s=3, hop_s=2)
    >>> cutter.push(torch.tensor([0.0, 0.1])).shape
    torch.Size([0, 3])
    >>> cutter.push(torch.tensor([0.2, 0.3, 0.4, 0.5]))
    tensor([[0.0000, 0.1000, 0.2000],
            [0.2000, 0.3000, 0.4000]])
    >>> cutter.rest()
    tensor([[0.4000, 0.5000]])
    """

    def __init__(
        self,
        sample_rate_hz: int,
        window_s: float,
        hop_s: float,
        name: str = "The recording",
        start_s: float = 0.0,
    ) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.window_samples = round(window_s * sample_rate_hz)
        self.hop_samples = max(round(hop_s * sample_rate_hz), 1)
        self.name, self.start_s = name, start_s
        self.n_windows = 0
        self._parts: list[torch.Tensor] = []
        self._n_samples = 0

    def push(self, block: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Add a block and return the windows that it completes.

        Arguments
        ---------
        block : (samples,) or (samples, channels) np.ndarray | torch.Tensor
            The next part of the recording.

        Returns
        -------
        (windows, window_samples) torch.Tensor
            A view: overlapping windows share memory.
        """
        wav = self._mono(block)
        self._parts.append(wav)
        self._n_samples += len(wav)
        # Small blocks are joined once per window, not one by one.
        if self._n_samples < self.window_samples:
            return wav.new_zeros(0, self.window_samples)
        wav = torch.cat(self._parts)
        windows = wav.unfold(0, self.window_samples, self.hop_samples)
        self.n_windows += len(windows)
        # A copy, since a view would keep the whole block in memory.
        self._parts = [wav[len(windows) * self.hop_samples :].clone()]
        self._n_samples = len(self._parts[0])
        return windows

    def rest(self) -> torch.Tensor:
        """Return the rest, from the start of the next window, if it has new samples.

        Returns
        -------
        (windows, samples) torch.Tensor
            One shorter window, or none.
        """
        wav = torch.cat(self._parts) if self._parts else torch.zeros(0)
        covered_samples = (
            self.window_samples - self.hop_samples if self.n_windows else 0
        )
        return wav[None] if len(wav) > covered_samples else wav.new_zeros(0, 1)

    def _mono(self, block: np.ndarray | torch.Tensor) -> torch.Tensor:
        n_before = self.n_windows * self.hop_samples + self._n_samples
        start_s = self.start_s + n_before / self.sample_rate_hz
        return mono(block, self.sample_rate_hz, self.name, start_s)
