"""The branches of a model: from the frames of some upstreams to one embedding.

A ``Branch`` concatenates the frames of its upstreams and aggregates them; a
``FusionBranch`` leaves them to a module that reads each stream by itself.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from ser_lib.upstreams import Frames, align_frames, frame_ratios


def have_text(texts: Sequence[str]) -> torch.Tensor:
    """Return the (batch,) mask of the transcripts that are not empty.

    Example
    -------
    >>> have_text(["We lost it", " "])
    tensor([ True, False])
    """
    return torch.tensor([bool(text.strip()) for text in texts])


def modality_of(name: str, upstream: nn.Module) -> str:
    """Return what an upstream reads; files of frames are a modality of their own."""
    return name if upstream.reads == "id" else upstream.reads


class Branch(nn.Module):
    """Frames of one or more upstreams, concatenated and aggregated to one embedding.

    Arguments
    ---------
    upstreams : Mapping[str, nn.Module]
        The upstreams whose frames are concatenated, in this order.
    aggregator : Callable
        Called with ``input_size``, returns the aggregator module.

    Raises
    ------
    ValueError
        If the frames of several upstreams cannot be aligned in time.
    """

    def __init__(
        self,
        upstreams: Mapping[str, nn.Module],
        aggregator: Callable[..., nn.Module],
    ) -> None:
        super().__init__()
        self.upstreams = list(upstreams)
        self.ratios = frame_ratios({n: u.hop_samples for n, u in upstreams.items()})
        self.aggregator = aggregator(input_size=sum(u.dim for u in upstreams.values()))
        self.output_size = self.aggregator.output_size
        self.modalities = {modality_of(n, u) for n, u in upstreams.items()}

    def forward(
        self,
        frames: Mapping[str, Frames],
        present: Mapping[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Return (batch, output_size) embeddings; see :meth:`Downstream.forward`."""
        return self.hide(self.aggregator(self.fuse(frames)), present or {})

    def hide(
        self, embedded: torch.Tensor, present: Mapping[str, torch.Tensor]
    ) -> torch.Tensor:
        """Set the embeddings of utterances that lack what the branch reads to zero."""
        for modality in self.modalities & present.keys():
            is_absent = ~present[modality].to(embedded.device)
            embedded = embedded.masked_fill(is_absent[:, None], 0.0)
        return embedded

    def fuse(self, frames: Mapping[str, Frames]) -> Frames:
        """Return what the aggregator reads: the frames of its upstreams, joined."""
        streams = {name: frames[name] for name in self.upstreams}
        if len(streams) == 1:
            return next(iter(streams.values()))
        return align_frames(streams, self.ratios)

    def standardise(
        self, pooled: torch.Tensor, statistics: Mapping[str, torch.Tensor]
    ) -> torch.Tensor:
        """Turn what was pooled into what standardised frames would give.

        Arguments
        ---------
        pooled : (batch, dim) torch.Tensor
            What the aggregator pooled.
        statistics : Mapping[str, (batch, 2, upstream_dim) torch.Tensor]
            Mean and standard deviation of the frames of each upstream.
        """
        own = torch.cat([statistics[name] for name in self.upstreams], dim=-1)
        return self.aggregator.standardise(pooled, *own.to(pooled).unbind(1))


class FusionBranch(nn.Module):
    """Frames of several upstreams, made one embedding by a module that reads them all.

    Arguments
    ---------
    upstreams : Mapping[str, nn.Module]
        The upstreams.
    fusion : Callable
        Called with ``input_sizes`` (upstream -> size of its frames), returns a module
        such as ``CrossAttention``.
    """

    def __init__(
        self, upstreams: Mapping[str, nn.Module], fusion: Callable[..., nn.Module]
    ) -> None:
        super().__init__()
        self.upstreams = list(upstreams)
        self.aggregator = fusion(input_sizes={n: u.dim for n, u in upstreams.items()})
        self.output_size = self.aggregator.output_size
        self.reads = {n: modality_of(n, u) for n, u in upstreams.items()}
        self.modalities = set(self.reads.values())

    def forward(
        self,
        frames: Mapping[str, Frames],
        present: Mapping[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Return (batch, output_size) embeddings; see :meth:`Downstream.forward`."""
        present = present or {}
        streams = {name: frames[name] for name in self.upstreams}
        masks = {n: present[m] for n, m in self.reads.items() if m in present}
        return self.aggregator(streams, masks)
