"""Sampler that batches utterances of similar length."""

from collections.abc import Iterator, Sequence
from itertools import cycle, islice

import numpy as np
from torch.utils.data import Sampler

_JITTER = 0.05  # durations are multiplied by a random factor this close to 1


class LengthBucketSampler(Sampler):
    """Batches of utterances of similar length, drawn again in every epoch.

    Utterances are sorted by their duration times a random factor and cut into batches,
    and the batches are shuffled. The factor varies which utterances share a batch; the
    sorting keeps padding low. The order depends only on the seed and the epoch.

    Arguments
    ---------
    durations_s : Sequence[float]
        Duration of each utterance.
    batch_size : int
        Maximum number of utterances in a batch.
    max_batch_s : float
        Maximum padded seconds in a batch (number of utterances times the longest
        duration); a single longer utterance gets a batch to itself.
    shuffle : bool
        False gives one fixed order, longest first, for evaluation.
    share : tuple[int, int]
        Rank of this process and number of processes: each iterates over its share of
        the same batches. With shuffling, some batches are repeated so that all shares
        have the same size; in evaluation, none is.
    weights : Sequence[float] | None
        The probability of each utterance: an epoch draws as many as there are, with
        replacement. None takes each once.

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
        share: tuple[int, int] = (0, 1),
        weights: Sequence[float] | None = None,
    ) -> None:
        self.durations_s = np.asarray(durations_s, dtype=float)
        self.batch_size = batch_size
        self.max_batch_s = max_batch_s
        self.seed = seed
        self.shuffle = shuffle
        self.share = share
        self.weights = weights
        self.epoch = 0
        self._batches = self._cut()

    def set_epoch(self, epoch: int) -> None:
        """Draw the batches of an epoch; SpeechBrain calls this."""
        self.epoch = epoch
        self._batches = self._cut()

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)

    def _cut(self) -> list[list[int]]:
        random = np.random.default_rng([self.seed, self.epoch])
        n = len(self.durations_s)
        drawn = np.arange(n)
        if self.weights is not None:
            drawn = random.choice(n, size=n, p=self.weights)
        sort_by = self.durations_s[drawn]
        if self.shuffle:
            sort_by = sort_by * random.uniform(1 - _JITTER, 1 + _JITTER, n)
        batches, longest_s = [[]], 0.0
        for i in drawn[np.argsort(-sort_by, kind="stable")].tolist():
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
