"""Test the claims of a table of experiments.

A claim states that one experiment has a higher UA than another. The test is paired: it
compares predictions of the same utterances, in the folds that both experiments have,
on the same resamples of speakers (``bootstrap.paired_difference``).
"""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from ser_lib.evaluation import Difference, FoldResult, paired_difference, pool

_VALUES = ("UA_difference", "low", "high", "p_value")
CAVEAT = (
    "The intervals and p-values come from drawing the test speakers with replacement. "
    "They do not reflect the seed of the training, are too narrow with few speakers, "
    "and are not corrected for the number of claims."
)


def judge_claims(
    claims: Iterable[Mapping], results: Mapping[str, Sequence[FoldResult]]
) -> pd.DataFrame:
    """Test each claim of a table.

    Arguments
    ---------
    claims : Iterable[Mapping]
        Each has ``claim`` (a phrase) and ``pairs`` (better experiment, worse
        experiment).
    results : Mapping[str, Sequence[FoldResult]]
        The finished folds of each experiment. Pairs with an experiment that is not
        among them are skipped.

    Returns
    -------
    pd.DataFrame
        One row per pair: ``claim``, ``better``, ``worse``, ``folds`` (how many both
        have), ``UA_difference`` in percentage points with ``low``, ``high`` (95 %) and
        ``p_value``, and ``verdict``, see :func:`verdict`.

    Raises
    ------
    ValueError
        If two experiments tested different utterances in a fold.
    """
    rows = []
    for claim in claims:
        for better, worse in claim["pairs"]:
            if better in results and worse in results:
                pair = {"claim": claim["claim"], "better": better, "worse": worse}
                rows.append(pair | _test(results[better], results[worse]))
    return pd.DataFrame(rows)


def verdict(difference: Difference | None) -> str:
    """Return the outcome of a paired test as a word.

    Arguments
    ---------
    difference : Difference | None
        Better minus worse; None if no fold can be compared.

    Returns
    -------
    str
        ``supported`` if the whole 95 % interval is above zero, ``contrary`` if it is
        below, ``not supported`` if it contains zero, ``missing`` without a fold.

    Example
    -------
    >>> verdict(Difference(0.02, 0.01, 0.03, 0.004)), verdict(None)
    ('supported', 'missing')
    """
    if difference is None:
        return "missing"
    if difference.low > 0:
        return "supported"
    return "contrary" if difference.high < 0 else "not supported"


def _test(better: Sequence[FoldResult], worse: Sequence[FoldResult]) -> dict:
    folds = {r.fold for r in better} & {r.fold for r in worse}
    row = {"folds": len(folds)} | dict.fromkeys(_VALUES, float("nan"))
    if not folds:
        return row | {"verdict": verdict(None)}
    difference = paired_difference(
        pool([r for r in better if r.fold in folds]),
        pool([r for r in worse if r.fold in folds]),
        "UA",
        list(better[0].scores.recalls),
    )
    return row | {
        "UA_difference": round(100 * difference.difference, 2),
        "low": round(100 * difference.low, 2),
        "high": round(100 * difference.high, 2),
        "p_value": round(difference.p_value, 4),
        "verdict": verdict(difference),
    }
