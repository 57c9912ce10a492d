"""Folds of several corpora: by speaker within each, by corpus, or one of everything.

If the folds are by speaker, validation has speakers of its own in every corpus that has
enough of them. If another corpus is tested, all speakers of the others are trained on:
some corpora have few, and the test speakers are new in any case.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ser_lib.corpora import Utterance
from ser_lib.folds.by_speaker import (
    balanced_groups,
    draw_validation,
    validation_speakers,
)
from ser_lib.folds.fold import Fold


def make_folds(
    utterances: Sequence[Utterance], folds_by: str, n_folds: int
) -> list[Fold]:
    """Split several corpora.

    Arguments
    ---------
    utterances : Sequence[Utterance]
        As ``read_corpora`` returns them.
    folds_by : str
        ``speaker``: fold k tests the k-th of ``n_folds`` groups of speakers of every
        corpus (of sessions, if a corpus has them); a corpus with fewer speakers is not
        tested in the last folds, and there are no folds without a test. ``corpus``:
        fold k tests the k-th corpus, and the others are for training. ``matrix``: fold
        k trains on the k-th corpus alone, and tests all others; with three corpora or
        more, the folds of ``corpus`` follow.
        Both draw validation utterances from the training speakers.
        ``all``: one fold that trains on all speakers, for a model to be used on others.
        It tests a tenth of their utterances and has no validation part; the folds of
        ``speaker`` measure such a model.
    n_folds : int
        For ``speaker`` only.

    Returns
    -------
    list[Fold]
        Numbered from 1; corpora are in the order of their utterances.
    """
    corpora = list(dict.fromkeys(u.corpus for u in utterances))
    if folds_by == "speaker":
        return _by_speaker(utterances, corpora, n_folds)
    if folds_by == "all":
        train, test = draw_validation(utterances, share=0.1)
        return [Fold(1, train, [], test)]
    seen_corpora = [{corpus} for corpus in corpora] if folds_by == "matrix" else []
    if folds_by == "corpus" or len(corpora) > 2:
        seen_corpora += [{*corpora} - {corpus} for corpus in corpora]
    folds = []
    for number, names in enumerate(seen_corpora, start=1):
        seen = [u for u in utterances if u.corpus in names]
        test = [u for u in utterances if u.corpus not in names]
        folds.append(Fold(number, *draw_validation(seen), test))
    return folds


def speaker_overlap(folds_by: str) -> list[str]:
    """Return the parts of a fold that share speakers, see :func:`make_folds`."""
    pairs = {"speaker": [], "all": ["train-test"]}
    return pairs.get(folds_by, ["train-valid"])


def trained_on(fold: Fold) -> str:
    """Return the corpora that a fold trains on, such as ``RAVDESS + nEMO``."""
    return " + ".join(dict.fromkeys(u.corpus for u in fold.train))


def _by_speaker(
    utterances: Sequence[Utterance], corpora: Sequence[str], n_folds: int
) -> list[Fold]:
    tested: list[set[str]] = [set() for _ in range(n_folds)]
    for corpus in corpora:
        own = [u for u in utterances if u.corpus == corpus]
        n_groups = min(n_folds, len({_unit(u) for u in own}))
        groups = balanced_groups(_with_units(own), n_groups)
        for units, group in zip(tested, groups, strict=False):
            units.update(group)
    folds = []
    for number, units in enumerate(filter(None, tested), start=1):
        test = [u for u in utterances if _unit(u) in units]
        rest = [u for u in utterances if _unit(u) not in units]
        folds.append(Fold(number, *_other_speakers(rest), test))
    return folds


def _other_speakers(
    utterances: Sequence[Utterance],
) -> tuple[list[Utterance], list[Utterance]]:
    """Set some speakers of each corpus aside for validation, about one in five."""
    valid: set[str] = set()
    for corpus in dict.fromkeys(u.corpus for u in utterances):
        own = [u for u in utterances if u.corpus == corpus]
        if len({_unit(u) for u in own}) > 1:
            valid.update(validation_speakers(_with_units(own)))
    train = [u for u in utterances if _unit(u) not in valid]
    return train, [u for u in utterances if _unit(u) in valid]


def _unit(utterance: Utterance) -> str:
    """Return what is in one part only: a session with its speakers, or a speaker."""
    return utterance.session or utterance.speaker


def _with_units(utterances: Iterable[Utterance]) -> list[Utterance]:
    return [replace(u, speaker=_unit(u)) for u in utterances]
