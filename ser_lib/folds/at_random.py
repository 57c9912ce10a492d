"""A random split into training and test data, without validation."""

from collections.abc import Sequence

from sklearn.model_selection import train_test_split

from ser_lib.corpora import Utterance
from ser_lib.folds.fold import Fold


def random_split(
    utterances: Sequence[Utterance], test_share: float = 0.2, seed: int = 0
) -> list[Fold]:
    """Test on a random share of the utterances and train on all others.

    Both parts have the same speakers, so scores on this split tell how well known
    speakers are recognized. The protocol must allow this (``allowed_overlap``) and a
    missing validation part (``validation: False``).

    Arguments
    ---------
    utterances : Sequence[Utterance]
        The corpus; its order affects the split.
    test_share : float
        Share to test on, rounded up to whole utterances.

    Returns
    -------
    list[Fold]
        One fold with an empty validation part.

    Raises
    ------
    ValueError
        If a part would be empty.

    Example
    -------
    >>> corpus = [Utterance(str(i), "", "sad", "A", 1.0) for i in range(9)]
    >>> (fold,) = random_split(corpus)
    >>> len(fold.train), len(fold.valid), len(fold.test)
    (7, 0, 2)
    """
    train, test = train_test_split(
        list(utterances), test_size=test_share, random_state=seed
    )
    return [Fold(1, train, [], test)]
