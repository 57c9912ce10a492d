"""The tasks of a training: the targets of its utterances, the weights of classes."""

from collections.abc import Mapping, Sequence

import torch
from speechbrain.utils.logger import get_logger

from ser_lib.corpora import Utterance, target_of
from ser_lib.settings import CLASSES, VALUE, Task
from ser_lib.training.loss import weights_of_classes
from ser_lib.training.task_losses import task_loss

logger = get_logger(__name__)


class TaskTargets:
    """What each utterance says of each task.

    Arguments
    ---------
    tasks : Sequence[Task]
        All tasks, the emotion first, with their labels.
    utterances : Sequence[Utterance]
        All utterances of the fold.
    """

    def __init__(self, tasks: Sequence[Task], utterances: Sequence[Utterance]) -> None:
        self.tasks = list(tasks)
        self._targets = {task.name: _targets(task, utterances) for task in tasks}
        self._class_weights: dict[str, torch.Tensor | None] = {}

    def fit(self, trained_on: Sequence[Utterance]) -> None:
        """Count the targets of the training part and weigh the classes by them.

        Raises
        ------
        ValueError
            If no utterance of the training part has a target of a task.
        """
        for task in self.tasks:
            targets = self._targets[task.name]
            own = [targets[u.id] for u in trained_on if u.id in targets]
            if not own:
                raise ValueError(
                    f"tasks: {task.name}: none of the {len(trained_on):,} utterances "
                    f"of the training part has a target. Leave the task out."
                )
            if len(own) < len(trained_on):
                message = "Task %s: %d of %d training utterances have a target."
                logger.info(message, task.name, len(own), len(trained_on))
            if task.kind == CLASSES:
                labels = [task.labels[k] for k in own]
                weights = weights_of_classes(task.class_weights, task.labels, labels)
                self._class_weights[task.name] = weights

    def loss(
        self, outputs: Mapping[str, torch.Tensor], ids: Sequence[str]
    ) -> torch.Tensor:
        """Add up the weighted losses of a batch.

        Arguments
        ---------
        outputs : Mapping[str, (batch, task.size) torch.Tensor]
            Of each task, in float32.
        ids : Sequence[str]
            The utterance of each row. One without a target of a task is left out of
            its loss.
        """
        losses = [self._loss(task, outputs[task.name], ids) for task in self.tasks]
        return torch.stack(losses).sum() if len(losses) > 1 else losses[0]

    def _loss(
        self, task: Task, outputs: torch.Tensor, ids: Sequence[str]
    ) -> torch.Tensor:
        targets, device = self._targets[task.name], outputs.device
        rows = [k for k, i in enumerate(ids) if i in targets]
        if not rows:
            return 0.0 * outputs.sum()
        values = torch.tensor([targets[ids[k]] for k in rows], device=device)
        weights = self._class_weights.get(task.name)
        weights = None if weights is None else weights.to(device)
        outputs = outputs if len(rows) == len(ids) else outputs[rows]
        return task.weight * task_loss(task, outputs, values, weights)


def _targets(task: Task, utterances: Sequence[Utterance]) -> Mapping[str, object]:
    """Return the targets of the utterances that have one; values are scaled."""
    found = {u.id: target_of(u, task) for u in utterances}
    known = {i: target for i, target in found.items() if target is not None}
    if task.kind != VALUE:
        return known
    low, high = task.range
    return {i: 2 * (v - low) / (high - low) - 1 for i, v in known.items()}
