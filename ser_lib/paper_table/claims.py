"""What a table of experiments claims, tested on the predictions of its folds.

A claim says that one experiment is better than another. The test is paired: both are
read on the same utterances, in the folds that both have, and speakers are drawn for
both alike (``bootstrap.paired_difference``). UA decides.
"""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from ser_lib.evaluation import Difference, FoldResult, paired_difference, pool

_FIGURES = ("UA_difference", "low", "high", "p_value")
CAVEAT = (
    "The intervals and p-values come from drawing the test speakers with replacement: "
    "they say nothing about another seed of the training, are rather too narrow with "
    "few speakers, and are not corrected for the number of claims."
)


def judge_claims(
    claims: Iterable[Mapping], results: Mapping[str, Sequence[FoldResult]]
) -> pd.DataFrame:
    """Test each claim of a table.

    Arguments
    ---------
    claims : Iterable[Mapping]
        ``claim`` (a phrase) and ``pairs`` (the better experiment and the worse).
    results : Mapping[str, Sequence[FoldResult]]
        The finished folds of each experiment, perhaps none. Pairs with an experiment
        that is not here are left out.

    Returns
    -------
    pd.DataFrame
        One row for each pair: ``claim``, ``better``, ``worse``, ``folds`` (how many
        both have), ``UA_difference`` in points with ``low``, ``high`` (95 %) and
        ``p_value``, and ``verdict``, see :func:`verdict`.

    Raises
    ------
    ValueError
        If two experiments have tested different utterances in a fold.
    """
    rows = []
    for claim in claims:
        for better, worse in claim["pairs"]:
            if better in results and worse in results:
                pair = {"claim": claim["claim"], "better": better, "worse": worse}
                rows.append(pair | _test(results[better], results[worse]))
    return pd.DataFrame(rows)


def verdict(difference: Difference | None) -> str:
    """Say in a word what a paired test says about a claim.

    Arguments
    ---------
    difference : Difference | None
        Better minus worse; None if there is no fold to compare.

    Returns
    -------
    str
        ``supported`` if the whole 95 % interval is above zero, ``contrary`` if it is
        below, ``not supported`` if it holds zero, ``missing`` without a fold.

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
    row = {"folds": len(folds)} | dict.fromkeys(_FIGURES, float("nan"))
    if not folds:
        return row | {"verdict": verdict(None)}
    found = paired_difference(
        pool([r for r in better if r.fold in folds]),
        pool([r for r in worse if r.fold in folds]),
        "UA",
        list(better[0].scores.recalls),
    )
    return row | {
        "UA_difference": round(100 * found.difference, 2),
        "low": round(100 * found.low, 2),
        "high": round(100 * found.high, 2),
        "p_value": round(found.p_value, 4),
        "verdict": verdict(found),
    }
