"""The folds of a run as files, and the record of which folds belong to the run."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ruamel.yaml import YAML

from ser_lib.corpora import read_manifest, write_manifest
from ser_lib.folds.fold import Fold, fold_digest
from ser_lib.utils.files import atomic_path

CORPUS_FILE = "corpus.yaml"  # the protocol of the folds
FOLDS_FILE = "folds.json"  # the folds of the run: number -> digest of its data


def write_folds(folds: Sequence[Fold], corpus: Mapping, folder: str | Path) -> None:
    """Write all folds, their digests, and the ``corpus.yaml`` of the run.

    ``corpus.yaml`` has no references to other settings, so the folds can be audited
    anywhere. ``folds.json`` distinguishes these folds from folds of other data, or of
    another number of folds, that an earlier run left in the folder.

    Arguments
    ---------
    folds : Sequence[Fold]
        Each gets a folder ``fold_<k>`` with ``train.csv``, ``valid.csv``, ``test.csv``.
    corpus : Mapping
        The block ``corpus`` of the settings.
    folder : str | Path
        The output folder of a run.
    """
    digests = {fold.number: fold_digest(fold) for fold in folds}
    # First, so that a run killed here leaves no results that seem to match these folds.
    with atomic_path(Path(folder) / FOLDS_FILE) as unfinished:
        unfinished.write_text(json.dumps(digests, indent=1), encoding="utf-8")
    for fold in folds:
        for name, part in fold.parts.items():
            write_manifest(Path(folder) / f"fold_{fold.number}" / f"{name}.csv", part)
    with atomic_path(Path(folder) / CORPUS_FILE) as unfinished:
        YAML().dump({"corpus": corpus}, unfinished)


def written_digests(folder: str | Path) -> dict[int, str]:
    """Read the numbers and digests of the folds of a run.

    Returns
    -------
    dict[int, str]
        Number -> digest (see ``fold_digest``), in order; empty if an older version
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
            f"fold. Run train.py again with --prepare_only True to rewrite it."
        ) from error


def fold_folders(folder: str | Path) -> dict[Path, int | None]:
    """Find folders named like the folder of a fold.

    Returns
    -------
    dict[Path, int | None]
        Folder -> number of the fold, by number; others, such as ``fold_3 copy``, have
        None and come last.
    """
    found = {}
    for path in sorted(p for p in Path(folder).glob("fold_*") if p.is_dir()):
        match = re.fullmatch(r"fold_([1-9][0-9]*)", path.name)
        found[path] = int(match[1]) if match else None
    order = sorted(found, key=lambda path: found[path] or float("inf"))
    return {path: found[path] for path in order}


def read_folds(folder: str | Path) -> list[Fold]:
    """Read the folds that a run has written, in the order of their numbers.

    If there is a ``folds.json``, the folds are those that it lists, in its order.

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
            f"Looked for fold_1, fold_2 ... in {folder}; found none. Give the output "
            f"folder of a run, such as results/hubert_ecapa/seed_1986."
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
