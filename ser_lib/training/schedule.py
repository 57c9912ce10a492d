"""The learning rate schedule."""

import math


def warmup_cosine(progress: float, warmup: float, final: float = 0.0) -> float:
    """Return the learning rate factor: linear warm-up, then half a cosine down.

    It depends only on the progress of training, so it has no state to save.
    Loshchilov and Hutter, 2017, https://arxiv.org/abs/1608.03983, without restarts.

    Arguments
    ---------
    progress : float
        Completed share of all steps, in [0, 1].
    warmup : float
        Share of the steps in which the factor rises from 0.05 to 1.
    final : float
        The factor at the end; 1 keeps the rate constant after the warm-up.

    Example
    -------
    >>> [round(warmup_cosine(x, 0.2), 3) for x in (0, 0.2, 0.6, 1)]
    [0.05, 1.0, 0.5, 0.0]
    """
    if progress < warmup:
        return 0.05 + 0.95 * progress / warmup
    angle = math.pi * min(1.0, (progress - warmup) / (1 - warmup))
    return final + (1 - final) * (1 + math.cos(angle)) / 2
