"""Folds by speaker: leave one speaker out, or balanced groups of speakers.

No test speaker appears in training. Validation has its own speakers or, if a corpus has
too few, some utterances of the training speakers. Only those are drawn at random, with
a fixed seed, so the same corpus always gives the same folds.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from ser_lib.corpora import Utterance
from ser_lib.folds.fold import Fold

# About one in five of the speakers, or utterances, that are not tested validate.
_VALID_ONE_IN = 5


def leave_one_speaker_out(
    utterances: Sequence[Utterance], valid_share: float = 0.2, seed: int = 0
) -> list[Fold]:
    """Test on each speaker in turn; validate on utterances of the training speakers.

    This is for corpora with too few speakers for separate validation speakers.

    Arguments
    ---------
    valid_share : float
        Share of the other speakers' utterances to validate on, see
        :func:`draw_validation`.
    seed : int
        Seed of that draw.

    Returns
    -------
    list[Fold]
        One for each speaker, sorted by name and numbered from 1.

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


def every_nth_speaker(utterances: Sequence[Utterance], n_folds: int) -> list[Fold]:
    """Test every n-th speaker in turn; validate on half of those tested next.

    Fold k of n tests the speakers k, k + n, k + 2n ... in the order of their names. Its
    validation speakers are the first, the third, the fifth ... of the speakers that the
    next fold tests (after the last fold comes the first).

    Arguments
    ---------
    n_folds : int
        Number of folds, numbered from 1.

    Example
    -------
    >>> corpus = [Utterance(s, "", "sad", s, 1.0) for s in "ABCDEF"]
    >>> parts = every_nth_speaker(corpus, 3)[0].parts
    >>> {name: [u.id for u in part] for name, part in parts.items()}
    {'train': ['C', 'E', 'F'], 'valid': ['B'], 'test': ['A', 'D']}
    """
    speakers = sorted({u.speaker for u in utterances})
    tested = [speakers[k::n_folds] for k in range(n_folds)]
    folds = []
    for k, test in enumerate(tested):
        valid = tested[(k + 1) % n_folds][::2]
        part_of = dict.fromkeys(test, "test") | dict.fromkeys(valid, "valid")
        parts = {
            part: [u for u in utterances if part_of.get(u.speaker, "train") == part]
            for part in ("train", "valid", "test")
        }
        folds.append(Fold(k + 1, **parts))
    return folds


def draw_validation(
    utterances: Sequence[Utterance], share: float = 0.2, seed: int = 0
) -> tuple[list[Utterance], list[Utterance]]:
    """Draw a share of the utterances of each speaker and label for validation.

    Copies of a drawn recording are for validation, too: RAVDESS has one.

    Arguments
    ---------
    utterances : Sequence[Utterance]
        Utterances of the training speakers.
    share : float
        Share of each speaker and label to draw, rounded to whole utterances: at least
        one if there are two or more.

    Returns
    -------
    list[Utterance]
        Utterances for training, in the given order.
    list[Utterance]
        Utterances for validation, in the given order.
    """
    cells = defaultdict(list)
    for u in utterances:
        cells[u.speaker, u.label].append(u.id)
    rng = np.random.default_rng(seed)
    drawn = set()
    for _, ids in sorted(cells.items()):
        n = max(round(share * len(ids)), 1) if len(ids) > 1 else 0
        drawn.update(rng.permutation(ids)[:n].tolist())
    recordings = {u.audio_hash for u in utterances if u.id in drawn} - {""}
    drawn.update(u.id for u in utterances if u.audio_hash in recordings)
    train = [u for u in utterances if u.id not in drawn]
    return train, [u for u in utterances if u.id in drawn]


def balanced_groups(utterances: Sequence[Utterance], n_groups: int) -> list[list[str]]:
    """Assign speakers to groups so that each has a similar share of every label.

    Greedy: speakers are assigned one by one, those with the largest shares of the
    labels first, to the group that has the least of the labels of this speaker.

    Arguments
    ---------
    n_groups : int
        Between 2 and the number of speakers.

    Returns
    -------
    list[list[str]]
        The speakers of each group, sorted by name; no group is empty.

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
            f"{len(shares)} speakers cannot be split into {n_groups} groups; expected "
            f"2 to {len(shares)} groups."
        )
    groups = [[] for _ in range(n_groups)]
    filled = np.zeros((n_groups, len(next(iter(shares.values())))))
    # Rounded, so that speakers with equal shares are sorted by name.
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
    """Return, for each speaker, their share of the utterances of each label."""
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
    groups : Mapping[int, Sequence[str]]
        The speakers to test on, by number of the fold.

    Returns
    -------
    list[Fold]
        In the given order. Validation and training have different speakers unless
        :func:`too_few_speakers`; in that case, :func:`draw_validation` draws the
        validation part from the training speakers, in every fold.
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
            valid_speakers = validation_speakers(rest)
            train = [u for u in rest if u.speaker not in valid_speakers]
            valid = [u for u in rest if u.speaker in valid_speakers]
        folds.append(Fold(number, train, valid, test))
    return folds


def too_few_speakers(
    utterances: Sequence[Utterance], groups: Mapping[int, Sequence[str]]
) -> bool:
    """Return whether a fold has fewer than two speakers to train and validate on.

    If so, training and validation must share speakers.

    Arguments
    ---------
    groups : Mapping[int, Sequence[str]]
        The speakers to test on, by number of the fold.
    """
    speakers = {u.speaker for u in utterances}
    return any(len(speakers - set(group)) < 2 for group in groups.values())


def validation_speakers(utterances: Sequence[Utterance]) -> list[str]:
    """Return the balanced group of speakers whose shares of the labels are most even.

    A group is worse if it, or the rest, has no utterance of a label.
    """
    shares = _label_shares(utterances)
    n_groups = min(_VALID_ONE_IN, len(shares))

    def imbalance(group: list[str]) -> tuple[int, float]:
        share = sum(shares[speaker] for speaker in group)
        missing = int(np.isclose(share, 0).sum() + np.isclose(share, 1).sum())
        return missing, round(float(np.abs(share - 1 / n_groups).max()), 9)

    return min(balanced_groups(utterances, n_groups), key=imbalance)
