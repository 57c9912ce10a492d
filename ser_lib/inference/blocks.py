"""Read a recording of any length in blocks, or parts of it, of all or one channel."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import torch

from ser_lib.audio import mono

_BLOCK_S = 16.0  # read at a time
_ENVELOPE_COLUMNS = 1500  # pixels of a drawn waveform
# Decoders may return a few frames of an MP3 fewer than its header states.
_MISSING_TOLERANCE_S = 0.1


def read_blocks(
    path: str | Path,
    audio: soundfile.SoundFile,
    channel: int | None = None,
    column_samples: int = 1,
) -> Iterator[np.ndarray]:
    """Yield an open recording in blocks of some seconds.

    Arguments
    ---------
    path : str | Path
        Its name in messages.
    audio : soundfile.SoundFile
        From ``audio.open_audio``.
    channel : int | None
        The channel to read, from 0; None reads all.
    column_samples : int
        Blocks have a multiple of this many samples, except the last.

    Yields
    ------
    (samples,) or (samples, channels) np.ndarray
        float32; full scale is 1.

    Raises
    ------
    ValueError
        If the file ends before its header says so.
    """
    # SoundFile.blocks fills a block that cannot be read with earlier samples.
    n_columns = math.ceil(_BLOCK_S * audio.samplerate / column_samples)
    n_read = 0
    while n_read < audio.frames:
        block = audio.read(n_columns * column_samples, "float32", always_2d=True)
        if len(block) == 0:
            break
        n_read += len(block)
        yield block if channel is None else block[:, channel]
    if audio.frames - n_read > _MISSING_TOLERANCE_S * audio.samplerate:
        raise ValueError(
            f"{path} is cut off: its header states {audio.frames} samples, but it has "
            f"only {n_read}. Copy it again."
        )


class PartReader:
    """Reads parts of an open recording, one after the other.

    Arguments
    ---------
    path : str | Path
        Its name in messages.
    audio : soundfile.SoundFile
        From ``audio.open_audio``, at its start.
    channel : int | None
        The channel to read, from 0; None averages all.
    """

    def __init__(
        self, path: str | Path, audio: soundfile.SoundFile, channel: int | None
    ) -> None:
        self.name = str(path)
        self.sample_rate_hz = audio.samplerate
        self._audio, self._channel, self._position = audio, channel, 0

    def blocks(self, start_s: float, end_s: float) -> Iterator[np.ndarray]:
        """Yield a part in blocks; it may not start before the end of the last one."""
        start, end = (round(t * self.sample_rate_hz) for t in (start_s, end_s))
        self._skip_to(start)
        while self._position < end and len(block := self._read(end)):
            yield block if self._channel is None else block[:, self._channel]

    def wav(self, start_s: float, end_s: float) -> torch.Tensor:
        """Return a part as one channel of shape (samples,); see :meth:`blocks`."""
        blocks = [
            mono(block, self.sample_rate_hz, self.name, start_s)
            for block in self.blocks(start_s, end_s)
        ]
        return torch.cat(blocks) if blocks else torch.zeros(0)

    def _skip_to(self, start: int) -> None:
        if self._audio.seekable():
            self._position = self._audio.seek(start)
        while self._position < start and len(self._read(start)):
            pass  # formats such as GSM need decoding

    def _read(self, end: int) -> np.ndarray:
        n = min(end - self._position, round(_BLOCK_S * self.sample_rate_hz))
        block = self._audio.read(n, "float32", always_2d=True)
        self._position += len(block)
        return block


class Envelope:
    """Collects the lowest and highest sample of equal parts of a stream of blocks."""

    def __init__(self, n_samples: int) -> None:
        self.column_samples = math.ceil(n_samples / _ENVELOPE_COLUMNS)
        self._columns: list[np.ndarray] = []

    def watch(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the blocks unchanged."""
        for block in blocks:
            yield block
            # The consumer has checked the samples and asks for the next block.
            wav = block if block.ndim == 1 else block.mean(axis=1)
            padded = np.pad(wav, (0, -len(wav) % self.column_samples), mode="edge")
            columns = padded.reshape(-1, self.column_samples)
            self._columns.append(np.stack([columns.min(1), columns.max(1)], axis=1))

    def low_and_high(self) -> np.ndarray:
        """Return (columns, 2) samples."""
        return np.concatenate(self._columns)
