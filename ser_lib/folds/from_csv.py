"""Folds of a user's table: from a column, or from its speakers."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from speechbrain.utils.logger import get_logger

from ser_lib.corpora import SPLITS, Row, Utterance, new_labels, read_csv_table
from ser_lib.folds.by_speaker import balanced_groups, group_folds, too_few_speakers
from ser_lib.folds.fold import Fold
from ser_lib.utils.listing import first_few

logger = get_logger(__name__)

FOLD_BY = ("auto", "column", "speaker", "groups")
# With more speakers, one fold per speaker would take too long.
_MAX_SPEAKER_FOLDS = 10


def make_folds(
    utterances: Sequence[Utterance],
    table: str | Path,
    fold_by: str = "auto",
    n_folds: int = 5,
) -> list[Fold]:
    """Create folds from a column of the table, or from its speakers.

    Arguments
    ---------
    utterances : Sequence[Utterance]
        Those of the table, with the labels of the experiment.
    table : str | Path
        The CSV file.
    fold_by : str
        ``column``: the column ``fold`` or ``split``. ``speaker``: test each speaker in
        turn. ``groups``: test groups of speakers, balanced by label. ``auto``: the
        column if there is one; else ``speaker`` if there are at most 10 speakers and
        all have all labels; else ``groups``.
    n_folds : int
        Number of groups; ``auto`` makes fewer if there are fewer speakers.

    Returns
    -------
    list[Fold]
        Without rows of the split ``valid``, validation speakers are chosen among those
        that are not tested (see ``group_folds``).

    Raises
    ------
    ValueError
        If the folds cannot be created, a speaker is in several splits or folds of the
        column, or a part has no utterance of a label.
    """
    labels = {u.id: u.label for u in utterances}
    rows = [
        replace(row, label=labels[row.id])
        for row in read_csv_table(table)
        if row.id in labels
    ]
    if _validates_by_column(rows, fold_by):
        _check_one_each(rows, "split", table)
        split = {row.id: row.split for row in rows}
        parts = [[u for u in utterances if split[u.id] == name] for name in SPLITS]
        folds = [Fold(1, *parts)]
    else:
        groups = _test_groups(rows, fold_by, n_folds, table)
        if too_few_speakers(utterances, groups):
            logger.warning(
                "%s has too few speakers for separate validation speakers: validation "
                "uses training speakers, so its scores will exceed those of the test.",
                table,
            )
        folds = group_folds(utterances, groups)
    _check_parts(folds, rows, table)
    return folds


def parts_sharing_speakers(
    table: str | Path,
    fold_by: str = "auto",
    n_folds: int = 5,
    label_map: Mapping | str | None = None,
) -> list[str]:
    """Return the pairs of parts that must share speakers in the folds of a table.

    Arguments are those of :func:`make_folds`, and the label map of the experiment.

    Returns
    -------
    list[str]
        ``["train-valid"]`` if there are too few speakers, otherwise ``[]``: for
        ``allowed_overlap`` in ``corpus.yaml``.
    """
    rows = read_csv_table(table)
    labels = new_labels(sorted({row.label for row in rows}), label_map or {})
    rows = [row for row in rows if labels[row.label] is not None]
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
    """Return the speakers to test on, by number of the fold."""
    if fold_by not in FOLD_BY:
        raise ValueError(f"fold_by: expected one of {FOLD_BY}, found {fold_by!r}.")
    has_column = rows[0].fold or rows[0].split
    if fold_by == "column" or (fold_by == "auto" and has_column):
        return _groups_of_column(rows, table)
    speakers = sorted({row.speaker for row in rows})
    if fold_by == "auto":
        pairs = {(row.speaker, row.label) for row in rows}
        is_complete = len(pairs) == len(speakers) * len({row.label for row in rows})
        few = len(speakers) <= _MAX_SPEAKER_FOLDS
        fold_by = "speaker" if few and is_complete else "groups"
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
            f"one, or create folds from the speakers: --fold_by speaker."
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
    """Refuse a speaker who is in two splits or in two folds."""
    first = {}
    for row in rows:
        before = first.setdefault(row.speaker, row)
        if getattr(before, column) != getattr(row, column):
            raise ValueError(
                f"{table}, line {row.line}, column {column}: the speaker {row.speaker} "
                f"is in {column} {getattr(row, column)}, and in line {before.line} in "
                f"{column} {getattr(before, column)}. Expected all rows of a speaker "
                f"in one {column}, so that no test speaker appears in training. If "
                f"only train and valid share speakers, write train for both; "
                f"validation speakers are then chosen from them."
            )


def _check_parts(folds: Sequence[Fold], rows: Sequence[Row], table: str | Path) -> None:
    """Refuse a part without one of the labels; name the speakers who have it."""
    speakers = defaultdict(set)
    for row in rows:
        speakers[row.label].add(row.speaker)
    for fold in folds:
        for name, part in fold.parts.items():
            missing = sorted(speakers.keys() - {u.label for u in part})
            if missing:
                having = sorted(speakers[missing[0]])
                raise ValueError(
                    f"{table}: expected every label in every part of every fold; the "
                    f"{name} part of fold {fold.number} has no utterance labelled "
                    f"{missing}. {missing[0]} has {len(having)} speakers "
                    f"({first_few(having)}); at least three are needed, one per part. "
                    f"Try fewer and larger folds (--fold_by groups --n_folds 3), or "
                    f"remove the rows with this label."
                )
