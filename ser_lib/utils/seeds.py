"""Seeds that depend only on the experiment, the fold and the epoch."""

import numpy as np


def epoch_seed(seed: int, fold: int, epoch: int) -> int:
    """Derive the seed of an epoch; epoch 0 stands for everything before training.

    Returns
    -------
    int
        A 32-bit seed; neighboring inputs give unrelated seeds.

    Example
    -------
    >>> epoch_seed(1, 2, 3) == epoch_seed(1, 2, 3) != epoch_seed(1, 3, 2)
    True
    """
    return int(np.random.SeedSequence([seed, fold, epoch]).generate_state(1)[0])
