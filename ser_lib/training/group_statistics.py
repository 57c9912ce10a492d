"""Whose recordings standardise an utterance's frames: its speaker's, its corpus's.

Labels are not used. But the recordings of the test speakers are, if they standardise
their own frames; scores of such a run are marked as adapted.
"""

from collections.abc import Mapping, Sequence

import torch

from ser_lib.corpora import Utterance
from ser_lib.model import CORPUS, SPEAKER
from ser_lib.upstreams import FrameStandardiser, joined_moments


class GroupStatistics:
    """Mean and standard deviation of the frames of each speaker and corpus.

    Arguments
    ---------
    utterances : Sequence[Utterance]
        All utterances of the fold.
    moments : Mapping[str, Mapping[str, (3, dim) torch.Tensor]]
        Utterance id -> upstream -> from ``frame_moments``.

    Example
    -------
    >>> first = Utterance("1", "", "sad", "A", 1.0)
    >>> second = Utterance("2", "", "sad", "A", 1.0)
    >>> moments = {
    ...     "1": {"fbank": torch.tensor([[1.0], [1.0], [0.0]])},
    ...     "2": {"fbank": torch.tensor([[1.0], [3.0], [0.0]])},
    ... }
    >>> statistics = GroupStatistics([first, second], moments)
    >>> statistics.mean_and_sd("fbank", "1", "speaker")
    tensor([[2.],
            [1.]])
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        moments: Mapping[str, Mapping[str, torch.Tensor]],
    ) -> None:
        self._moments = moments
        self._group_of = {
            u.id: {CORPUS: (u.corpus,), SPEAKER: (u.corpus, u.speaker)}
            for u in utterances
        }
        self.upstreams = list(next(iter(moments.values())))
        self._statistics = {
            (name, group): _mean_and_sd(joined)
            for name in self.upstreams
            for by in (CORPUS, SPEAKER)
            for group, joined in self._joined(name, by, self._group_of).items()
        }

    def mean_and_sd(self, upstream: str, utterance_id: str, by: str) -> torch.Tensor:
        """Return the (2, dim) statistics that standardise an utterance."""
        return self._statistics[upstream, self._group_of[utterance_id][by]]

    def of_speakers(self, upstream: str, ids: Sequence[str]) -> torch.Tensor:
        """Return the (speakers, 3, dim) moments of the speakers of some utterances."""
        return torch.stack(list(self._joined(upstream, SPEAKER, ids).values()))

    def _joined(
        self, upstream: str, by: str, ids: Sequence[str] | Mapping
    ) -> dict[tuple, torch.Tensor]:
        rows: dict[tuple, list[torch.Tensor]] = {}
        for i in ids:
            group = self._group_of[i][by]
            rows.setdefault(group, []).append(self._moments[i][upstream])
        return {group: joined_moments(torch.stack(own)) for group, own in rows.items()}


def _mean_and_sd(moments: torch.Tensor) -> torch.Tensor:
    standardiser = FrameStandardiser(moments.shape[1])
    standardiser.fit(moments[None])
    return torch.stack([standardiser.mean, standardiser.sd])
