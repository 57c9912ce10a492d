"""Folds made from speakers: one left out in turn, or balanced groups of them.

Whoever is tested is never trained on. Validation takes speakers of its own, or, where
a corpus has too few, some utterances of the speakers trained on. Nothing is drawn at
random but the latter, so the same corpus always gives the same folds.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from ser_lib.corpora import Utterance
from ser_lib.folds.fold import Fold

# Validation gets about one in five of the speakers, or utterances, that are not tested.
_VALID_ONE_IN = 5


def leave_one_speaker_out(
    utterances: Sequence[Utterance], valid_share: float = 0.2, seed: int = 0
) -> list[Fold]:
    """Test on each speaker in turn, and validate on the speakers that train.

    This is for corpora with so few speakers that none can be spared for validation.

    Arguments
    ---------
    utterances : Sequence[Utterance]
        The corpus.
    valid_share : float
        Share of the other speakers' utterances that validates, see
        :func:`draw_validation`.
    seed : int
        Seed of that draw.

    Returns
    -------
    list[Fold]
        One for each speaker, in the order of their names, numbered from 1.

    Example
    -------
    >>> corpus = [
    ...     Utterance(f"{s}{i}", "", "sad", s, 1.0) for s in "AB" for i in range(5)
    ... ]
    >>> fold = leave_one_speaker_out(corpus)[1]
    >>> {u.speaker for u in fold.test}, len(fold.train), len(fold.valid)
    ({'B'}, 4, 1)
    """
    folds = []
    for number, speaker in enumerate(sorted({u.speaker for u in utterances}), start=1):
        others = [u for u in utterances if u.speaker != speaker]
        train, valid = draw_validation(others, valid_share, seed)
        test = [u for u in utterances if u.speaker == speaker]
        folds.append(Fold(number, train, valid, test))
    return folds


def draw_validation(
    utterances: Sequence[Utterance], share: float = 0.2, seed: int = 0
) -> tuple[list[Utterance], list[Utterance]]:
    """Draw a share of the utterances of each speaker and label for validation.

    Arguments
    ---------
    utterances : Sequence[Utterance]
        Utterances of the speakers that train.
    share : float
        Of each speaker and label, this share is drawn, rounded to whole utterances:
        at least one if there are two or more.
    seed : int
        Seed of the draw.

    Returns
    -------
    list[Utterance]
        Those that train, in the order given.
    list[Utterance]
        Those that validate, in the order given.
    """
    cells = defaultdict(list)
    for u in utterances:
        cells[u.speaker, u.label].append(u.id)
    rng = np.random.default_rng(seed)
    drawn = set()
    for _, ids in sorted(cells.items()):
        n = max(round(share * len(ids)), 1) if len(ids) > 1 else 0
        drawn.update(rng.permutation(ids)[:n].tolist())
    train = [u for u in utterances if u.id not in drawn]
    return train, [u for u in utterances if u.id in drawn]


def balanced_groups(utterances: Sequence[Utterance], n_groups: int) -> list[list[str]]:
    """Deal speakers to groups so that each has a like share of every label.

    Greedy: speakers are dealt one by one, those with the largest shares of the labels
    first, each to the group that has least of the labels that this speaker brings.

    Arguments
    ---------
    utterances : Sequence[Utterance]
        The corpus.
    n_groups : int
        Number of groups, at most that of speakers.

    Returns
    -------
    list[list[str]]
        The speakers of each group, by name; no group is empty.

    Raises
    ------
    ValueError
        If there are fewer speakers than groups, or fewer than two groups.

    Example
    -------
    >>> counts = {"A": 6, "B": 4, "C": 3, "D": 1}
    >>> corpus = [
    ...     Utterance(f"{s}{i}", "", "sad", s, 1.0) for s in counts
    ...     for i in range(counts[s])
    ... ]
    >>> balanced_groups(corpus, 2)
    [['A', 'D'], ['B', 'C']]
    """
    shares = _label_shares(utterances)
    if not 2 <= n_groups <= len(shares):
        raise ValueError(
            f"{n_groups} groups cannot be made of {len(shares)} speakers; expected 2 "
            f"to {len(shares)} groups, each with a speaker."
        )
    groups = [[] for _ in range(n_groups)]
    filled = np.zeros((n_groups, len(next(iter(shares.values())))))
    # Rounded, so that equal speakers stand in the order of their names.
    order = sorted(shares, key=lambda s: (-round(shares[s].sum(), 9), s))
    for left, speaker in zip(range(len(order), 0, -1), order, strict=True):
        empty = [g for g in range(n_groups) if not groups[g]]
        allowed = empty if len(empty) == left else range(n_groups)
        overlap = np.round(filled @ shares[speaker], 9)
        best = min(allowed, key=lambda g: (overlap[g], filled[g].sum(), g))
        groups[best].append(speaker)
        filled[best] += shares[speaker]
    return [sorted(group) for group in groups]


def _label_shares(utterances: Sequence[Utterance]) -> dict[str, np.ndarray]:
    """For each speaker, the share of each label's utterances that is theirs."""
    labels = sorted({u.label for u in utterances})
    counts = {u.speaker: np.zeros(len(labels)) for u in utterances}
    for u in utterances:
        counts[u.speaker][labels.index(u.label)] += 1
    totals = sum(counts.values())
    return {speaker: n / totals for speaker, n in sorted(counts.items())}


