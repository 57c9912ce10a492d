"""Seeds that depend on the experiment, the fold and the epoch alone."""

import numpy as np


def epoch_seed(seed: int, fold: int, epoch: int) -> int:
    """Derive the seed of an epoch.

    Arguments
    ---------
    seed, fold, epoch : int
        Seed of the experiment, number of the fold, number of the epoch (0 for what
        comes before training).

    Returns
    -------
    int
        A 32-bit seed; neighbouring inputs give unrelated ones.

    Example
    -------
    >>> epoch_seed(1, 2, 3) == epoch_seed(1, 2, 3) != epoch_seed(1, 3, 2)
    True
    """
    return int(np.random.SeedSequence([seed, fold, epoch]).generate_state(1)[0])
