"""The Brain of pre-training: random crops and the loss of an objective."""

import torch
from speechbrain import Stage
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.distributed import run_on_main
from speechbrain.utils.logger import get_logger

from ser_lib.dataio import random_crop
from ser_lib.pretraining.objective import Objective
from ser_lib.training import Group, ResumableBrain, keep_best_and_newest
from ser_lib.upstreams.frames import sample_counts
from ser_lib.utils.distributed import gather_lists, share_buffers, unwrapped

logger = get_logger(__name__)


class PretrainingBrain(ResumableBrain):
    """Trains an ``Objective``, its only module, named ``objective``.

    In addition to the settings of :class:`ResumableBrain`, it reads lr, crop_s and
    sample_rate_hz from ``hparams``.
    """

    @property
    def objective(self) -> Objective:
        """The objective, without the wrapper for distributed training."""
        return unwrapped(self.modules.objective)

    @property
    def groups(self) -> dict[str, Group]:
        """The trained weights, all at one rate."""
        weights = [w for w in self.modules.objective.parameters() if w.requires_grad]
        return {"objective": Group(weights, self.hparams.lr)}

    def compute_forward(self, batch: PaddedBatch, stage: Stage) -> torch.Tensor:
        """Compute the loss of random crops of a batch with ``wav``."""
        wavs, wav_lens = batch.to(self.device).wav
        crop_samples = round(self.hparams.crop_s * self.hparams.sample_rate_hz)
        wavs, wav_lens = random_crop(wavs, wav_lens, crop_samples)
        train = stage == Stage.TRAIN
        objective = self.modules.objective if train else self.objective
        return objective(wavs, sample_counts(wavs, wav_lens))

    def compute_objectives(
        self, predictions: torch.Tensor, batch: PaddedBatch, stage: Stage
    ) -> torch.Tensor:
        """Return the loss; in validation, also keep it for the end of the stage."""
        if stage == Stage.VALID:
            self._valid_losses.append((predictions.item(), len(batch.id)))
        return predictions

    def on_stage_start(self, stage: Stage, epoch: int | None = None) -> None:
        """Seed an epoch; validation uses the same crops and masks in all epochs."""
        if stage == Stage.TRAIN:
            self.start_epoch(epoch)
            return
        self.start_epoch(0)
        self._valid_losses: list[tuple[float, int]] = []
        share_buffers(self.objective)

    def on_fit_batch_start(self, batch: PaddedBatch, should_step: bool) -> None:
        """Set the learning rate and the objective's progress."""
        super().on_fit_batch_start(batch, should_step)
        self.objective.set_progress(self.progress)

    def on_fit_batch_end(
        self,
        batch: PaddedBatch,
        outputs: torch.Tensor,
        loss: torch.Tensor,
        should_step: bool,
    ) -> None:
        """Update the objective after a step, such as the teacher of data2vec."""
        if should_step:
            self.objective.after_step()

    def on_stage_end(self, stage: Stage, stage_loss: float, epoch: int | None) -> None:
        """Log an epoch and save it."""
        if stage == Stage.TRAIN:
            self._train_loss = float(stage_loss)
            return
        losses = gather_lists(self._valid_losses)
        valid_loss = sum(loss * n for loss, n in losses) / sum(n for _, n in losses)
        self.hparams.history.append(
            epoch=epoch,
            train_loss=self._train_loss,
            valid_loss=valid_loss,
            lr=self.optimizers_dict["objective"].param_groups[0]["lr"],
        )
        message = "Epoch %d: training loss %.4f, validation loss %.4f"
        logger.info(message, epoch, self._train_loss, valid_loss)
        run_on_main(self._save_epoch, [epoch])

    def _save_epoch(self, epoch: int) -> None:
        # None: epochs are not ranked by loss; the last one is the result.
        meta = {"valid_accuracy": None, "epoch": epoch}
        self.checkpointer.save_checkpoint(name=f"epoch{epoch:03d}", meta=meta)
        keep_best_and_newest(self.checkpointer, 0)
        self.hparams.history.write()
