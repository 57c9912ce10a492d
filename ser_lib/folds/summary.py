"""A summary of a corpus and its folds as a table for the console."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from ser_lib.corpora import Utterance
from ser_lib.folds.fold import Fold
from ser_lib.utils.text_tables import plain_table


def describe(utterances: Sequence[Utterance], folds: Sequence[Fold]) -> str:
    """Format the amounts of data in a corpus and in each part of its folds.

    Example
    -------
    >>> a, b, c = (Utterance(s, "", "sad", s, 1800.0) for s in "ABC")
    >>> print(describe([a, b, c], [Fold(1, [a], [b], [c])]))
    fold  part utterances hours speakers sad
     all   all          3  1.50        3   3
       1 train          1  0.50        1   1
       1 valid          1  0.50        1   1
       1  test          1  0.50        1   1
    """
    labels = sorted({u.label for u in utterances})
    rows = [{"fold": "all", "part": "all", **_amounts(utterances, labels)}]
    rows += [
        {"fold": fold.number, "part": name, **_amounts(part, labels)}
        for fold in folds
        for name, part in fold.parts.items()
    ]
    return plain_table(pd.DataFrame(rows).set_index("fold"))


def _amounts(part: Sequence[Utterance], labels: Sequence[str]) -> dict:
    n_by_label = Counter(u.label for u in part)
    return {
        "utterances": len(part),
        "hours": float(sum(u.duration_s for u in part)) / 3600,
        "speakers": len({u.speaker for u in part}),
        **{label: n_by_label[label] for label in labels},
    }
