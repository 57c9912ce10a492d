"""Check that the outputs of a model are finite."""

from collections.abc import Sequence

import torch


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
