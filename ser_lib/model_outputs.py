"""What the outputs of a model mean, and a check that they are finite."""

from collections.abc import Sequence

import torch

from ser_lib.settings import VALUE, Task


def check_outputs(values: torch.Tensor, names: Sequence[str], what: str) -> None:
    """Refuse outputs with NaN or infinity, naming their utterances.

    Arguments
    ---------
    values : (..., batch, size) torch.Tensor
        Logits or embeddings.
    what : str
        Name of the values in the message.

    Raises
    ------
    ValueError
        If the values of an utterance are not all finite.

    Example
    -------
    >>> logits = torch.tensor([[0.0, 1.0], [0.0, torch.nan]])
    >>> try:
    ...     check_outputs(logits, ["a.wav", "b.wav"], "logits")
    ... except ValueError as error:
    ...     print(str(error).partition(") ")[2][:28])
    for 1 of 2 utterances: b.wav
    """
    finite = torch.isfinite(values)
    if finite.all():
        return
    rows = finite.movedim(-2, 0).flatten(1).all(dim=1).tolist()
    bad = [name for name, is_finite in zip(names, rows, strict=True) if not is_finite]
    more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
    raise ValueError(
        f"The model computed {what} that are not finite (NaN or infinity) for "
        f"{len(bad)} of {len(names)} utterances: {', '.join(bad[:5])}{more}. The "
        f"samples are finite, so a weight is not, training diverged (lower the "
        f"learning rates), or values overflow the precision."
    )


def answers(task: Task, outputs: torch.Tensor) -> torch.Tensor:
    """Turn the outputs of a task into probabilities, or into values in its range.

    Arguments
    ---------
    outputs : (..., task.size) torch.Tensor
        Logits, or values of which -1 ... 1 is the range of the task.

    Example
    -------
    >>> arousal = Task("arousal", "value", range=(1, 5))
    >>> answers(arousal, torch.tensor([[0.0], [0.5], [2.0]])).flatten()
    tensor([3., 4., 5.])
    """
    if task.kind != VALUE:
        return outputs.softmax(-1)
    low, high = task.range
    return low + (high - low) * (outputs.clamp(-1, 1) + 1) / 2
