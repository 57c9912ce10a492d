"""Which finished folds belong to a run: the digest of the data decides.

The output folder of a run can hold more than its folds: those of an earlier run with
more folds, or of a table whose labels have changed since, or a copy that somebody made.
A fold belongs to the run if ``folds.json`` of the run has its number with the digest
that its ``fold.json`` has, and if it was run with the settings of the run.
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
_DIFFERING = {  # what is found, what is expected
    "fold": "its fold.json is of fold {}, expected fold {}",
    "fold_digest": "run with other data (digest {}, now {})",
    "settings_key": "run with other settings ({}, now {})",
}


def finished_folds(
    output_folder: str | Path,
    settings_key: str | None = None,
    digests: Mapping[int, str] | None = None,
) -> list[int]:
    """Find the finished folds of a run.

    Arguments
    ---------
    output_folder, settings_key, digests
        As for :func:`left_out_folds`.

    Returns
    -------
    list[int]
        Their numbers, in order.
    """
    faults = _faults(output_folder, settings_key, digests)
    return [int(name.removeprefix("fold_")) for name, fault in faults if not fault]


def left_out_folds(
    output_folder: str | Path,
    settings_key: str | None = None,
    digests: Mapping[int, str] | None = None,
) -> dict[str, str]:
    """Say which folds have no result to report, and why.

    Named are the folds of the run and whatever else is called ``fold_...``: folds of
    other data or other settings, and those of an earlier run that had more of them.

    Arguments
    ---------
    output_folder : str | Path
        Holds ``fold_1``, ``fold_2`` and so on.
    settings_key : str | None
        Leave out folds with another key; ``None`` accepts any.
    digests : Mapping[int, str] | None
        The folds of the run: number -> digest of the data. ``None`` takes those that
        the run wrote down (``folds.json``). If there are none, because an older
        version wrote the folder, any fold is accepted.

    Returns
    -------
    dict[str, str]
        Name of the folder -> reason, in the order of the folds.

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
    """Give the name of each fold with what keeps it out of the results, or nothing."""
    folders = fold_folders(output_folder)
    if digests is None:
        digests = written_digests(output_folder)
    numbers = {number for number in folders.values() if number}
    # Without a record, the folds below the highest are taken to be of the run.
    known = set(digests) or set(range(1, max(numbers, default=0) + 1))
    expected = {} if settings_key is None else {"settings_key": settings_key}
    faults = []
    for number in sorted(known | numbers):
        name = f"fold_{number}"
        if number not in known:
            of_run = ", ".join(map(str, sorted(known)))
            faults.append((name, f"not of this run, which has the folds {of_run}"))
            continue
        fold_info = {"fold": number, **expected}
        if number in digests:
            fold_info["fold_digest"] = digests[number]
        faults.append((name, fold_fault(Path(output_folder) / name, fold_info)))
    others = [path.name for path, number in folders.items() if number is None]
    return faults + [(name, "not named as a fold of a run is") for name in others]


def fold_fault(folder: Path, expected: Mapping[str, object]) -> str:
    """Say why there is no result of a fold, or why it is not the expected one.

    Arguments
    ---------
    folder : Path
        Folder of the fold.
    expected : Mapping[str, object]
        Entries that its ``fold.json`` must have.

    Returns
    -------
    str
        Empty if the fold is finished and as expected.
    """
    if not folder.is_dir():
        return "not begun"
    missing = [name for name in _FOLD_FILES if not (folder / name).is_file()]
    if missing:
        return f"not finished, {', '.join(missing)} missing"
    fold_info, fault = _read_info(folder)
    if fault:
        return f"{fault}; the next run tests the fold again"
    for name, value in expected.items():
        if fold_info.get(name) != value:
            words = _DIFFERING.get(name, f"of another {name} ({{}}, now {{}})")
            return words.format(fold_info.get(name), value)
    return ""


def read_fold_info(folder: Path) -> dict:
    """Read ``fold.json`` of a finished fold.

    Arguments
    ---------
    folder : Path
        Folder of the fold.

    Returns
    -------
    dict
        At least the entries ``FOLD_INFO_KEYS``.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    fold_info, fault = _read_info(folder)
    if fault:
        raise ValueError(f"{folder}: {fault}. {remedy(folder)}")
    return fold_info


def _read_info(folder: Path) -> tuple[dict, str]:
    """Give the fold_info, and what is wrong with them."""
    try:
        fold_info = json.loads((folder / "fold.json").read_text(encoding="utf-8"))
    except ValueError as error:
        return {}, f"its fold.json is damaged ({error})"
    if not isinstance(fold_info, dict):
        return {}, f"its fold.json is damaged (it holds {fold_info!r})"
    missing = [name for name in FOLD_INFO_KEYS if name not in fold_info]
    return fold_info, f"its fold.json lacks {', '.join(missing)}" if missing else ""


def remedy(folder: Path) -> str:
    """Say what to do about a damaged file in the folder of a fold."""
    return (
        f"Delete {folder / 'fold.json'} and start the run again: the fold is tested "
        f"again, not trained again."
    )
