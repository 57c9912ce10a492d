"""Folds of a corpus with utterances that are for training only."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from ser_lib.corpora import Utterance, WithoutMajority
from ser_lib.folds.fold import Fold


def with_training_only(
    utterances: Sequence[Utterance], make_folds: Callable[..., list[Fold]]
) -> list[Fold]:
    """Split a corpus, then add utterances without a majority label to training.

    Arguments
    ---------
    make_folds : Callable[..., list[Fold]]
        Splits the other utterances, as if these were not there.

    Returns
    -------
    list[Fold]
        A fold trains on an added utterance if it trains on its speaker, and does not
        test on this speaker.

    Example
    -------
    >>> def make_folds(rows):
    ...     return [Fold(1, rows[:1], [], rows[1:])]
    >>> rows = [Utterance(s, "", "sad", s, 1.0) for s in "AB"]
    >>> rows += [WithoutMajority(f"{s}x", "", "sad", s, 1.0) for s in "AB"]
    >>> [u.id for u in with_training_only(rows, make_folds)[0].train]
    ['A', 'Ax']
    """
    added = [u for u in utterances if isinstance(u, WithoutMajority)]
    folds = make_folds([u for u in utterances if not isinstance(u, WithoutMajority)])
    return [
        replace(fold, train=[*fold.train, *(u for u in added if _trains_on(fold, u))])
        for fold in folds
    ]


def _trains_on(fold: Fold, utterance: Utterance) -> bool:
    trained, tested = ({u.speaker for u in part} for part in (fold.train, fold.test))
    return utterance.speaker in trained - tested
