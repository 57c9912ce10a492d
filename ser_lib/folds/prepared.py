"""Reuse the folds that an earlier run prepared (``--skip_prep True``).

``prepared.json`` records which settings the folds in an output folder were made with.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ser_lib.corpora import Utterance, protocol, with_audio_hashes
from ser_lib.folds.files import FOLDS_FILE, read_folds, written_digests
from ser_lib.folds.fold import Fold, fold_digest
from ser_lib.settings import Settings
from ser_lib.utils.digests import digest
from ser_lib.utils.files import atomic_path

PREPARED_FILE = "prepared.json"
# These, and the settings that they refer to, decide which utterances are in which part.
_PREPARED_BY = (
    "read_corpus",
    "make_folds",
    "corpora",
    "label_map",
    "utterances",
    "tasks",
)
# The audio is compared by its hashes, wherever it is.
_COMPARED_BY_CONTENT = "data_folder"
_REMEDY = "Run the same command without --skip_prep."


def record_preparation(settings: Settings, folds: Sequence[Fold]) -> None:
    """Write ``prepared.json`` into the output folder, after the folds."""
    record = _record(settings, {fold.number: fold_digest(fold) for fold in folds})
    with atomic_path(Path(settings["output_folder"]) / PREPARED_FILE) as unfinished:
        unfinished.write_text(json.dumps(record, indent=1), encoding="utf-8")


def prepared_folds(settings: Settings, hashes: str | Path) -> list[Fold]:
    """Read the folds in the output folder instead of the corpus.

    Arguments
    ---------
    hashes : str | Path
        The cache of :func:`ser_lib.corpora.with_audio_hashes`. Only audio whose size
        or time has changed is read.

    Raises
    ------
    FileNotFoundError
        If the folds were not prepared, or a file of them or of the audio is missing.
    ValueError
        If they were prepared with other settings, or have changed, or the audio has.
    """
    folder = Path(settings["output_folder"])
    found = _read_record(folder / PREPARED_FILE)
    expected = _record(settings, written_digests(folder))
    if found["settings"] != expected["settings"]:
        raise ValueError(
            f"The folds in {folder} were prepared with other settings of the corpus "
            f"({found['settings']}, now {expected['settings']}). {_REMEDY}"
        )
    if found["folds"] != expected["folds"]:
        raise ValueError(f"{folder / FOLDS_FILE} is of other folds. {_REMEDY}")
    folds = read_folds(folder)
    for fold in folds:
        if fold_digest(fold) != written_digests(folder)[fold.number]:
            raise ValueError(
                f"{folder / f'fold_{fold.number}'} was changed after it was prepared. "
                f"{_REMEDY}"
            )
    _check_audio(folds, settings["data_folder"], hashes)
    return folds


def _record(settings: Settings, digests: Mapping[int, str]) -> dict[str, str]:
    tree = settings.unresolved()
    made_by = _with_references(tree, _PREPARED_BY)
    made_by.pop(_COMPARED_BY_CONTENT, None)
    key = digest([made_by, protocol(settings)])
    return {"settings": key, "folds": digest({str(k): digests[k] for k in digests})}


def _with_references(tree: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return some settings and all to which they refer, unresolved."""
    found, to_do = {}, list(names)
    while to_do:
        name = to_do.pop()
        if name in tree and name not in found:
            found[name] = tree[name]
            to_do += re.findall(r"<(\w+)[^<>]*>", json.dumps(tree[name]))
    return found


def _read_record(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path.parent} has no prepared folds to reuse: {path.name} is missing. "
            f"{_REMEDY}"
        )
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {name: str(record[name]) for name in ("settings", "folds")}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}). {_REMEDY}") from error


def _check_audio(
    folds: Sequence[Fold], data_folder: str | Path, hashes: str | Path
) -> None:
    utterances: dict[str, Utterance] = {
        u.path: u for fold in folds for part in fold.parts.values() for u in part
    }
    known = list(utterances.values())
    now = with_audio_hashes(known, data_folder, hashes)
    changed = [
        u.path
        for u, then in zip(now, known, strict=True)
        if u.audio_hash != then.audio_hash
    ]
    if changed:
        raise ValueError(
            f"Recordings have changed since the folds were prepared: {len(changed)}, "
            f"the first is {changed[0]}. {_REMEDY}"
        )
