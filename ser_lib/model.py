"""The model: upstreams, branches that aggregate their frames, one linear classifier.

Morais et al. (2022), section 2: an upstream computes frames, an aggregator turns them
into one embedding, a linear layer classifies it. A **branch** concatenates the frames
of its upstreams (early fusion) and aggregates them; the embeddings of all branches are
concatenated (late fusion) and classified.
"""

from collections.abc import Callable, Container, Mapping, Sequence

import torch
from torch import nn

from ser_lib.upstreams import (
    Frames,
    FrameStandardiser,
    align_frames,
    frame_ratios,
)

SPEAKER, CORPUS, MIXED = STANDARDISE_BY = "speaker", "corpus", "mixed"


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

    def forward(self, frames: Mapping[str, Frames]) -> torch.Tensor:
        """Return (batch, output_size) embeddings from the frames of each upstream."""
        return self.aggregator(self.fuse(frames))

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


class Downstream(nn.Module):
    """Branches and classifier: everything in the model except its upstreams.

    Arguments
    ---------
    branches : Sequence[Branch]
        The branches; their embeddings are concatenated in this order.
    """

    def __init__(
        self, branches: Sequence[Branch], n_labels: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.dropout = nn.Dropout(dropout)
        embedding_size = sum(branch.output_size for branch in branches)
        self.classifier = nn.Linear(embedding_size, n_labels)

    def embed(self, frames: Mapping[str, Frames]) -> torch.Tensor:
        """Return the (batch, embedding_size) embeddings that the classifier reads."""
        return torch.cat([branch(frames) for branch in self.branches], dim=-1)

    def forward(
        self, inputs: Mapping[str, Frames] | Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Return (batch, n_labels) logits.

        Arguments
        ---------
        inputs : Mapping[str, Frames] | Sequence[torch.Tensor]
            The frames of each upstream, or what :meth:`pool` made of them.
        """
        is_frames = isinstance(inputs, Mapping)
        embedded = self.embed(inputs) if is_frames else self._embed_pooled(inputs)
        return self.classifier(self.dropout(embedded))

    @property
    def has_pooling(self) -> bool:
        """Whether every aggregator has a first step without weights (``pool``)."""
        return all(hasattr(branch.aggregator, "embed") for branch in self.branches)

    def pool(self, frames: Mapping[str, Frames]) -> list[torch.Tensor]:
        """Return what each branch pools, one (batch, dim) tensor for each."""
        return [branch.aggregator.pool(branch.fuse(frames)) for branch in self.branches]

    def _embed_pooled(self, pooled: Sequence[torch.Tensor]) -> torch.Tensor:
        embedded = [
            branch.aggregator.embed(values)
            for branch, values in zip(self.branches, pooled, strict=True)
        ]
        return torch.cat(embedded, dim=-1)


class Upstreams(nn.ModuleDict):
    """All upstreams of a model by name, run on the same utterances."""

    def without(self, names: Container[str]) -> "Upstreams":
        """Return the upstreams except some, such as those whose frames are stored.

        The modules are shared, not copied.
        """
        return Upstreams({n: u for n, u in self.items() if n not in names})

    @property
    def reads(self) -> set[str]:
        """What the upstreams read: ``wav``, ``text`` or both."""
        return {upstream.reads for upstream in self.values()}

    def forward(
        self,
        wavs: torch.Tensor | None,
        wav_lens: torch.Tensor | None,
        texts: list[str] | None = None,
    ) -> dict[str, Frames]:
        """Run every upstream on its input.

        Arguments
        ---------
        wavs : (batch, samples) torch.Tensor
            Padded waveforms; None if no upstream reads them.
        wav_lens : (batch,) torch.Tensor
            Lengths as fractions of the padded length.
        texts : list[str]
            Transcripts; None if no upstream reads them.

        Returns
        -------
        dict[str, Frames]
            Frames of each upstream.
        """
        return {
            name: upstream(texts)
            if upstream.reads == "text"
            else upstream(wavs, wav_lens)
            for name, upstream in self.items()
        }


class EmotionModel(nn.Module):
    """Upstreams and downstream of one experiment.

    Arguments
    ---------
    labels : Sequence[str]
        The classes, in the order of the logits.
    upstreams : Mapping[str, nn.Module]
        Upstreams by name.
    branches : Sequence[Mapping]
        For each branch, ``upstreams`` (names) and ``aggregator`` (called with
        ``input_size``).
    dropout : float
        Dropout before the classifier.
    standardise_by : str | None
        What standardises frames in training (``training/fixed_frames.py``): one of
        ``STANDARDISE_BY``. The model standardises them by its training part, until it
        is adapted. None leaves them as they are.
    classifier_from : str | None
        Name of an upstream whose checkpoint contains a classifier to start from; None
        starts from random weights.

    Example
    -------
    >>> from ser_lib.aggregators import MeanPooling
    >>> from ser_lib.upstreams import FbankUpstream
    >>> model = EmotionModel(
    ...     labels=["neu", "hap", "ang", "sad"],
    ...     upstreams={"fbank": FbankUpstream(n_mels=40)},
    ...     branches=[{"upstreams": ["fbank"], "aggregator": MeanPooling}],
    ... )
    >>> model(torch.randn(2, 16000), torch.tensor([1.0, 0.5])).shape
    torch.Size([2, 4])
    """

    def __init__(
        self,
        labels: Sequence[str],
        upstreams: Mapping[str, nn.Module],
        branches: Sequence[Mapping],
        dropout: float = 0.0,
        classifier_from: str | None = None,
        standardise_by: str | None = None,
    ) -> None:
        super().__init__()
        self.labels = list(labels)
        self.upstreams = Upstreams(upstreams)
        self.standardise_by = standardise_by
        standardised = upstreams if standardise_by is not None else {}
        self.standardisers = nn.ModuleDict(
            {name: FrameStandardiser(u.dim) for name, u in standardised.items()}
        )
        self.downstream = Downstream(
            [self._branch(**branch) for branch in branches], len(self.labels), dropout
        )
        if classifier_from is not None:
            self._check_upstreams([classifier_from], "The classifier")
            source = self.upstreams[classifier_from]
            source.initialise_classifier(self.downstream.classifier, self.labels)

    def _branch(self, upstreams: list[str], aggregator: Callable) -> Branch:
        self._check_upstreams(upstreams, "A branch")
        return Branch({name: self.upstreams[name] for name in upstreams}, aggregator)

    def _check_upstreams(self, names: Sequence[str], user: str) -> None:
        unknown = [name for name in names if name not in self.upstreams]
        if unknown:
            raise ValueError(
                f"{user} uses the upstreams {unknown}; the model has "
                f"{list(self.upstreams)}."
            )

    def forward(
        self,
        wavs: torch.Tensor | None,
        wav_lens: torch.Tensor | None,
        texts: list[str] | None = None,
    ) -> torch.Tensor:
        """Return (batch, n_labels) logits in the order of ``labels``; see Upstreams."""
        return self.downstream(self.frames(wavs, wav_lens, texts))

    def frames(
        self,
        wavs: torch.Tensor | None,
        wav_lens: torch.Tensor | None,
        texts: list[str] | None = None,
    ) -> dict[str, Frames]:
        """Return what the downstream reads: frames, standardised if the model does."""
        frames = self.upstreams(wavs, wav_lens, texts)
        return frames | {
            name: standardiser(frames[name])
            for name, standardiser in self.standardisers.items()
        }
