"""Folds: which utterances are used for training, validation and test."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ser_lib.corpora import Utterance, as_row
from ser_lib.utils.digests import digest


@dataclass(frozen=True)
class Fold:
    """One split of a corpus into parts; ``number`` counts from 1."""

    number: int
    train: list[Utterance]
    valid: list[Utterance]
    test: list[Utterance]

    @property
    def parts(self) -> dict[str, list[Utterance]]:
        """The parts by name: ``train``, ``valid`` and ``test``."""
        return {"train": self.train, "valid": self.valid, "test": self.test}


def superb_folds(
    utterances: Sequence[Utterance],
    part_digests: Mapping[int, Mapping[str, str]] | None = None,
) -> list[Fold]:
    """Leave one session out, with SUPERB's validation part.

    SUPERB (Yang et al. 2021, https://arxiv.org/abs/2105.01051) lists the other sessions
    in order, and uses a random 80 % of this list for training and the rest for
    validation, with seed 0 in every fold (``s3prl/downstream/emotion`` in
    https://github.com/s3prl/s3prl). So training and validation have the same speakers.

    Arguments
    ---------
    utterances : Sequence[Utterance]
        A corpus with sessions, in SUPERB's order.
    part_digests : Mapping[int, Mapping[str, str]] | None
        For each fold and part the SHA-256 of its sorted ids, joined by newlines. None
        checks nothing.

    Returns
    -------
    list[Fold]
        One for each session, numbered and sorted by session.

    Raises
    ------
    ValueError
        If a part differs from its digest.

    Example
    -------
    >>> corpus = [
    ...     Utterance(f"{s}{i}", "", "sad", "A", 1.0, session=s)
    ...     for s in "123" for i in range(5)
    ... ]
    >>> fold = superb_folds(corpus)[2]
    >>> fold.number, len(fold.train), len(fold.valid), [u.id for u in fold.test]
    (3, 8, 2, ['30', '31', '32', '33', '34'])
    """
    folds = []
    for session in sorted({u.session for u in utterances}):
        others = [u for u in utterances if u.session != session]
        train_size = int(0.8 * len(others))
        # A separate generator draws as after torch.manual_seed(0), but leaves the
        # global random state unchanged.
        train, valid = torch.utils.data.random_split(
            others,
            [train_size, len(others) - train_size],
            generator=torch.Generator().manual_seed(0),
        )
        test = [u for u in utterances if u.session == session]
        folds.append(Fold(int(session), list(train), list(valid), test))
    if part_digests is not None:
        _check_digests(folds, part_digests)
    return folds


def _check_digests(
    folds: Sequence[Fold], part_digests: Mapping[int, Mapping[str, str]]
) -> None:
    for fold in folds:
        for name, part in fold.parts.items():
            ids = "\n".join(sorted(u.id for u in part))
            found = hashlib.sha256(ids.encode()).hexdigest()
            expected = part_digests[fold.number][name]
            if found != expected:
                raise ValueError(
                    f"Part {name} of fold {fold.number} is not SUPERB's: the SHA-256 "
                    f"of its {len(part)} ids is {found}, expected {expected}. Is the "
                    f"release complete, with its labels unchanged? For another corpus "
                    f"in this layout, set part_digests to null."
                )


def speaker_folds(
    utterances: Sequence[Utterance], folds: Sequence[Mapping]
) -> list[Fold]:
    """Create folds from lists of speakers; every speaker is tested exactly once.

    Arguments
    ---------
    folds : Sequence[Mapping]
        For each fold, the speakers to test on (``test``) and to validate on
        (``valid``); all others are for training.

    Returns
    -------
    list[Fold]
        Numbered from 1 in the given order.

    Raises
    ------
    ValueError
        If a speaker is not in the corpus, is in two parts of a fold or is not tested
        exactly once, or if a part is empty.

    Example
    -------
    >>> corpus = [Utterance(f"{s}1", "", "sad", s, 1.0) for s in "ABC"]
    >>> rows = [{"test": [t], "valid": [v]} for t, v in ("AB", "BC", "CA")]
    >>> speaker_folds(corpus, rows)[1].parts["train"][0].speaker
    'A'
    """
    speakers = {u.speaker for u in utterances}
    _check_speaker_lists(speakers, folds)
    result = []
    for number, fold in enumerate(folds, start=1):
        part_of = dict.fromkeys(speakers, "train")
        part_of |= {s: part for part in ("valid", "test") for s in fold[part]}
        parts = {
            part: [u for u in utterances if part_of[u.speaker] == part]
            for part in ("train", "valid", "test")
        }
        for part, rows in parts.items():
            if not rows:
                raise ValueError(
                    f"Fold {number} has no speaker in its {part} part; expected at "
                    f"least one of {sorted(speakers)}."
                )
        result.append(Fold(number, **parts))
    return result


def _check_speaker_lists(speakers: set[str], folds: Sequence[Mapping]) -> None:
    for number, fold in enumerate(folds, start=1):
        unknown = sorted({*fold["test"], *fold["valid"]} - speakers)
        if unknown:
            raise ValueError(
                f"Fold {number} lists the speakers {unknown}, which the corpus does "
                f"not have; it has {sorted(speakers)}."
            )
        both = sorted(set(fold["test"]) & set(fold["valid"]))
        if both:
            raise ValueError(
                f"Fold {number} has the speakers {both} in its test and in its valid "
                f"part; a speaker may be in one part only."
            )
    tested = Counter(speaker for fold in folds for speaker in fold["test"])
    wrong = {s: tested[s] for s in sorted(speakers) if tested[s] != 1}
    if wrong:
        raise ValueError(
            f"Every speaker must be tested once over the folds; found (speaker: times "
            f"tested) {wrong}."
        )


def fold_digest(fold: Fold) -> str:
    """Hash the rows of a fold's three parts, as 12 hexadecimal digits."""
    parts = (fold.train, fold.valid, fold.test)
    return digest([[as_row(u) for u in part] for part in parts])


def chosen_folds(folds: Sequence[Fold], choice: str | int | list) -> list[Fold]:
    """Select folds by number.

    Arguments
    ---------
    choice : str | int | list
        ``all``, one number, or several (``1,3`` or ``[1, 3]``).

    Returns
    -------
    list[Fold]
        In the order of the choice.

    Raises
    ------
    ValueError
        If a number is not that of a fold, or is given twice.
    """
    if choice == "all":
        return list(folds)
    numbers = choice if isinstance(choice, list) else str(choice).split(",")
    numbers = [str(number).strip() for number in numbers]
    by_number = {str(fold.number): fold for fold in folds}
    if not numbers or set(numbers) - set(by_number) or len({*numbers}) < len(numbers):
        raise ValueError(
            f"folds is {choice!r}; expected all, or some of {', '.join(by_number)}, "
            f"each once and separated by commas."
        )
    return [by_number[number] for number in numbers]
