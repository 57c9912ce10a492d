"""What a batch is made of: audio by path, and utterances of like length."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Sampler

from ser_lib.audio import read_audio, trim_silence


class AudioReader:
    """Reads the utterances of a corpus as mono waveforms at one rate.

    Arguments
    ---------
    data_folder : str
        The folder that the manifest's paths are relative to.
    sample_rate_hz : int
        Rate that the upstream expects; files at other rates are resampled.
    trim_silence_db : float
        Cut leading and trailing frames that are this much below the loudest one;
        None leaves the audio as it is.
    keep_in_memory : bool
        Keep what was read for later epochs (about 4 MB a minute, in each worker).
        Worth it for small corpora whose files are slow to decode.
    """

    def __init__(
        self,
        data_folder: str,
        sample_rate_hz: int,
        trim_silence_db: float | None = None,
        keep_in_memory: bool = False,
    ) -> None:
        self.data_folder = Path(data_folder)
        self.sample_rate_hz = sample_rate_hz
        self.trim_silence_db = trim_silence_db
        self._kept = lru_cache(None)(self._read) if keep_in_memory else None

    def __call__(self, path: str) -> torch.Tensor:
        """Read one utterance.

        Arguments
        ---------
        path : str
            As in the manifest.

        Returns
        -------
        (samples,) torch.Tensor
            The waveform.
        """
        if self._kept is not None:
            return self._kept(path).clone()  # what is made of it may be changed
        return self._read(path)

    def _read(self, path: str) -> torch.Tensor:
        wav = read_audio(self.data_folder / path, self.sample_rate_hz)
        if self.trim_silence_db is not None:
            wav = trim_silence(wav, self.sample_rate_hz, self.trim_silence_db)
        return wav


class LengthBucketSampler(Sampler):
    """Batches of utterances of similar length, drawn anew in every epoch.

    Utterances are sorted by their duration times a random factor and cut into
    batches, and the batches are shuffled. The factor changes who meets whom; the
    sorting keeps padding low. The order depends on the seed and the epoch alone.

    Arguments
    ---------
    durations_s : Sequence[float]
        Duration of each utterance.
    batch_size : int
        Most utterances in a batch.
    max_batch_s : float
        Most padded seconds in a batch (utterances times the longest of them); a
        single longer utterance makes a batch of its own.
    seed : int
        Seed of the order.
    shuffle : bool
        False gives one fixed order, longest first, for evaluation.
    jitter : float
        The random factor lies in [1 - jitter, 1 + jitter].
    share : tuple[int, int]
        Number of this process and number of processes: each iterates over its share
        of the same batches. When shuffled, some batches are repeated so that all
        shares are of one size; in evaluation, none is.

    Example
    -------
    >>> sampler = LengthBucketSampler([1, 5, 1.1, 5.2], batch_size=2, shuffle=False)
    >>> list(sampler)
    [[3, 1], [2, 0]]
    """

    def __init__(
        self,
        durations_s: Sequence[float],
        batch_size: int,
        max_batch_s: float = float("inf"),
        seed: int = 0,
        shuffle: bool = True,
        jitter: float = 0.05,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.durations_s = np.asarray(durations_s, dtype=float)
        self.batch_size = batch_size
        self.max_batch_s = max_batch_s
        self.seed = seed
        self.shuffle = shuffle
        self.jitter = jitter
        self.share = share
        self.epoch = 0
        self._batches = self._cut()

    def set_epoch(self, epoch: int) -> None:
        """Draw the batches of an epoch; SpeechBrain calls this.

        Arguments
        ---------
        epoch : int
            Number of the epoch.
        """
        self.epoch = epoch
        self._batches = self._cut()

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)

    def _cut(self) -> list[list[int]]:
        random = np.random.default_rng([self.seed, self.epoch])
        n = len(self.durations_s)
        factors = random.uniform(1 - self.jitter, 1 + self.jitter, n)
        sort_by = self.durations_s * factors if self.shuffle else self.durations_s
        batches, longest_s = [[]], 0.0
        for i in np.argsort(-sort_by, kind="stable").tolist():
            longest_s = max(longest_s, self.durations_s[i])
            padded_s = (len(batches[-1]) + 1) * longest_s
            is_full = len(batches[-1]) == self.batch_size
            if batches[-1] and (is_full or padded_s > self.max_batch_s):
                batches.append([])
                longest_s = self.durations_s[i]
            batches[-1].append(i)
        if self.shuffle:
            # Batch norm cannot train on one utterance.
            if len(batches) > 1 and len(batches[-1]) == 1:
                last = batches.pop()
                batches[-1] += last
            random.shuffle(batches)
        rank, n_shares = self.share
        if self.shuffle:
            batches += islice(cycle(batches[:]), -len(batches) % n_shares)
        return batches[rank::n_shares]
