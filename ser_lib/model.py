"""The model: upstreams, branches that aggregate their frames, one linear classifier.

Morais et al. (2022), section 2: an upstream computes frames, an aggregator turns them
into one embedding, a linear layer classifies it. A **branch** concatenates the frames
of its upstreams (early fusion) and aggregates them; the embeddings of all branches are
concatenated (late fusion) and classified. A branch can also leave all its frames to a
fusion, which reads each stream by itself (attentive fusion). Each further task (setting
``tasks``) has a linear layer of its own on the same embeddings.

An utterance may lack a modality (what upstreams read: ``wav``, ``text``, files of
frames): the embeddings of the branches that read it are then zero.
"""

from collections.abc import Callable, Container, Mapping, Sequence

import torch
from torch import nn

from ser_lib.branches import Branch, FusionBranch, have_text
from ser_lib.settings import EMOTION
from ser_lib.upstreams import Frames, FrameStandardiser

SPEAKER, CORPUS, MIXED = STANDARDISE_BY = "speaker", "corpus", "mixed"


class Downstream(nn.Module):
    """Branches and classifier: everything in the model except its upstreams.

    Arguments
    ---------
    branches : Sequence[Branch | FusionBranch]
        The branches; their embeddings are concatenated in this order.
    """

    def __init__(
        self,
        branches: Sequence[Branch | FusionBranch],
        n_labels: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.dropout = nn.Dropout(dropout)
        embedding_size = sum(branch.output_size for branch in branches)
        self.classifier = nn.Linear(embedding_size, n_labels)
        self.heads = nn.ModuleDict()  # of the tasks besides the emotion

    def add_heads(self, sizes: Mapping[str, int]) -> None:
        """Add a linear layer for each further task (name -> number of outputs)."""
        for name, size in sizes.items():
            self.heads[name] = nn.Linear(self.classifier.in_features, size)

    def split(self, outputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Split (..., n_outputs) outputs into those of each task, the emotion first."""
        layers = {EMOTION: self.classifier, **self.heads}
        sizes = [layer.out_features for layer in layers.values()]
        return dict(zip(layers, outputs.split(sizes, dim=-1), strict=True))

    @property
    def modalities(self) -> list[str]:
        """What its upstreams read: ``text``, ``wav``, names of streams of frames."""
        return sorted(set().union(*(branch.modalities for branch in self.branches)))

    def embed(
        self,
        frames: Mapping[str, Frames],
        present: Mapping[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Return the (batch, embedding_size) embeddings that the classifier reads."""
        return torch.cat([branch(frames, present) for branch in self.branches], dim=-1)

    def forward(
        self,
        inputs: Mapping[str, Frames] | Sequence[torch.Tensor],
        present: Mapping[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Return (batch, n_outputs): logits, then the outputs of each further task.

        Arguments
        ---------
        inputs : Mapping[str, Frames] | Sequence[torch.Tensor]
            The frames of each upstream, or what :meth:`pool` made of them.
        present : Mapping[str, (batch,) torch.BoolTensor] | None
            Which utterances have a modality; one that is not named is in all.
        """
        embed = self.embed if isinstance(inputs, Mapping) else self._embed_pooled
        embeddings = self.dropout(embed(inputs, present))
        outputs = [self.classifier(embeddings)]
        outputs += [head(embeddings) for head in self.heads.values()]
        return torch.cat(outputs, dim=-1) if self.heads else outputs[0]

    @property
    def has_pooling(self) -> bool:
        """Whether every aggregator has a first step without weights (``pool``)."""
        return all(hasattr(branch.aggregator, "embed") for branch in self.branches)

    def pool(self, frames: Mapping[str, Frames]) -> list[torch.Tensor]:
        """Return what each branch pools, one (batch, dim) tensor for each."""
        return [branch.aggregator.pool(branch.fuse(frames)) for branch in self.branches]

    def _embed_pooled(
        self,
        pooled: Sequence[torch.Tensor],
        present: Mapping[str, torch.Tensor] | None,
    ) -> torch.Tensor:
        embedded = [
            branch.hide(branch.aggregator.embed(values), present or {})
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
        """What the upstreams read: ``wav``, ``text``, ``id`` or several of them."""
        return {upstream.reads for upstream in self.values()}

    def forward(
        self,
        wavs: torch.Tensor | None,
        wav_lens: torch.Tensor | None,
        texts: list[str] | None = None,
        ids: list[str] | None = None,
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
        ids : list[str]
            Ids of the utterances; None if no upstream reads files of frames.

        Returns
        -------
        dict[str, Frames]
            Frames of each upstream.
        """
        inputs = {"wav": (wavs, wav_lens), "text": (texts,), "id": (ids,)}
        return {
            name: upstream(*inputs[upstream.reads]) for name, upstream in self.items()
        }

    def present(self, ids: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return which utterances have frames, for each upstream that reads files."""
        files = {name: u for name, u in self.items() if u.reads == "id"}
        return {name: upstream.present(ids) for name, upstream in files.items()}


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
        ``input_size``) or ``fusion`` (called with ``input_sizes``).
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

    def _branch(
        self,
        upstreams: list[str],
        aggregator: Callable | None = None,
        fusion: Callable | None = None,
    ) -> Branch | FusionBranch:
        self._check_upstreams(upstreams, "A branch")
        if (aggregator is None) == (fusion is None):
            raise ValueError(
                f"The branch of {upstreams} needs either an aggregator or a fusion."
            )
        own = {name: self.upstreams[name] for name in upstreams}
        return Branch(own, aggregator) if aggregator else FusionBranch(own, fusion)

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
        ids: list[str] | None = None,
    ) -> torch.Tensor:
        """Return (batch, n_outputs): logits in the order of ``labels``, then others.

        The outputs of further tasks follow the logits, see :meth:`Downstream.split`;
        see Upstreams for the arguments. An utterance whose transcript is empty is
        classified without text.
        """
        present = {} if texts is None else {"text": have_text(texts)}
        present |= {} if ids is None else self.upstreams.present(ids)
        return self.downstream(self.frames(wavs, wav_lens, texts, ids), present)

    def frames(
        self,
        wavs: torch.Tensor | None,
        wav_lens: torch.Tensor | None,
        texts: list[str] | None = None,
        ids: list[str] | None = None,
    ) -> dict[str, Frames]:
        """Return what the downstream reads: frames, standardised if the model does."""
        frames = self.upstreams(wavs, wav_lens, texts, ids)
        return frames | {
            name: standardiser(frames[name])
            for name, standardiser in self.standardisers.items()
        }
