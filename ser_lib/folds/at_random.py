"""A random split into training and test, as notebooks do it; nothing is validated."""

from collections.abc import Sequence

from sklearn.model_selection import train_test_split

from ser_lib.corpora import Utterance
from ser_lib.folds.fold import Fold


def random_split(
    utterances: Sequence[Utterance], test_share: float = 0.2, seed: int = 0
) -> list[Fold]:
    """Test a random share of the utterances and train on all others.

    The speakers of both parts are the same, so a figure on this split says how well
    known speakers are recognised. The protocol must allow it (``allowed_overlap``),
    and that there is no validation part (``validation: False``).

    Arguments
    ---------
    utterances : Sequence[Utterance]
        The corpus; its order matters to the draw.
    test_share : float
        Share that is tested, rounded up to whole utterances.
    seed : int
        Seed of the draw.

    Returns
    -------
    list[Fold]
        One fold, whose validation part is empty.

    Raises
    ------
    ValueError
        If one of the parts would be empty.

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
