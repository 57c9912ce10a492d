"""The Brain: how one fold is trained, validated, averaged and tested."""

import math
from collections.abc import Mapping

import pandas as pd
import torch
import torch.nn.functional as F
from speechbrain import Stage
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.distributed import run_on_main
from speechbrain.utils.logger import get_logger
from torch.utils.data import DataLoader

from ser_lib.branches import have_text
from ser_lib.dataio import augment_frames, augment_wavs, frames_of_batch
from ser_lib.evaluation import prediction_table, with_task_columns
from ser_lib.model_outputs import answers, check_outputs
from ser_lib.settings import EMOTION
from ser_lib.training.cache_keys import adapted_encoders
from ser_lib.training.checkpoints import (
    keep_best_and_newest,
    load_average,
    saved_modules,
)
from ser_lib.training.fixed_frames import FixedFramesBrain
from ser_lib.training.modality_dropout import drop_modalities
from ser_lib.training.partial_finetuning import Group, upstream_groups
from ser_lib.training.step_log import STEPS_FILE, Step, log_steps
from ser_lib.training.task_targets import TaskTargets
from ser_lib.upstreams import Frames
from ser_lib.utils.distributed import gather_lists, share_buffers, unwrapped
from ser_lib.utils.text_tables import percent

logger = get_logger(__name__)


