"""Adaptation to speakers without labels: frames standardised speaker by speaker.

The frames of each upstream are standardised by the mean and the standard deviation over
all frames of the speaker in the fold, in training and in test. Labels are not used, but
the recordings of the test speakers are, so scores of such a run are marked as adapted.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch

from ser_lib.upstreams import Frames, time_mask
from ser_lib.utils.distributed import gather_lists

_LEAST_DEVIATION = 1e-4  # of a dimension that is constant for a speaker


class SpeakerStatistics:
    """Mean and standard deviation of the frames of each speaker, by upstream.

    Example
    -------
    >>> statistics = SpeakerStatistics()
    >>> frames = {"fbank": Frames(torch.tensor([[[1.0], [3.0]]]), torch.tensor([2]))}
    >>> statistics.read([(["A"], frames)])
    >>> statistics.standardise(["A"], frames)["fbank"].values
    tensor([[[-1.],
             [ 1.]]])
    """

    def __init__(self) -> None:
        self._mean_and_sd: dict[tuple[str, str], torch.Tensor] = {}

    def read(
        self, batches: Iterator[tuple[Sequence[str], Mapping[str, Frames]]]
    ) -> None:
        """Compute the statistics of all speakers.

        Arguments
        ---------
        batches : Iterator[tuple[Sequence[str], Mapping[str, Frames]]]
            For each batch, the speaker of each utterance and the frames of each
            upstream. Every utterance occurs once; processes share them.
        """
        own: dict[tuple[str, str], torch.Tensor] = {}
        for speakers, frames in batches:
            for name, (values, counts) in frames.items():
                sums = _sums(values, counts)
                for speaker, row in zip(speakers, sums, strict=True):
                    key = name, speaker
                    own[key] = own[key] + row if key in own else row
        total: dict[tuple[str, str], torch.Tensor] = {}
        for key, row in gather_lists(list(own.items())):
            total[key] = total[key] + row if key in total else row
        self._mean_and_sd = {key: _mean_and_sd(row) for key, row in total.items()}

    def standardise(
        self, speakers: Sequence[str], frames: Mapping[str, Frames]
    ) -> dict[str, Frames]:
        """Standardise each utterance's frames by the statistics of its speaker."""
        standardised = {}
        for name, (values, counts) in frames.items():
            rows = [self._mean_and_sd[name, speaker] for speaker in speakers]
            mean, sd = torch.stack(rows).to(values).unsqueeze(2).unbind(1)
            standardised[name] = Frames((values - mean) / sd, counts)
        return standardised


def _sums(values: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Return (batch, 3, dim) sums over time: of ones, of frames and of squares."""
    inside = time_mask(counts, values.shape[1])[..., None]
    values = values.masked_fill(~inside, 0.0).double()
    n = counts[:, None].expand(-1, values.shape[2]).double()
    return torch.stack([n, values.sum(1), values.square().sum(1)], dim=1).cpu()


def _mean_and_sd(sums: torch.Tensor) -> torch.Tensor:
    n, total, squares = sums
    mean = total / n
    variance = (squares / n - mean.square()).clamp(min=0.0)
    return torch.stack([mean, variance.sqrt().clamp(min=_LEAST_DEVIATION)])
