"""The losses of tasks: cross-entropy, concordance, squared error, KL divergence."""

import torch
import torch.nn.functional as F

from ser_lib.settings import CLASSES, DISTRIBUTION, SQUARED_ERROR, Task
from ser_lib.training.loss import class_loss

_TINY = 1e-8  # of the squares of scaled values; only avoids 0 / 0


def task_loss(
    task: Task,
    outputs: torch.Tensor,
    targets: torch.Tensor,
    class_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Compute the mean loss of a task over utterances that have a target.

    Arguments
    ---------
    outputs : (batch, task.size) torch.Tensor
        In float32.
    targets : (batch,) or (batch, n_labels) torch.Tensor
        Indices of classes; values, scaled to -1 ... 1; or shares of votes.
    class_weights : (n_labels,) torch.Tensor | None
        Of a task with classes.
    """
    if task.kind == CLASSES:
        smoothing, gamma = task.label_smoothing, task.focal_gamma
        return class_loss(outputs, targets, smoothing, class_weights, gamma)
    if task.kind == DISTRIBUTION:
        return divergence_loss(outputs, targets)
    if task.loss == SQUARED_ERROR:
        return F.mse_loss(outputs[:, 0], targets)
    return concordance_loss(outputs[:, 0], targets)


def concordance_loss(predicted: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Compute 1 - CCC of a batch (Lin, 1989, https://doi.org/10.2307/2532051).

    CCC is twice the covariance, divided by the sum of both variances and of the squared
    difference of the means.

    Arguments
    ---------
    predicted, targets : (batch,) torch.Tensor
        Values. The loss of a single utterance is 1 and has no gradient.

    Example
    -------
    >>> concordance_loss(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 3.0, 4.0]))
    tensor(0.4286)
    """
    means = predicted.mean(), targets.mean()
    covariance = ((predicted - means[0]) * (targets - means[1])).mean()
    variances = predicted.var(unbiased=False) + targets.var(unbiased=False)
    ccc = 2 * covariance / (variances + (means[0] - means[1]) ** 2 + _TINY)
    return 1 - ccc


def divergence_loss(logits: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Compute the mean KL divergence of the predicted distribution from the votes.

    Arguments
    ---------
    logits : (batch, n_labels) torch.Tensor
        In float32.
    shares : (batch, n_labels) torch.Tensor
        Shares of the votes; each row sums to 1.

    Example
    -------
    >>> logits, shares = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
    >>> divergence_loss(logits, shares)  # ln 2
    tensor(0.6931)
    """
    return F.kl_div(logits.log_softmax(-1), shares, reduction="batchmean")
