"""A Brain whose epochs are reproducible: the base of all training in this package.

Random numbers and learning rates depend only on the number of the epoch, so a killed
run that resumes ends like an uninterrupted one.
"""

from collections.abc import Mapping
from typing import Any

import torch
from speechbrain import Brain, Stage
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.distributed import if_main_process, run_on_main
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain.utils.seed import seed_everything
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from ser_lib.training.partial_finetuning import Group
from ser_lib.training.schedule import warmup_cosine
from ser_lib.utils.command import raise_if_interrupted
from ser_lib.utils.distributed import process_rank
from ser_lib.utils.progress import Progress
from ser_lib.utils.seeds import epoch_seed


class ResumableBrain(Brain):
    """Seeding, optimisers, learning rates and resuming.

    It reads these settings from ``hparams``: seed, optimizer, warmup_fraction,
    final_lr_fraction, number_of_epochs, epoch_counter and history. A subclass
    implements ``groups``.
    """

    _shown = Progress("training", None, "steps", show=False)  # until it begins

    @property
    def fold(self) -> int:
        """Number of the fold; 0 if there are no folds."""
        return getattr(self.hparams, "fold", 0)

    @property
    def groups(self) -> Mapping[str, Group]:
        """The trained weights, grouped by learning rate."""
        raise NotImplementedError

    def start_epoch(self, epoch: int) -> None:
        """Seed all random numbers from seed, fold and epoch.

        So no random state has to be saved: an epoch that is repeated after a kill draws
        the same numbers as in an uninterrupted run.

        Arguments
        ---------
        epoch : int
            Number of the epoch; 0 for what is the same in all epochs.
        """
        seed = epoch_seed(self.hparams.seed, self.fold, epoch)
        seed_everything(seed + process_rank(), verbose=False)

    def init_optimizers(self) -> None:
        """Create a separate optimiser for each group of weights.

        SpeechBrain clips only the first parameter group of an optimiser, so two groups
        in one optimiser would leave the second unclipped.
        """
        self.optimizers_dict, groups = {}, self.groups
        for name, group in groups.items():
            optimizer = self._optimizer(group.weights, group.lr)
            self.optimizers_dict[name] = optimizer
            self.checkpointer.add_recoverable(f"optimizer_{name}", optimizer)
        self._highest_rates = {name: group.lr for name, group in groups.items()}

    def _optimizer(
        self, parameters: list[torch.nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        try:
            return self.hparams.optimizer(parameters, lr=lr)
        except (TypeError, ValueError) as error:
            raise ValueError(f"optimizer in the settings: {error}.") from error

    def fit(
        self,
        epoch_counter: EpochCounter,
        train_set: DataLoader,
        valid_set: DataLoader | None = None,
        **options: Any,
    ) -> None:
        """Train as SpeechBrain does, with one progress over all epochs."""
        n_steps = epoch_counter.limit * len(train_set)
        with self._progress_of("training", n_steps, "steps") as self._shown:
            options["progressbar"] = False  # SpeechBrain's own
            super().fit(epoch_counter, train_set, valid_set, **options)

    def evaluate(self, test_set: DataLoader, *args: Any, **options: Any) -> float:
        """Test as SpeechBrain does."""
        n_batches = len(test_set)
        with self._progress_of("testing", n_batches, "batches") as self._shown:
            options["progressbar"] = False
            return super().evaluate(test_set, *args, **options)

    def evaluate_batch(self, batch: PaddedBatch, stage: Stage) -> torch.Tensor:
        """Compute the loss of a batch in validation or test."""
        loss = super().evaluate_batch(batch, stage)
        if stage == Stage.TEST:
            self._shown.update()
        return loss

    def _progress_of(self, what: str, total: int, unit: str) -> Progress:
        if self.fold:
            what = f"{what} fold {self.fold}"
        show = not self.noprogressbar and if_main_process()
        return Progress(what, total, unit, show=show)

    def on_fit_start(self) -> None:
        """Resume from the newest checkpoint; all are complete (see checkpoints.py)."""
        super().on_fit_start()
        self._shown.start_at(self.hparams.epoch_counter.current * self._n_steps)
        run_on_main(self.hparams.history.write)

    @property
    def _n_steps(self) -> int:
        return len(self.train_sampler)

    def _show_step(self) -> None:
        if self._shown.disable:
            return
        epoch, n_epochs = (
            self.hparams.epoch_counter.current,
            self.hparams.number_of_epochs,
        )
        details = {"epoch": f"{epoch} of {n_epochs}"}
        if self.avg_train_loss:
            details["loss"] = f"{float(self.avg_train_loss):.3g}"
        self._shown.set_postfix(details, refresh=False)
        self._shown.update()

    @property
    def progress(self) -> float:
        """Completed share of the training, from 0 to 1."""
        epoch = self.hparams.epoch_counter.current
        n_epochs = epoch - 1 + (self.step - 1) / self._n_steps
        return n_epochs / self.hparams.number_of_epochs

    def on_fit_batch_start(self, batch: PaddedBatch, should_step: bool) -> None:
        """Set the learning rates from the progress of training."""
        raise_if_interrupted()
        self._show_step()
        warmup, final = self.hparams.warmup_fraction, self.hparams.final_lr_fraction
        factor = warmup_cosine(self.progress, warmup, final)
        for name, optimizer in self.optimizers_dict.items():
            for group in optimizer.param_groups:
                group["lr"] = self._highest_rates[name] * factor

    def _wrap_distributed(self) -> None:
        """Wrap modules; SpeechBrain would use batch norms that need GPUs."""
        if not self.distributed_launch or "cuda" in str(self.device):
            super()._wrap_distributed()
            return
        for name, module in self.modules.items():
            if any(p.requires_grad for p in module.parameters()):
                self.modules[name] = DistributedDataParallel(
                    module, find_unused_parameters=self.find_unused_parameters
                )
