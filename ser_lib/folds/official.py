"""The parts that a corpus publishes, as one fold."""

from collections.abc import Mapping, Sequence

from ser_lib.corpora import Utterance
from ser_lib.folds.fold import Fold


def official_split(
    utterances: Sequence[Utterance], parts: Mapping[str, str]
) -> list[Fold]:
    """Create one fold from parts that the ids name.

    Arguments
    ---------
    parts : Mapping[str, str]
        How the ids of ``train``, ``valid`` and ``test`` start.

    Example
    -------
    >>> ids = ["train/a", "dev/b", "test/c"]
    >>> rows = [Utterance(i, "", "sad", "A", 1.0) for i in ids]
    >>> parts = {"train": "train/", "valid": "dev/", "test": "test/"}
    >>> [u.id for u in official_split(rows, parts)[0].valid]
    ['dev/b']
    """
    return [
        Fold(
            number=1,
            **{
                part: [u for u in utterances if u.id.startswith(start)]
                for part, start in parts.items()
            },
        )
    ]
