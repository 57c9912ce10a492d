"""What is computed once before training, as far as frames do not change in it.

Pooled utterances, the statistics that standardise frames, and the standardisation of
aggregators.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from speechbrain import Stage
from speechbrain.dataio.batch import PaddedBatch
from torch.utils.data import DataLoader

from ser_lib.branches import Branch
from ser_lib.corpora import Utterance
from ser_lib.model import CORPUS, MIXED, SPEAKER
from ser_lib.training.group_statistics import GroupStatistics
from ser_lib.training.resumable_brain import ResumableBrain
from ser_lib.upstreams import Frames, frame_moments
from ser_lib.utils.command import raise_if_interrupted
from ser_lib.utils.distributed import gather_lists, unwrapped

# Settings that change frames in every step.
_CHANGING = ("crop_s", "wav_augment", "frame_augment")
_TRAINING_PART = "training part"  # the statistics in the model


def changes_frames(
    settings: Mapping[str, Any], upstreams: Mapping[str, torch.nn.Module]
) -> list[str]:
    """Return the upstreams and settings that change frames during training."""
    trained = [
        name
        for name, upstream in upstreams.items()
        if any(weight.requires_grad for weight in upstream.parameters())
    ]
    return trained + [name for name in _CHANGING if settings[name]]


class FixedFrames(NamedTuple):
    """What the frames of all utterances give, by utterance id.

    Arguments
    ---------
    pooled : dict[str, list[torch.Tensor]]
        What each branch pools; empty if pooling has weights, or frames change.
    moments : dict[str, dict[str, (3, dim) torch.Tensor]]
        Moments of the frames of each upstream; empty if nothing is standardised.
    """

    pooled: dict[str, list[torch.Tensor]]
    moments: dict[str, dict[str, torch.Tensor]]


class FixedFramesBrain(ResumableBrain):
    """A Brain that keeps what its frames give, if they are the same in every epoch.

    It reads these settings from ``hparams``: crop_s, wav_augment, frame_augment and
    standardise_by. A subclass implements ``upstreams`` and ``_frames``; its modules
    include ``standardisers`` if ``standardise_by`` is not None.
    """

    pooled: Mapping[str, list[torch.Tensor]] = {}
    group_statistics: GroupStatistics | None = None

    @property
    def upstreams(self) -> Mapping[str, torch.nn.Module]:
        """The upstreams that run during training, by name."""
        raise NotImplementedError

    def _frames(self, batch: PaddedBatch, stage: Stage) -> dict[str, Frames]:
        raise NotImplementedError

    def have_frames(self, ids: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return which utterances have frames, for each upstream that reads files."""
        return self.upstreams.present(ids) if self.upstreams else {}

    @property
    def changing(self) -> list[str]:
        """Upstreams and settings that change frames during training."""
        return changes_frames(vars(self.hparams), self.upstreams)

    @property
    def is_pooled_once(self) -> bool:
        """Whether frames never change and are pooled without weights."""
        return not self.changing and unwrapped(self.modules.downstream).has_pooling

    def prepare_frames(
        self,
        loader: DataLoader,
        utterances: Sequence[Utterance],
        known: dict[str, FixedFrames],
        key: str,
    ) -> bool:
        """Pool all utterances and read their statistics, as far as settings allow.

        Arguments
        ---------
        loader : DataLoader
            All utterances of the fold, each once and in a fixed order.
        utterances : Sequence[Utterance]
            The same utterances.
        known : dict[str, FixedFrames]
            What earlier folds have read, by key. The folds of a run have the same
            utterances, so frozen encoders run only once.
        key : str
            Digest of the utterances.

        Returns
        -------
        bool
            Whether they are pooled; frames are then not needed during training.

        Raises
        ------
        ValueError
            If frames are to be standardised, but change during training, so that
            statistics would not hold.
        """
        standardise_by = self.hparams.standardise_by
        if standardise_by is not None and self.changing:
            raise ValueError(
                f"standardise_by is {standardise_by}, but {', '.join(self.changing)} "
                f"would change the frames in every step. Freeze the upstream, or "
                f"fine-tune it in a stage before (as hubert_ecapa does), and set "
                f"crop_s, wav_augment and frame_augment to null."
            )
        if self.is_pooled_once:
            if key not in known:
                known[key] = self.read_fixed_frames(loader)
            fixed = known[key]
        elif standardise_by is not None:
            fixed = self.read_fixed_frames(loader)
        else:
            return False
        self.pooled = fixed.pooled
        if standardise_by is not None:
            self.group_statistics = GroupStatistics(utterances, fixed.moments)
        return self.is_pooled_once

    @torch.no_grad()
    def read_fixed_frames(self, loader: DataLoader) -> FixedFrames:
        """Compute the frames of all utterances, and what is needed of them.

        Arguments
        ---------
        loader : DataLoader
            Every utterance that will be read, each once and in a fixed order, because
            a batch changes the last digits.
        """
        downstream = unwrapped(self.modules.downstream)
        pooled, moments = [], []
        for batch, frames in self._batches_and_frames(loader):
            if self.is_pooled_once:
                branches = [values.cpu() for values in downstream.pool(frames)]
                pooled += zip(
                    batch.id, map(list, zip(*branches, strict=True)), strict=True
                )
            if self.hparams.standardise_by is not None:
                rows = {k: frame_moments(f).float() for k, f in frames.items()}
                moments += [
                    (i, {name: rows[name][k] for name in rows})
                    for k, i in enumerate(batch.id)
                ]
        return FixedFrames(dict(gather_lists(pooled)), dict(gather_lists(moments)))

    # ---- standardisation

    def standardise(
        self, frames: Mapping[str, Frames], ids: Sequence[str], stage: Stage
    ) -> dict[str, Frames]:
        """Standardise frames as the settings say; see ``_chosen``."""
        statistics = self._statistics(ids, stage)
        standardised = {}
        for name, (values, counts) in frames.items():
            mean, sd = statistics[name].to(values).unsqueeze(2).unbind(1)
            standardised[name] = Frames((values - mean) / sd, counts)
        return standardised

    def pooled_batch(self, ids: Sequence[str], stage: Stage) -> list[torch.Tensor]:
        """Return what each branch pooled of some utterances, standardised."""
        rows = zip(*(self.pooled[i] for i in ids), strict=True)
        pooled = [torch.stack(values).to(self.device) for values in rows]
        if self.group_statistics is None:
            return pooled
        statistics = self._statistics(ids, stage)
        branches = unwrapped(self.modules.downstream).branches
        pairs = zip(branches, pooled, strict=True)
        return [branch.standardise(values, statistics) for branch, values in pairs]

    def _statistics(self, ids: Sequence[str], stage: Stage) -> dict[str, torch.Tensor]:
        """Return the (batch, 2, dim) mean and deviation for each upstream."""
        chosen = list(zip(ids, self._chosen(len(ids), stage), strict=True))
        found = {}
        for name, standardiser in self.modules.standardisers.items():
            own = torch.stack([standardiser.mean, standardiser.sd]).cpu()
            rows = [
                own
                if by == _TRAINING_PART
                else self.group_statistics.mean_and_sd(name, i, by)
                for i, by in chosen
            ]
            found[name] = torch.stack(rows)
        return found

    def _chosen(self, n: int, stage: Stage) -> list[str]:
        """Return whose statistics standardise each of n utterances.

        If ``standardise_by`` is ``mixed``, they are in training those of its speaker,
        of its corpus or of the training part, at random, so that the model can be used
        with any of them; else those of the training part.
        """
        if self.hparams.standardise_by != MIXED:
            return [self.hparams.standardise_by] * n
        if stage != Stage.TRAIN:
            return [_TRAINING_PART] * n
        choices = SPEAKER, CORPUS, _TRAINING_PART
        return [choices[k] for k in torch.randint(len(choices), (n,)).tolist()]

    # ---- before training

    @torch.no_grad()
    def fit_standardisation(self, ids: Sequence[str], loader: DataLoader) -> None:
        """Fit what standardises by the training part: the model, some aggregators.

        Arguments
        ---------
        ids : Sequence[str]
            The utterances of the training part.
        loader : DataLoader
            The same utterances; not read if they are pooled.
        """
        if self.group_statistics is not None:
            for name, standardiser in self.modules.standardisers.items():
                standardiser.fit(self.group_statistics.of_speakers(name, ids))
        branches = list(unwrapped(self.modules.downstream).branches)
        fitted = [k for k, b in enumerate(branches) if hasattr(b.aggregator, "fit")]
        for k in fitted:
            if self.pooled:
                rows = self.pooled_batch(ids, Stage.TRAIN)[k]
                rows = rows[self._have(branches[k], ids).to(rows.device)]
            else:
                rows = torch.stack(gather_lists(self._pooled_now(branches[k], loader)))
            branches[k].aggregator.fit(rows.to(self.device))

    def _have(self, branch: Branch, ids: Sequence[str]) -> torch.Tensor:
        """Return which utterances have the frames that a branch reads from files."""
        have = torch.ones(len(ids), dtype=torch.bool)
        for name, has in self.have_frames(ids).items():
            if name in branch.upstreams:
                have &= has
        return have

    def _pooled_now(self, branch: Branch, loader: DataLoader) -> list[torch.Tensor]:
        rows: list[torch.Tensor] = []
        for batch, frames in self._batches_and_frames(loader):
            if self.group_statistics is not None:
                frames = self.standardise(frames, batch.id, Stage.TRAIN)
            pooled = branch.aggregator.pool(branch.fuse(frames)).cpu()
            rows += pooled[self._have(branch, batch.id)]
        return rows

    @torch.no_grad()
    def _batches_and_frames(
        self, loader: DataLoader
    ) -> Iterator[tuple[PaddedBatch, dict[str, Frames]]]:
        if "upstreams" in self.modules:
            unwrapped(self.modules.upstreams).eval()
        for batch in loader:
            raise_if_interrupted()
            yield batch, self._frames(batch.to(self.device), Stage.TEST)