def group_folds(
    utterances: Sequence[Utterance], groups: Mapping[int, Sequence[str]]
) -> list[Fold]:
    """Test on each group of speakers in turn; validate on others of the rest.

    Arguments
    ---------
    utterances : Sequence[Utterance]
        The corpus.
    groups : Mapping[int, Sequence[str]]
        For each fold, by its number, the speakers to test on.

    Returns
    -------
    list[Fold]
        The folds in the order given. Validation and training have different speakers
        unless :func:`too_few_speakers`; then validation is drawn from the training
        speakers by :func:`draw_validation`, in every fold.
    """
    shared = too_few_speakers(utterances, groups)
    folds = []
    for number, group in groups.items():
        test_speakers = set(group)
        test = [u for u in utterances if u.speaker in test_speakers]
        rest = [u for u in utterances if u.speaker not in test_speakers]
        if shared:
            train, valid = draw_validation(rest, 1 / _VALID_ONE_IN)
        else:
            valid_speakers = _validation_speakers(rest)
            train = [u for u in rest if u.speaker not in valid_speakers]
            valid = [u for u in rest if u.speaker in valid_speakers]
        folds.append(Fold(number, train, valid, test))
    return folds


def too_few_speakers(
    utterances: Sequence[Utterance], groups: Mapping[int, Sequence[str]]
) -> bool:
    """Tell whether some fold has fewer than two speakers to train and validate on.

    Arguments
    ---------
    utterances : Sequence[Utterance]
        The corpus.
    groups : Mapping[int, Sequence[str]]
        For each fold the speakers to test on.

    Returns
    -------
    bool
        True if training and validation must share speakers.
    """
    speakers = {u.speaker for u in utterances}
    return any(len(speakers - set(group)) < 2 for group in groups.values())


def _validation_speakers(utterances: Sequence[Utterance]) -> list[str]:
    """Of balanced groups of these speakers, the one with the most even labels.

    A group counts as worse if a label would be missing in it or in the others.
    """
    shares = _label_shares(utterances)
    n_groups = min(_VALID_ONE_IN, len(shares))

    def badness(group: list[str]) -> tuple[int, float]:
        share = sum(shares[speaker] for speaker in group)
        missing = int(np.isclose(share, 0).sum() + np.isclose(share, 1).sum())
        return missing, round(float(np.abs(share - 1 / n_groups).max()), 9)

    return min(balanced_groups(utterances, n_groups), key=badness)
