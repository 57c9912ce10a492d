"""A recording of unknown length, cut into overlapping windows as its blocks come."""

import numpy as np
import torch

from ser_lib.audio import mono

# A window is kept in memory. A shorter hop does not hold one period of a voice, so
# whether there is sound in it cannot be told.
_LONGEST_WINDOW_S = 600.0
_SHORTEST_HOP_S = 0.01


def check_lengths(window_s: float, hop_s: float, min_duration_s: float) -> None:
    """Refuse windows that are too short, and hops that leave gaps.

    Arguments
    ---------
    window_s : float
        Length of a window.
    hop_s : float
        From the start of a window to that of the next.
    min_duration_s : float
        The shortest audio that the model takes.

    Raises
    ------
    ValueError
        If a window is shorter than that or longer than 600 s, or the hop is not
        between 0.01 s and one window.

    Example
    -------
    >>> check_lengths(window_s=1.0, hop_s=2.0, min_duration_s=0.1)
    Traceback (most recent call last):
    ...
    ValueError: hop_s is 2.0; expected at least 0.01 and at most window_s (1.0).
    """
    if not min_duration_s <= window_s <= _LONGEST_WINDOW_S:
        raise ValueError(
            f"window_s is {window_s}; expected at least {min_duration_s:.3f}, the "
            f"shortest audio that the model takes, and at most {_LONGEST_WINDOW_S:.0f}."
        )
    if not _SHORTEST_HOP_S <= hop_s <= window_s:
        raise ValueError(
            f"hop_s is {hop_s}; expected at least {_SHORTEST_HOP_S} and at most "
            f"window_s ({window_s})."
        )


class WindowCutter:
    """Cuts blocks into windows; it keeps the audio from the next window's start on.

    Arguments
    ---------
    sample_rate_hz : int
        Rate of the blocks.
    window_s : float
        Length of a window, rounded to samples.
    hop_s : float
        From the start of a window to that of the next, rounded to samples.
    name : str
        What the messages call the recording.

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
    ) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.window_samples = round(window_s * sample_rate_hz)
        self.hop_samples = max(round(hop_s * sample_rate_hz), 1)
        self.name = name
        self.n_windows = 0
        self._parts: list[torch.Tensor] = []
        self._n_samples = 0

    def push(self, block: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Take a block.

        Arguments
        ---------
        block : (samples,) or (samples, channels) np.ndarray | torch.Tensor
            The next piece of the recording.

        Returns
        -------
        (windows, window_samples) torch.Tensor
            The windows that it completes; they share their memory.
        """
        wav = self._mono(block)
        self._parts.append(wav)
        self._n_samples += len(wav)
        # Blocks of a few samples are joined once a window, not one by one.
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
        """Give what no window covers, from the start that the next one would have.

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
        start_s = n_before / self.sample_rate_hz
        return mono(block, self.sample_rate_hz, self.name, start_s)
