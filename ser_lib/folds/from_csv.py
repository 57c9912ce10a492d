"""Folds of a user's table: from a column, or from its speakers."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from speechbrain.utils.logger import get_logger

from ser_lib.corpora import SPLITS, Row, Utterance, read_csv_table
from ser_lib.folds.by_speaker import balanced_groups, group_folds, too_few_speakers
from ser_lib.folds.fold import Fold

logger = get_logger(__name__)

FOLD_BY = ("auto", "column", "speaker", "groups")
# With more speakers, one fold for each takes long.
_MOST_SPEAKERS_LEFT_OUT_ONE_BY_ONE = 10


def make_folds(
    utterances: Sequence[Utterance],
    table: str | Path,
    fold_by: str = "auto",
    n_folds: int = 5,
) -> list[Fold]:
    """Make folds from a column of the table, or from its speakers.

    Arguments
    ---------
    utterances : Sequence[Utterance]
        What ``table.read_corpus`` returned.
    table : str | Path
        The CSV file.
    fold_by : str
        ``column``: the column ``fold`` or ``split``. ``speaker``: each speaker is
        tested in turn. ``groups``: groups of speakers are, balanced by label.
        ``auto``: the column if there is one; else ``speaker`` if there are at most 10
        speakers and all have all labels; else ``groups``.
    n_folds : int
        Number of groups; ``auto`` makes fewer if there are fewer speakers.

    Returns
    -------
    list[Fold]
        The folds. Without rows of the split ``valid``, speakers for validation are
        chosen from those that are not tested (see ``group_folds``).

    Raises
    ------
    ValueError
        If the folds cannot be made, a speaker is in several splits or folds of the
        column, or a label is missing in a part.
    """
    rows = read_csv_table(table)
    if _validates_by_column(rows, fold_by):
        _check_one_each(rows, "split", table)
        split = {row.id: row.split for row in rows}
        parts = [[u for u in utterances if split[u.id] == name] for name in SPLITS]
        folds = [Fold(1, *parts)]
    else:
        groups = _test_groups(rows, fold_by, n_folds, table)
        if too_few_speakers(utterances, groups):
            logger.warning(
                "%s has too few speakers for a validation part of its own: it is drawn "
                "from the speakers that train, and will look better than the test.",
                table,
            )
        folds = group_folds(utterances, groups)
    _check_parts(folds, rows, table)
    return folds


def parts_sharing_speakers(
    table: str | Path, fold_by: str = "auto", n_folds: int = 5
) -> list[str]:
    """Tell which parts have to share speakers in the folds of a table.

    Arguments
    ---------
    table : str | Path
        The CSV file.
    fold_by : str
        See :func:`make_folds`.
    n_folds : int
        See :func:`make_folds`.

    Returns
    -------
    list[str]
        ``train-valid`` if there are too few speakers to do otherwise, else nothing:
        for ``allowed_overlap`` in ``corpus.yaml``.
    """
    rows = read_csv_table(table)
    if _validates_by_column(rows, fold_by):
        return []
    groups = _test_groups(rows, fold_by, n_folds, table)
    shared = too_few_speakers([row.utterance() for row in rows], groups)
    return ["train-valid"] if shared else []


def _validates_by_column(rows: Sequence[Row], fold_by: str) -> bool:
    from_column = fold_by in ("auto", "column") and not rows[0].fold
    return from_column and {row.split for row in rows} == set(SPLITS)


def _test_groups(
    rows: Sequence[Row], fold_by: str, n_folds: int, table: str | Path
) -> dict[int, list[str]]:
    """The speakers to test on, for each fold by its number."""
    if fold_by not in FOLD_BY:
        raise ValueError(f"fold_by: expected one of {FOLD_BY}, found {fold_by!r}.")
    has_column = rows[0].fold or rows[0].split
    if fold_by == "column" or (fold_by == "auto" and has_column):
        return _groups_of_column(rows, table)
    speakers = sorted({row.speaker for row in rows})
    if fold_by == "auto":
        said = {(row.speaker, row.label) for row in rows}
        all_say_all = len(said) == len(speakers) * len({row.label for row in rows})
        few = len(speakers) <= _MOST_SPEAKERS_LEFT_OUT_ONE_BY_ONE
        fold_by = "speaker" if few and all_say_all else "groups"
        n_folds = min(n_folds, len(speakers))
    if fold_by == "speaker":
        return {k: [speaker] for k, speaker in enumerate(speakers, start=1)}
    groups = balanced_groups([row.utterance() for row in rows], n_folds)
    return dict(enumerate(groups, start=1))


def _groups_of_column(rows: Sequence[Row], table: str | Path) -> dict[int, list[str]]:
    if bool(rows[0].fold) == bool(rows[0].split):
        found = "both" if rows[0].fold else "neither"
        raise ValueError(
            f"{table}: expected one of the columns fold and split, found {found}. Keep "
            f"one, or make folds of the speakers: --fold_by speaker."
        )
    column = "fold" if rows[0].fold else "split"
    _check_one_each(rows, column, table)
    speakers = defaultdict(set)
    for row in rows:
        speakers[getattr(row, column)].add(row.speaker)
    if column == "split" and {"train", "test"} <= set(speakers):
        return {1: sorted(speakers["test"])}
    if column == "split" or len(speakers) < 2:
        expected = {"fold": "at least two folds", "split": "train and test"}[column]
        raise ValueError(
            f"{table}, column {column}: expected {expected}, found {sorted(speakers)}."
        )
    return {int(k): sorted(speakers[k]) for k in sorted(speakers, key=int)}


def _check_one_each(rows: Sequence[Row], column: str, table: str | Path) -> None:
    """Refuse a speaker who is in two splits, or in two folds."""
    first = {}
    for row in rows:
        before = first.setdefault(row.speaker, row)
        if getattr(before, column) != getattr(row, column):
            raise ValueError(
                f"{table}, line {row.line}, column {column}: the speaker {row.speaker} "
                f"is in {column} {getattr(row, column)}, and in line {before.line} in "
                f"{column} {getattr(before, column)}. Expected all of a speaker in "
                f"one: who is tested must not be known from training. If only train "
                f"and valid share speakers, write train for both; speakers for "
                f"validation are then drawn from them."
            )


def _check_parts(folds: Sequence[Fold], rows: Sequence[Row], table: str | Path) -> None:
    """Refuse a part without one of the labels, and say who has this label."""
    speakers = defaultdict(set)
    for row in rows:
        speakers[row.label].add(row.speaker)
    for fold in folds:
        for name, part in fold.parts.items():
            missing = sorted(speakers.keys() - {u.label for u in part})
            if missing:
                having = sorted(speakers[missing[0]])
                names = ", ".join(having[:5]) + (", ..." if having[5:] else "")
                raise ValueError(
                    f"{table}: expected every label in every part of every fold; the "
                    f"{name} part of fold {fold.number} has no utterance labelled "
                    f"{missing}. {missing[0]} has {len(having)} speakers "
                    f"({names}); three or more are needed, one in each part. "
                    f"Try fewer and larger folds (--fold_by groups --n_folds 3), or "
                    f"remove the rows with this label."
                )
