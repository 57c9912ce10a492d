"""Check a pack: its files, its folds, its labels, and every score.

Nothing of the pack is trusted or executed; files are only read below its folder.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
from ruamel.yaml.error import YAMLError

from ser_lib.corpora import Utterance, read_manifest
from ser_lib.evaluation import (
    PREDICTION_FILES,
    collect,
    read_predictions,
    result_rows,
    task_rows,
)
from ser_lib.folds import written_digests
from ser_lib.publish.runs import Run, foreign_objects
from ser_lib.utils.checksums import CHECKSUMS_FILE, read_checksums, sha256
from ser_lib.utils.text_tables import read_csv

# The files have two and four decimals; the last one may be rounded the other way.
_TOLERANCES = {"results.csv": 0.0051, "task_scores.csv": 0.000051}


def faults_of(pack: str | Path) -> tuple[list[Run], list[str]]:
    """Check a pack.

    Returns
    -------
    list[Run]
        The runs in the pack.
    list[str]
        A line for each fault; empty if the pack is as it was written.

    Raises
    ------
    FileNotFoundError, ValueError
        If it is not a pack, see :func:`ser_lib.utils.checksums.read_checksums`.
    """
    pack = Path(pack)
    sums = read_checksums(pack)
    faults = list(_file_faults(pack, sums))
    if any(" is a link" in fault for fault in faults):
        return [], faults  # reading on would follow it
    names = sorted(
        name.removesuffix("/folds.json") for name in sums if _is_folds_file(name)
    )
    if not names:
        faults.append("The pack has no run: <experiment>/seed_<n>/folds.json.")
    runs = [Run(pack / name) for name in names]
    for run in runs:
        try:
            faults += [f"{run_name(pack, run)}: {fault}" for fault in _run_faults(run)]
        except (ValueError, OSError, KeyError, TypeError, YAMLError) as error:
            faults.append(f"{run_name(pack, run)} cannot be read: {error}")
    return runs, faults


def run_name(pack: str | Path, run: Run) -> str:
    """Return the folder of a run in its pack, with forward slashes."""
    return run.folder.relative_to(pack).as_posix()


def _is_folds_file(name: str) -> bool:
    parts = name.split("/")
    return len(parts) == 3 and parts[2] == "folds.json"


def _file_faults(pack: Path, sums: dict[str, str]) -> Iterator[str]:
    """Compare the files below a folder with the list."""
    paths = {
        (Path(root) / name).relative_to(pack).as_posix(): Path(root) / name
        for root, folders, files in os.walk(pack)  # does not follow links
        for name in sorted([*folders, *files])
    }
    del paths[CHECKSUMS_FILE]
    for name, path in paths.items():
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            yield f"{name} is a link or a special file; a pack has none."
        elif path.is_file() and name not in sums:
            yield f"{name} was added: it is not in {CHECKSUMS_FILE}."
        elif path.is_file() and sha256(path) != sums[name]:
            yield f"{name} was changed: its SHA-256 differs."
    yield from (f"{name} is missing." for name in sums if name not in paths)


def _run_faults(run: Run) -> Iterator[str]:
    yield from (f"settings: {name}" for name in foreign_objects(run.settings))
    labels, info = run.corpus["labels"], run.report
    if info["labels"] != labels:
        yield f"the report has the labels {info['labels']}, corpus.yaml {labels}."
        return
    for fold in written_digests(run.folder):
        yield from _fold_faults(run.folder / f"fold_{fold}", labels)
    results = collect(run.folder, labels, info["settings_key"])
    missing = set(written_digests(run.folder)) - {result.fold for result in results}
    if missing:
        yield f"the folds {sorted(missing)} of folds.json are not finished."
        return
    if run.folder.as_posix().split("/")[-2:] != run.name.split("/"):
        yield f"its folds are of {run.name}."
    keys = ["fold"]
    yield from _score_faults(run.folder, "results.csv", result_rows(results), keys)
    further = task_rows(results)
    if not further.empty or (run.folder / "report" / "task_scores.csv").exists():
        keys = ["task", "score", "fold"]
        yield from _score_faults(run.folder, "task_scores.csv", further, keys)


def _fold_faults(folder: Path, labels: Sequence[str]) -> Iterator[str]:
    """Compare the predictions of a fold with its parts, and its labels."""
    for part in ("train", "valid", "test"):
        utterances = {u.id: u for u in read_manifest(folder / f"{part}.csv")}
        where = f"{folder.name}/{part}.csv"
        if wrong := sorted({u.label for u in utterances.values()} - set(labels)):
            yield f"{where} has the labels {wrong}, which corpus.yaml has not."
        path = folder / PREDICTION_FILES.get(part, "")
        # Folds without validation, and those of older versions, have no such file.
        if part == "test" or path.is_file():
            rows = read_predictions(path, labels)
            yield from _part_faults(f"{folder.name}/{path.name}", rows, utterances)


def _part_faults(
    where: str, rows: pd.DataFrame, utterances: Mapping[str, Utterance]
) -> Iterator[str]:
    """Compare predictions with the utterances of their part, by id."""
    ids = set(rows["id"])
    if untested := sorted(utterances.keys() - ids):
        yield f"{where} lacks {len(untested)} utterances of its part: {untested[0]}."
    if others := sorted(ids - utterances.keys()):
        yield f"{where} has {len(others)} that are not of its part: {others[0]}."
    for row in rows.itertuples():
        own = utterances.get(row.id)
        if own and (own.label, own.speaker) != (row.label, row.speaker):
            yield (
                f"{where}: {row.id} has the label {row.label} of speaker "
                f"{row.speaker}, its part has {own.label} of {own.speaker}."
            )


def _score_faults(
    folder: Path, name: str, computed: pd.DataFrame, keys: Sequence[str]
) -> Iterator[str]:
    """Compare a table of scores with what its predictions give."""
    texts = dict.fromkeys([*keys, "corpus", "experiment", "adapted"], str)
    path = folder / "report" / name
    written = read_csv(path, dtype=texts, keep_default_na=False, na_values=[""])
    columns, rows = list(computed), computed[list(keys)].values.tolist()
    if list(written) != columns or written[list(keys)].values.tolist() != rows:
        yield f"report/{name} has other rows or columns than the predictions give."
        return
    for row, names in enumerate(rows):
        pairs = ((c, written[c].iloc[row], computed[c].iloc[row]) for c in columns)
        differing = [
            f"{column} {found}, recomputed {expected}"
            for column, found, expected in pairs
            if not _is_same(found, expected, _TOLERANCES[name])
        ]
        if differing:
            where = " ".join(map(str, names))
            yield f"report/{name}, row {where}: {'; '.join(differing)}."


def _is_same(found: object, expected: object, tolerance: float) -> bool:
    if isinstance(expected, float):
        both_missing = pd.isna(found) and pd.isna(expected)
        is_number = isinstance(found, float | int)
        return both_missing or (is_number and abs(found - expected) <= tolerance)
    return found == expected
