"""Mockingjay: reconstructing altered frames from both sides.

Liu et al. (ICASSP 2020), https://arxiv.org/abs/1910.12638, section 2.2: 15 % of the
frames are chosen in spans; with probability 0.8 they are set to zero, with 0.1 replaced
by other frames of the utterance, with 0.1 left unchanged. The loss is the L1 distance
between the chosen frames and their reconstruction. As in s3prl
(https://github.com/s3prl/s3prl), the alteration is drawn per utterance and spans are
7 frames long. The target is the input; s3prl's large model reconstructs a linear
spectrogram instead.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from ser_lib.pretraining.objective import Objective
from ser_lib.upstreams.frames import Frames
from ser_lib.upstreams.mockingjay import save_mockingjay
from ser_lib.upstreams.mockingjay_network import Mockingjay, published_config

TO_ZERO, TO_OTHER_FRAMES = 0.8, 0.1  # the rest is unchanged


class MockingjayObjective(Objective):
    """Mockingjay's network, the reconstruction head, and the masked L1 loss.

    Arguments
    ---------
    transformer : Mapping
        Settings of the network that differ from the published ones (768 dimensions,
        12 layers ...), see ``published_config``.

    Example
    -------
    >>> small = {"hidden_size": 24, "num_hidden_layers": 1, "intermediate_size": 48}
    >>> objective = MockingjayObjective(small)
    >>> objective(torch.randn(2, 8000), torch.tensor([8000, 6000])).shape
    torch.Size([])
    """

    def __init__(
        self, transformer: Mapping, mask_share: float = 0.15, span_frames: int = 7
    ) -> None:
        super().__init__()
        self.network = Mockingjay(published_config(**transformer))
        self.head = SpectrogramHead(self.network.dims[-1], self.network.front_end.dim)
        self.mask_share, self.span_frames = mask_share, span_frames
        hop_samples = self.network.hop_samples
        self.min_samples = self.network.min_samples + span_frames * hop_samples

    def forward(self, wavs: torch.Tensor, n_samples: torch.Tensor) -> torch.Tensor:
        """Compute the loss, see :class:`Objective`."""
        frames = self.network.front_end(wavs, n_samples)
        altered, is_chosen = alter(frames, self.mask_share, self.span_frames)
        states = self.network.encode(Frames(altered, frames.counts))
        distances = (self.head(states[-1]) - frames.values).abs().mean(-1)
        return distances[is_chosen].mean()

    def save(self, folder: Path) -> None:
        """Write ``mockingjay.ckpt`` in s3prl's format, with the head."""
        save_mockingjay(folder / "mockingjay.ckpt", self.network, self.head)


class SpectrogramHead(nn.Module):
    """The head of s3prl's Mockingjay; module names are those of ``SpecHead``."""

    def __init__(self, hidden_size: int, n_outputs: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.LayerNorm = nn.LayerNorm(hidden_size, eps=1e-12)
        self.output = nn.Linear(hidden_size, n_outputs)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Reconstruct (batch, time, n_outputs) frames from the last hidden state."""
        return self.output(self.LayerNorm(nn.functional.gelu(self.dense(states))))


def alter(
    frames: Frames, mask_share: float, span_frames: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose spans of frames and alter them.

    Arguments
    ---------
    frames : Frames
        The spectrogram, ``(batch, time, mels)``.
    mask_share : float
        Maximum share of each utterance that is chosen; spans may overlap.

    Returns
    -------
    (batch, time, mels) torch.Tensor
        The altered spectrogram.
    (batch, time) torch.BoolTensor
        The chosen frames.
    """
    altered = frames.values.clone()
    is_chosen = torch.zeros(altered.shape[:2], dtype=torch.bool, device=altered.device)
    for i, n_frames in enumerate(frames.counts.tolist()):
        n_spans = max(1, round(n_frames * mask_share / span_frames))
        positions = _spans(n_frames, n_spans, span_frames)
        is_chosen[i, positions] = True
        case = torch.rand(()).item()
        if case < TO_ZERO:
            altered[i, positions] = 0
        elif case < TO_ZERO + TO_OTHER_FRAMES:
            others = _spans(n_frames, n_spans, span_frames)
            altered[i, positions] = frames.values[i, others]
    return altered, is_chosen


def _spans(n_frames: int, n_spans: int, span_frames: int) -> torch.Tensor:
    """Draw spans that start at different frames; return all their frames."""
    starts = torch.randperm(n_frames - span_frames + 1)[:n_spans]
    return (starts[:, None] + torch.arange(span_frames)).flatten()
