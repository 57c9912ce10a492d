"""Seeds and learning rates, from the progress of training alone."""

import pytest

from ser_lib.training.schedule import warmup_cosine
from ser_lib.utils.seeds import epoch_seed


def test_the_rate_rises_linearly_and_falls_with_a_cosine():
    assert warmup_cosine(0.0, 0.1) == pytest.approx(0.05)
    assert warmup_cosine(0.05, 0.1) == pytest.approx(0.525)
    assert warmup_cosine(0.1, 0.1) == pytest.approx(1.0)
    assert warmup_cosine(0.55, 0.1) == pytest.approx(0.5)
    assert warmup_cosine(1.0, 0.1) == pytest.approx(0.0)


def test_a_final_fraction_of_one_keeps_the_rate():
    assert warmup_cosine(0.9, 0.0, final=1.0) == pytest.approx(1.0)


def test_seeds_of_folds_and_epochs_differ():
    seeds = {epoch_seed(1, f, e) for f in range(1, 7) for e in range(50)}
    assert len(seeds) == 300
