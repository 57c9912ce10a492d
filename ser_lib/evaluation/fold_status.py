"""Decide which finished folds belong to a run.

An output folder may also contain folds of an earlier run, of data that has changed
since, or copies of folders. A fold belongs to the run if its ``fold.json`` has the
settings key of the run and the data digest that the run's ``folds.json`` lists for it.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from ser_lib.folds import fold_folders, written_digests

_FOLD_FILES = ("fold.json", "history.csv", "predictions.csv")
FOLD_INFO_KEYS = (
    "experiment",
    "corpus",
    "seed",
    "fold",
    "settings_key",
    "averaged_epochs",
    "valid_accuracy",
)
_MISMATCHES = {  # formatted with the value found and the value expected
    "fold": "its fold.json is of fold {}, expected fold {}",
    "fold_digest": "run with other data (digest {}, now {})",
    "settings_key": "run with other settings ({}, now {})",
}


def finished_folds(
    output_folder: str | Path,
    settings_key: str | None = None,
    digests: Mapping[int, str] | None = None,
) -> list[int]:
    """Return the sorted numbers of a run's finished folds; see left_out_folds."""
    faults = _faults(output_folder, settings_key, digests)
    return [int(name.removeprefix("fold_")) for name, fault in faults if not fault]


def left_out_folds(
    output_folder: str | Path,
    settings_key: str | None = None,
    digests: Mapping[int, str] | None = None,
) -> dict[str, str]:
    """Return the folds without a result to report, and the reason for each.

    These are unfinished folds of the run, and any other folder named ``fold_...``:
    folds of other data, of other settings, or of an earlier run with more folds.

    Arguments
    ---------
    output_folder : str | Path
        Contains ``fold_1``, ``fold_2`` and so on.
    settings_key : str | None
        Leave out folds with another key; ``None`` accepts any.
    digests : Mapping[int, str] | None
        The folds of the run: number -> digest of the data. ``None`` reads them from
        ``folds.json``; without that file (written by an older version), folds of any
        data are accepted.

    Returns
    -------
    dict[str, str]
        Folder name -> reason, in the order of the folds.

    Raises
    ------
    ValueError
        If ``folds.json`` is damaged.
    """
    faults = _faults(output_folder, settings_key, digests)
    return {name: fault for name, fault in faults if fault}


def _faults(
    output_folder: str | Path,
    settings_key: str | None,
    digests: Mapping[int, str] | None,
) -> list[tuple[str, str]]:
    """Return (name, reason it is left out) of each fold; the reason may be empty."""
    folders = fold_folders(output_folder)
    if digests is None:
        digests = written_digests(output_folder)
    numbers = {number for number in folders.values() if number}
    # Without folds.json, the run is assumed to have all folds up to the highest.
    of_run = set(digests) or set(range(1, max(numbers, default=0) + 1))
    expected = {} if settings_key is None else {"settings_key": settings_key}
    faults = []
    for number in sorted(of_run | numbers):
        name = f"fold_{number}"
        if number not in of_run:
            listed = ", ".join(map(str, sorted(of_run)))
            faults.append((name, f"not of this run, which has the folds {listed}"))
            continue
        fold_info = {"fold": number, **expected}
        if number in digests:
            fold_info["fold_digest"] = digests[number]
        faults.append((name, fold_fault(Path(output_folder) / name, fold_info)))
    others = [path.name for path, number in folders.items() if number is None]
    return faults + [(name, "not a name of a fold") for name in others]


def fold_fault(folder: Path, expected: Mapping[str, object]) -> str:
    """Return why a fold has no result, or not the expected one; empty if it has.

    Arguments
    ---------
    folder : Path
        Folder of the fold.
    expected : Mapping[str, object]
        Entries that its ``fold.json`` must have.
    """
    if not folder.is_dir():
        return "not started"
    missing = [name for name in _FOLD_FILES if not (folder / name).is_file()]
    if missing:
        return f"not finished, {', '.join(missing)} missing"
    fold_info, fault = _read_info(folder)
    if fault:
        return f"{fault}; the next run tests the fold again"
    for name, value in expected.items():
        if fold_info.get(name) != value:
            text = _MISMATCHES.get(name, f"of another {name} ({{}}, now {{}})")
            return text.format(fold_info.get(name), value)
    return ""


def read_fold_info(folder: Path) -> dict:
    """Read ``fold.json``, which must have all ``FOLD_INFO_KEYS``."""
    fold_info, fault = _read_info(folder)
    if fault:
        raise ValueError(f"{folder}: {fault}. {remedy(folder)}")
    return fold_info


def _read_info(folder: Path) -> tuple[dict, str]:
    """Return the contents of fold.json, and what is wrong with it."""
    try:
        fold_info = json.loads((folder / "fold.json").read_text(encoding="utf-8"))
    except ValueError as error:
        return {}, f"its fold.json is damaged ({error})"
    if not isinstance(fold_info, dict):
        return {}, f"its fold.json is damaged (it contains {fold_info!r})"
    missing = [name for name in FOLD_INFO_KEYS if name not in fold_info]
    return fold_info, f"its fold.json lacks {', '.join(missing)}" if missing else ""


def remedy(folder: Path) -> str:
    """Return what to do about a damaged file in the folder of a fold."""
    return (
        f"Delete {folder / 'fold.json'} and start the run again: the fold is tested "
        f"again without being trained again."
    )
