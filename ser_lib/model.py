"""The model: upstreams, branches of aggregated frames, one linear classifier.

Morais et al. (2022), section 2: an upstream gives frames, an aggregator turns them
into one embedding, a linear layer classifies. A **branch** joins the frames of its
upstreams (early fusion) and aggregates them; the embeddings of all branches are
joined (late fusion) and classified.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from ser_lib.upstreams.frames import Frames


class Branch(nn.Module):
    """Frames of one or more upstreams, joined and aggregated to one embedding.

    Arguments
    ---------
    upstreams : Sequence[str]
        Names of the upstreams whose frames are joined, in this order.
    input_size : int
        Sum of their frame sizes.
    aggregator : Callable
        Called with ``input_size``, gives the aggregator module.
    """

    def __init__(
        self,
        upstreams: Sequence[str],
        input_size: int,
        aggregator: Callable[..., nn.Module],
    ) -> None:
        super().__init__()
        self.upstreams = list(upstreams)
        self.aggregator = aggregator(input_size=input_size)
        self.output_size = self.aggregator.output_size

    def forward(self, frames: Mapping[str, Frames]) -> torch.Tensor:
        """Join and aggregate.

        Arguments
        ---------
        frames : Mapping[str, Frames]
            Frames of each upstream.

        Returns
        -------
        (batch, output_size) torch.Tensor
            One embedding an utterance.

        Raises
        ------
        ValueError
            If the upstreams of the branch differ in their number of frames.
        """
        streams = [frames[name] for name in self.upstreams]
        counts = streams[0].counts
        for name, stream in zip(self.upstreams, streams, strict=True):
            if not torch.equal(stream.counts, counts):
                raise ValueError(
                    f"Early fusion needs frames at the same times: "
                    f"{self.upstreams[0]} gives {counts.tolist()} frames, {name} "
                    f"{stream.counts.tolist()}."
                )
        values = torch.cat([stream.values for stream in streams], dim=-1)
        return self.aggregator(Frames(values, counts))


class Downstream(nn.Module):
    """Branches and classifier: all of the model but its upstreams.

    Arguments
    ---------
    branches : Sequence[Branch]
        The branches; their embeddings are joined in this order.
    n_labels : int
        Number of classes.
    dropout : float
        Share of the embedding that is dropped in training.
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
        """Give the utterance embedding that the classifier sees.

        Arguments
        ---------
        frames : Mapping[str, Frames]
            Frames of each upstream.

        Returns
        -------
        (batch, embedding_size) torch.Tensor
            Embeddings of all branches, side by side.
        """
        return torch.cat([branch(frames) for branch in self.branches], dim=-1)

    def forward(self, frames: Mapping[str, Frames]) -> torch.Tensor:
        """Classify.

        Arguments
        ---------
        frames : Mapping[str, Frames]
            Frames of each upstream.

        Returns
        -------
        (batch, n_labels) torch.Tensor
            Logits.
        """
        return self.classifier(self.dropout(self.embed(frames)))


class Upstreams(nn.ModuleDict):
    """All upstreams of a model, run on the same waveforms.

    Takes a mapping from names to upstreams.
    """

    def forward(self, wavs: torch.Tensor, wav_lens: torch.Tensor) -> dict[str, Frames]:
        """Run every upstream.

        Arguments
        ---------
        wavs : (batch, samples) torch.Tensor
            Padded waveforms.
        wav_lens : (batch,) torch.Tensor
            Relative lengths.

        Returns
        -------
        dict[str, Frames]
            Frames of each upstream.
        """
        return {name: upstream(wavs, wav_lens) for name, upstream in self.items()}


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
    ) -> None:
        super().__init__()
        self.labels = list(labels)
        self.upstreams = Upstreams(upstreams)
        self.downstream = Downstream(
            [self._branch(**branch) for branch in branches], len(self.labels), dropout
        )

    def _branch(self, upstreams: list[str], aggregator: Callable) -> Branch:
        unknown = [name for name in upstreams if name not in self.upstreams]
        if unknown:
            raise ValueError(
                f"A branch asks for the upstreams {unknown}; the model has "
                f"{list(self.upstreams)}."
            )
        input_size = sum(self.upstreams[name].dim for name in upstreams)
        return Branch(upstreams, input_size, aggregator)

    def forward(self, wavs: torch.Tensor, wav_lens: torch.Tensor) -> torch.Tensor:
        """Classify waveforms.

        Arguments
        ---------
        wavs : (batch, samples) torch.Tensor
            Padded waveforms.
        wav_lens : (batch,) torch.Tensor
            Relative lengths.

        Returns
        -------
        (batch, n_labels) torch.Tensor
            Logits in the order of ``labels``.
        """
        return self.downstream(self.upstreams(wavs, wav_lens))
