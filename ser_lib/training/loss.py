"""The loss of classes: cross-entropy, which classes and hard utterances can weigh."""

from collections import Counter
from collections.abc import Sequence

import torch
import torch.nn.functional as F


def class_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    label_smoothing: float = 0.0,
    class_weights: torch.Tensor | None = None,
    focal_gamma: float = 0.0,
) -> torch.Tensor:
    """Compute the mean loss of a batch.

    Arguments
    ---------
    logits : (batch, n_labels) torch.Tensor
        In float32.
    targets : (batch,) torch.LongTensor
        Indices of the labels.
    label_smoothing : float
        Share of the target that is spread over all labels.
    class_weights : (n_labels,) torch.Tensor | None
        Weights of the labels; the mean over the batch is weighted, as in PyTorch.
    focal_gamma : float
        The loss of an utterance is multiplied by ``(1 - p) ** gamma``, where p is the
        probability of its label (Lin et al., 2017, equation 5,
        https://arxiv.org/abs/1708.02002). 0 is the plain cross-entropy.

    Example
    -------
    >>> logits = torch.tensor([[0.0, 0.0], [0.0, 0.0]])
    >>> class_loss(logits, torch.tensor([0, 1]), focal_gamma=2.0)  # ln 2 / 4
    tensor(0.1733)
    """
    options = {"label_smoothing": label_smoothing, "weight": class_weights}
    if focal_gamma == 0.0:
        return F.cross_entropy(logits, targets, **options)
    losses = F.cross_entropy(logits, targets, reduction="none", **options)
    p = logits.softmax(-1).gather(1, targets[:, None])[:, 0]
    losses = losses * (1.0 - p) ** focal_gamma
    if class_weights is None:
        return losses.mean()
    return losses.sum() / class_weights[targets].sum()


def weights_of_classes(
    class_weights: str | Sequence[float] | None,
    labels: Sequence[str],
    trained_on: Sequence[str],
) -> torch.Tensor | None:
    """Return the weight of each label.

    Arguments
    ---------
    class_weights : str | Sequence[float] | None
        The setting: ``balanced`` for the number of utterances divided by the number of
        labels and by the count of the label, as in scikit-learn; or numbers in the
        order of the labels; None for equal weights.
    labels : Sequence[str]
        All labels, in the order of the logits.
    trained_on : Sequence[str]
        The label of each utterance of the training part.

    Raises
    ------
    ValueError
        If a label has no utterance, or the number of weights is not that of the labels.

    Example
    -------
    >>> weights_of_classes("balanced", ["sad", "angry"], ["sad", "angry", "sad", "sad"])
    tensor([0.6667, 2.0000])
    """
    if class_weights is None:
        return None
    if class_weights == "balanced":
        counts = Counter(trained_on)
        missing = [label for label in labels if not counts[label]]
        if missing:
            raise ValueError(
                f"class_weights is balanced, but the training part has no utterance "
                f"labelled {', '.join(missing)}. Give the weights as numbers, or set "
                f"class_weights to null."
            )
        n = len(trained_on) / len(labels)
        return torch.tensor([n / counts[label] for label in labels])
    if len(class_weights) != len(labels):
        raise ValueError(
            f"class_weights has {len(class_weights)} numbers; expected one for each of "
            f"the labels {', '.join(labels)}."
        )
    return torch.tensor(list(class_weights), dtype=torch.float32)