class EmotionBrain(FixedFramesBrain):
    """Trains an ``EmotionModel`` on one fold.

    It reads these settings from ``hparams``: labels, seed, fold, sample_rate_hz,
    crop_s, wav_augment, frame_augment, modality_dropout, optimizer, lr_upstream,
    lr_downstream, lr_layer_decay, warmup_fraction, final_lr_fraction, number_of_epochs,
    epoch_counter, average_after, kept_checkpoints and history. Its modules are
    ``downstream`` and, if frames are computed during training, ``upstreams``, and
    ``standardisers`` if they are standardised. ``targets`` are set before training.
    """

    targets: TaskTargets

    @property
    def upstreams(self) -> Mapping[str, torch.nn.Module]:
        """The upstreams that run during training, by name."""
        running = "upstreams" in self.modules
        return unwrapped(self.modules.upstreams) if running else {}

    @property
    def reads(self) -> set[str]:
        """What these upstreams read: ``wav``, ``text``, ``id``; empty without any."""
        return {upstream.reads for upstream in self.upstreams.values()}

    @property
    def modalities(self) -> list[str]:
        """What all upstreams read, also those whose frames are stored."""
        return unwrapped(self.modules.downstream).modalities

    @property
    def inputs(self) -> set[str]:
        """What a batch holds besides frames: text also tells who has a transcript."""
        return self.reads | ({"text"} & set(self.modalities))

    @property
    def groups(self) -> dict[str, Group]:
        """The trained weights, grouped by learning rate."""
        weights = [w for w in self.modules.downstream.parameters() if w.requires_grad]
        groups = {"downstream": Group(weights, self.hparams.lr_downstream)}
        return groups | upstream_groups(self.upstreams, vars(self.hparams))

    # ---- from a batch to a loss

    def compute_forward(self, batch: PaddedBatch, stage: Stage) -> torch.Tensor:
        """Compute (batch, n_outputs) outputs: logits, then those of further tasks.

        Crops and augmentation are applied only in training. A batch contains ``wav``,
        or the frames of each stored upstream under its name, or neither if everything
        is pooled.
        """
        present = self._present(batch, stage)
        if self.pooled:
            pooled = self.pooled_batch(batch.id, stage)
            return self._module("downstream", stage)(pooled, present)
        frames = self._frames(batch.to(self.device), stage)
        if self.group_statistics is not None:
            frames = self.standardise(frames, batch.id, stage)
        return self._module("downstream", stage)(frames, present)

    def _present(self, batch: PaddedBatch, stage: Stage) -> dict[str, torch.Tensor]:
        """Return who has a transcript and files of frames, and what dropout leaves."""
        modalities, probability = self.modalities, self.hparams.modality_dropout
        present = {"text": have_text(batch.text)} if "text" in modalities else {}
        present |= self.have_frames(batch.id)
        if stage == Stage.TRAIN and probability:
            return drop_modalities(present, modalities, len(batch.id), probability)
        return present

    def _frames(self, batch: PaddedBatch, stage: Stage) -> dict[str, Frames]:
        """Return the frames of each upstream, stored or computed now."""
        wavs, wav_lens = batch.wav if "wav" in self.reads else (None, None)
        if stage == Stage.TRAIN and wavs is not None:
            wavs, wav_lens = augment_wavs(self.hparams, wavs, wav_lens)
        texts = batch.text if "text" in self.reads else None
        frames = frames_of_batch(batch, self.hparams.stored_upstreams)
        if "upstreams" in self.modules:
            ids = batch.id if "id" in self.reads else None
            frames |= self._module("upstreams", stage)(wavs, wav_lens, texts, ids)
        if stage == Stage.TRAIN and self.hparams.frame_augment is not None:
            for name, upstream in self.upstreams.items():
                if upstream.reads == "wav":
                    frames[name] = augment_frames(self.hparams, frames[name])
        return frames

    def compute_objectives(
        self, predictions: torch.Tensor, batch: PaddedBatch, stage: Stage
    ) -> torch.Tensor:
        """Compute the loss of a batch: of all tasks, each a mean (``task_losses.py``).

        In validation and test, it is the plain cross-entropy of the emotion, and
        outputs are kept for the end of the stage.

        Raises
        ------
        ValueError
            If outputs are not finite in validation or test.
        """
        outputs = self._split(predictions.float())
        if stage == Stage.TRAIN:
            return self.targets.loss(outputs, batch.id)
        check_outputs(predictions, batch.id, "logits")
        logits, targets = outputs[EMOTION], batch.label.to(self.device)
        losses = F.cross_entropy(logits, targets, reduction="none")
        answered = torch.cat(
            [answers(task, outputs[task.name]) for task in self.targets.tasks], dim=-1
        )
        columns = answered.cpu(), losses.cpu(), targets.cpu()
        self._outputs += zip(batch.id, *columns, strict=True)
        return losses.mean()

    def _split(self, outputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Split what the downstream returned by task."""
        return unwrapped(self.modules.downstream).split(outputs)

    def _module(self, name: str, stage: Stage) -> torch.nn.Module:
        module = self.modules[name]
        return module if stage == Stage.TRAIN else unwrapped(module)

    # ---- stages

    def on_stage_start(self, stage: Stage, epoch: int | None = None) -> None:
        """Start an epoch, or the collection of validation or test outputs."""
        if stage == Stage.TRAIN:
            self.start_epoch(epoch)
            self._steps: list[Step] = []
            return
        self._outputs: list[tuple] = []  # id, answers of all tasks, loss and target
        for module in self.modules.values():
            share_buffers(module)

    def on_stage_end(self, stage: Stage, stage_loss: float, epoch: int | None) -> None:
        """Log an epoch, save it, and delete checkpoints that are no longer needed."""
        if stage == Stage.TRAIN:
            self._train_loss = float(stage_loss)
            path = self.hparams.history.path.with_name(STEPS_FILE)
            correct = 100 * log_steps(path, epoch, self._steps)
            message = "Epoch %d: training loss %.4f, training accuracy %.2f %%"
            logger.info(message, epoch, self._train_loss, correct)
            return
        self._outputs = gather_lists(self._outputs)
        if stage != Stage.VALID:
            return
        _, answered, losses, targets = zip(*self._outputs, strict=True)
        probabilities = self._split(torch.stack(answered))[EMOTION]
        correct = probabilities.argmax(-1) == torch.stack(targets)
        accuracy = correct.double().mean().item()
        self.hparams.epoch_counter.update_metric(accuracy)
        self._end_epoch(epoch, torch.stack(losses).mean().item(), accuracy)

    def _fit_valid(
        self, valid_set: DataLoader | None, epoch: int, enable: bool
    ) -> None:
        """Validate; if the fold has no validation part, only end the epoch."""
        super()._fit_valid(valid_set, epoch, enable)
        if valid_set is None:
            self._end_epoch(epoch, math.nan, None)

    def _end_epoch(self, epoch: int, loss: float, accuracy: float | None) -> None:
        self.hparams.history.append(
            epoch=epoch,
            train_loss=self._train_loss,
            valid_loss=loss,
            valid_accuracy=math.nan if accuracy is None else accuracy,
            lr=self.optimizers_dict["downstream"].param_groups[0]["lr"],
        )
        progress = epoch / self.hparams.number_of_epochs
        is_ranked = progress > self.hparams.average_after
        meta = {"valid_accuracy": accuracy, "epoch": epoch, "is_ranked": is_ranked}
        if encoders := adapted_encoders(vars(self.hparams)):
            meta["encoders"] = encoders
        run_on_main(self._save_epoch, [meta])

    def _save_epoch(self, meta: dict) -> None:
        self.checkpointer.save_checkpoint(name=f"epoch{meta['epoch']:03d}", meta=meta)
        keep_best_and_newest(self.checkpointer, self.hparams.kept_checkpoints)
        self.hparams.history.write()

    def on_fit_batch_end(
        self,
        batch: PaddedBatch,
        outputs: torch.Tensor,
        loss: torch.Tensor,
        should_step: bool,
    ) -> None:
        """Record loss and hits on the device; they are read when the epoch ends."""
        logits = self._split(outputs)[EMOTION]
        correct = (logits.argmax(-1) == batch.label.to(self.device)).sum()
        self._steps.append((loss.detach(), correct, len(batch.id)))

    # ---- after training

    def predict(self, loader: DataLoader) -> pd.DataFrame:
        """Return a table with id, prediction and the probability of each label.

        Further tasks have further columns, see ``task_columns.py``.
        """
        self.evaluate(loader)
        ids, answered, _, _ = zip(*self._outputs, strict=True)
        values = self._split(torch.stack(answered).double())
        arrays = {name: own.numpy() for name, own in values.items()}
        table = prediction_table(list(ids), arrays[EMOTION], self.hparams.labels)
        return with_task_columns(table, self.targets.tasks, arrays)

    def load_average(self, k: int) -> None:
        """Load the mean of the k best checkpoints into the modules.

        Sets ``averaged`` to these checkpoints, the best first.
        """
        modules = saved_modules({n: unwrapped(m) for n, m in self.modules.items()})
        self.averaged = load_average(self.checkpointer, modules, k)
        for checkpoint in self.averaged:
            accuracy = percent(checkpoint.meta["valid_accuracy"])
            message = "Averaging epoch %d (validation accuracy in percent: %s)"
            logger.info(message, checkpoint.meta["epoch"], accuracy)

    def on_evaluate_start(
        self, max_key: str | None = None, min_key: str | None = None
    ) -> None:
        """Keep the averaged weights; SpeechBrain would load a checkpoint over them."""
