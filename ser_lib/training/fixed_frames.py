"""What is computed once before training, as far as frames do not change in it.

Statistics of the speakers, pooled utterances, and the standardisation of aggregators.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from speechbrain import Stage
from speechbrain.dataio.batch import PaddedBatch
from torch.utils.data import DataLoader

from ser_lib.model import Branch
from ser_lib.training.resumable_brain import ResumableBrain
from ser_lib.training.speaker_statistics import SpeakerStatistics
from ser_lib.upstreams import Frames
from ser_lib.utils.command import raise_if_interrupted
from ser_lib.utils.distributed import gather_lists, unwrapped

# Settings that change frames in every step.
_CHANGING = ("crop_s", "wav_augment", "frame_augment")


class FixedFramesBrain(ResumableBrain):
    """A Brain that keeps what its frames give, if they are the same in every epoch.

    It reads these settings from ``hparams``: crop_s, wav_augment, frame_augment and
    standardise_by. ``speakers`` standardises frames once :meth:`read_speakers` has been
    called. ``pooled`` takes the place of frames once :meth:`pool_all` has been called.
    A subclass implements ``upstreams`` and ``_frames``.
    """

    speakers: SpeakerStatistics | None = None
    pooled: dict[str, list[torch.Tensor]] | None = None

    @property
    def upstreams(self) -> Mapping[str, torch.nn.Module]:
        """The upstreams that run during training, by name."""
        raise NotImplementedError

    def _frames(self, batch: PaddedBatch, stage: Stage) -> dict[str, Frames]:
        raise NotImplementedError

    @property
    def changing(self) -> list[str]:
        """Upstreams and settings that change frames during training."""
        trained = [
            name
            for name, upstream in self.upstreams.items()
            if any(weight.requires_grad for weight in upstream.parameters())
        ]
        return trained + [name for name in _CHANGING if getattr(self.hparams, name)]

    @property
    def is_pooled_once(self) -> bool:
        """Whether frames never change and are pooled without weights."""
        return not self.changing and unwrapped(self.modules.downstream).has_pooling

    def prepare_frames(self, loader: DataLoader, pooled: dict, key: str) -> bool:
        """Read the speakers and pool all utterances, as far as the settings allow.

        Arguments
        ---------
        loader : DataLoader
            All utterances of the fold, each once and in a fixed order.
        pooled : dict
            What earlier folds have pooled, by key. The folds of a run have the same
            utterances, so frozen encoders run only once.
        key : str
            Digest of the utterances.

        Returns
        -------
        bool
            Whether they are pooled; frames are then not needed during training.
        """
        if self.is_pooled_once and key in pooled:
            self.pooled = pooled[key]
            return True
        if self.hparams.standardise_by is not None:
            self.read_speakers(loader)
        if self.is_pooled_once:
            pooled[key] = self.pool_all(loader)
        return self.is_pooled_once

    @torch.no_grad()
    def pool_all(self, loader: DataLoader) -> dict[str, list[torch.Tensor]]:
        """Pool the frames of all utterances, once for the whole training.

        Arguments
        ---------
        loader : DataLoader
            Every utterance that will be read, each once and in a fixed order, because
            a batch changes the last digits.

        Returns
        -------
        dict[str, list[torch.Tensor]]
            For each utterance, what each branch pools; also kept as ``pooled``.
        """
        downstream = unwrapped(self.modules.downstream)
        own = []
        for ids, frames in self._fixed_frames(loader):
            pooled = zip(
                *(values.cpu() for values in downstream.pool(frames)), strict=True
            )
            own += zip(ids, map(list, pooled), strict=True)
        self.pooled = dict(gather_lists(own))
        return self.pooled

    def read_speakers(self, loader: DataLoader) -> None:
        """Compute the statistics of all speakers, see ``speaker_statistics.py``.

        If ``standardise_by`` is ``corpus``, all recordings of a corpus are one group.

        Arguments
        ---------
        loader : DataLoader
            All utterances of the fold, each once.

        Raises
        ------
        ValueError
            If frames change during training, so that statistics would not hold.
        """
        if self.changing:
            raise ValueError(
                f"standardise_by is {self.hparams.standardise_by}, but "
                f"{', '.join(self.changing)} "
                f"would change the frames in every step. Freeze the upstream, or "
                f"fine-tune it in a stage before (as hubert_ecapa does), and set "
                f"crop_s, wav_augment and frame_augment to null."
            )
        self.speakers = SpeakerStatistics()
        batches = self._batches_and_frames(loader)
        self.speakers.read((self._groups(batch), frames) for batch, frames in batches)

    @torch.no_grad()
    def fit_aggregators(self, ids: Sequence[str], loader: DataLoader) -> None:
        """Let aggregators standardise by the training part, as some do (``fit``).

        Arguments
        ---------
        ids : Sequence[str]
            The utterances of the training part.
        loader : DataLoader
            The same utterances; not read if they are pooled.
        """
        branches = list(unwrapped(self.modules.downstream).branches)
        fitted = [k for k, b in enumerate(branches) if hasattr(b.aggregator, "fit")]
        for k in fitted:
            if self.pooled is not None:
                rows = [self.pooled[i][k] for i in ids]
            else:
                rows = gather_lists(self._pooled_now(branches[k], loader))
            branches[k].aggregator.fit(torch.stack(rows).to(self.device))

    def _pooled_now(self, branch: Branch, loader: DataLoader) -> list[torch.Tensor]:
        rows: list[torch.Tensor] = []
        for _, frames in self._fixed_frames(loader):
            rows += branch.aggregator.pool(branch.fuse(frames)).cpu()
        return rows

    def _fixed_frames(
        self, loader: DataLoader
    ) -> Iterator[tuple[list[str], dict[str, Frames]]]:
        """Yield ids and frames of each batch, standardised if the settings say so."""
        for batch, frames in self._batches_and_frames(loader):
            if self.speakers is not None:
                frames = self.speakers.standardise(self._groups(batch), frames)
            yield batch.id, frames

    @torch.no_grad()
    def _batches_and_frames(
        self, loader: DataLoader
    ) -> Iterator[tuple[PaddedBatch, dict[str, Frames]]]:
        if "upstreams" in self.modules:
            unwrapped(self.modules.upstreams).eval()
        for batch in loader:
            raise_if_interrupted()
            yield batch, self._frames(batch.to(self.device), Stage.TEST)

    def _groups(self, batch: PaddedBatch) -> list[str]:
        """Return whose statistics standardise each utterance."""
        by_corpus = self.hparams.standardise_by == "corpus"
        return batch.corpus if by_corpus else batch.speaker
