"""Folds: which utterances train, validate and test, written down.

``python -m ser_lib.folds FOLDER`` audits the folds of a run: see ``ser_lib/audit.py``.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from ruamel.yaml import YAML

from ser_lib.digests import digest
from ser_lib.files import atomic_path
from ser_lib.manifest import Utterance, read_manifest, write_manifest

CORPUS_FILE = "corpus.yaml"  # the facts that folds were made and audited by
FOLDS_FILE = "folds.json"  # the folds of the run: number -> digest of its data


@dataclass(frozen=True)
class Fold:
    """One division of a corpus.

    Arguments
    ---------
    number : int
        Counted from 1.
    train, valid, test : list[Utterance]
        The three parts.
    """

    number: int
    train: list[Utterance]
    valid: list[Utterance]
    test: list[Utterance]

    @property
    def parts(self) -> dict[str, list[Utterance]]:
        """The parts by name: ``train``, ``valid`` and ``test``."""
        return {"train": self.train, "valid": self.valid, "test": self.test}


def superb_folds(utterances: Sequence[Utterance]) -> list[Fold]:
    """Leave one session out, with SUPERB's draw of the validation part.

    SUPERB (Yang et al. 2021, https://arxiv.org/abs/2105.01051) lists the other
    sessions in order and gives a random 80 % of that list to training and the
    rest to validation, with seed 0 in every fold (``s3prl/downstream/emotion`` in
    https://github.com/s3prl/s3prl). The speakers of the training and validation
    parts are thus the same.

    Arguments
    ---------
    utterances : Sequence[Utterance]
        A corpus with sessions, in SUPERB's order.

    Returns
    -------
    list[Fold]
        One for each session, numbered and ordered by session.

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
        # A generator of its own gives the draw of torch.manual_seed(0), and leaves
        # everybody else's random numbers alone.
        train, valid = torch.utils.data.random_split(
            others,
            [train_size, len(others) - train_size],
            generator=torch.Generator().manual_seed(0),
        )
        test = [u for u in utterances if u.session == session]
        folds.append(Fold(int(session), list(train), list(valid), test))
    return folds


def speaker_folds(
    utterances: Sequence[Utterance], folds: Sequence[Mapping]
) -> list[Fold]:
    """Folds given as lists of speakers; every speaker is tested exactly once.

    Arguments
    ---------
    utterances : Sequence[Utterance]
        The corpus.
    folds : Sequence[Mapping]
        For each fold the speakers to test on (``test``) and to validate on
        (``valid``); all others are trained on.

    Returns
    -------
    list[Fold]
        The folds, numbered from 1 in the order given.

    Raises
    ------
    ValueError
        If a speaker is not in the corpus, is in two parts of a fold, is not
        tested exactly once over the folds, or if a part is empty.

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
        in_part = dict.fromkeys(speakers, "train")
        in_part |= {s: part for part in ("valid", "test") for s in fold[part]}
        parts = {
            part: [u for u in utterances if in_part[u.speaker] == part]
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
            f"Every speaker must be tested once over the folds; found, as speaker: "
            f"times tested, {wrong}."
        )


def fold_digest(fold: Fold) -> str:
    """Hash the rows of a fold's three parts.

    Arguments
    ---------
    fold : Fold
        The fold.

    Returns
    -------
    str
        12 hexadecimal digits.
    """
    parts = (fold.train, fold.valid, fold.test)
    return digest([[asdict(u) for u in part] for part in parts])


def write_fold(fold: Fold, folder: str | Path) -> None:
    """Write the parts as ``train.csv``, ``valid.csv`` and ``test.csv``.

    Arguments
    ---------
    fold : Fold
        The fold to write.
    folder : str | Path
        Where to; it is made where it is missing.
    """
    for name, part in fold.parts.items():
        write_manifest(Path(folder) / f"{name}.csv", part)


def write_folds(folds: Sequence[Fold], facts: Mapping, folder: str | Path) -> None:
    """Write all folds, their digests, and the facts and protocol of their corpus.

    ``corpus.yaml`` holds values alone, so the folds can be audited anywhere, whatever
    the settings of the run refer to. ``folds.json`` tells these folds from what other
    data or another number of folds has left in the folder.

    Arguments
    ---------
    folds : Sequence[Fold]
        The folds; each gets a folder ``fold_<k>``.
    facts : Mapping
        The block ``corpus`` of the settings.
    folder : str | Path
        The output folder of a run.
    """
    digests = {fold.number: fold_digest(fold) for fold in folds}
    # First, so that a kill in between leaves no results that seem to be of these folds.
    with atomic_path(Path(folder) / FOLDS_FILE) as unfinished:
        unfinished.write_text(json.dumps(digests, indent=1), encoding="utf-8")
    for fold in folds:
        write_fold(fold, Path(folder) / f"fold_{fold.number}")
    with atomic_path(Path(folder) / CORPUS_FILE) as unfinished:
        YAML().dump({"corpus": facts}, unfinished)


def written_digests(folder: str | Path) -> dict[int, str]:
    """Read which folds a run has, and the digest of each.

    Arguments
    ---------
    folder : str | Path
        The output folder of a run.

    Returns
    -------
    dict[int, str]
        Number -> digest (see :func:`fold_digest`), in order; empty if an older version
        wrote the folds.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    path = Path(folder) / FOLDS_FILE
    if not path.is_file():
        return {}
    try:
        digests = json.loads(path.read_text(encoding="utf-8"))
        return {int(number): str(digests[number]) for number in digests}
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged ({error}): expected the number and the digest of each "
            f"fold. The train.py of the run, with --prepare_only True, writes it anew."
        ) from error


def fold_folders(folder: str | Path) -> dict[Path, int | None]:
    """Find what looks like the folder of a fold.

    Arguments
    ---------
    folder : str | Path
        The output folder of a run.

    Returns
    -------
    dict[Path, int | None]
        Folder -> number of the fold, by number; None for others, such as ``fold_3
        copy``, which come last.
    """
    found = {}
    for path in sorted(p for p in Path(folder).glob("fold_*") if p.is_dir()):
        match = re.fullmatch(r"fold_([1-9][0-9]*)", path.name)
        found[path] = int(match[1]) if match else None
    order = sorted(found, key=lambda path: found[path] or float("inf"))
    return {path: found[path] for path in order}


def read_folds(folder: str | Path) -> list[Fold]:
    """Read the folds that a run has written.

    Arguments
    ---------
    folder : str | Path
        The folder that holds ``fold_1/train.csv`` and so on.

    Returns
    -------
    list[Fold]
        In the order of their numbers; those of ``folds.json``, if there is one.

    Raises
    ------
    FileNotFoundError
        If there is no fold, or if a part of one is missing.
    """
    numbers = list(written_digests(folder)) or [
        number for number in fold_folders(folder).values() if number
    ]
    if not numbers:
        raise FileNotFoundError(
            f"Looked for fold_1, fold_2 ... in {folder}; there is none. Give the "
            f"output folder of a run, such as results/hubert_ecapa/seed_1986."
        )
    folders = {number: Path(folder) / f"fold_{number}" for number in numbers}
    return [
        Fold(
            number,
            train=read_manifest(path / "train.csv"),
            valid=read_manifest(path / "valid.csv"),
            test=read_manifest(path / "test.csv"),
        )
        for number, path in folders.items()
    ]


def chosen_folds(folds: Sequence[Fold], choice: str | int | list) -> list[Fold]:
    """Select folds by number.

    Arguments
    ---------
    folds : Sequence[Fold]
        All folds.
    choice : str | int | list
        ``all``, one number, or several (``1,3`` or ``[1, 3]``).

    Returns
    -------
    list[Fold]
        The chosen ones, in order.

    Raises
    ------
    ValueError
        If a number is not that of a fold.
    """
    if choice == "all":
        return list(folds)
    numbers = choice if isinstance(choice, list) else str(choice).split(",")
    known = {str(fold.number): fold for fold in folds}
    unknown = [n for n in numbers if str(n).strip() not in known]
    if unknown:
        raise ValueError(
            f"folds: there is no fold {unknown}; choose from {list(known)}."
        )
    return [known[str(n).strip()] for n in numbers]


if __name__ == "__main__":
    from ser_lib.audit import main  # which needs this module

    sys.exit(main())
