"""Write a pack: what a run leaves, without anything private.

The files of a pack are::

    README.md            the card, with the front matter of the Hugging Face hub
    CITATION.cff         how to cite it
    checksums.sha256     the SHA-256 of every file
    <experiment>/seed_<n>/
        hyperparams.yaml corpus.yaml folds.json label_encoder.txt environment.json
        fold_<k>/        the parts of the fold, predictions, history, fold.json
        report/          report.md, its tables and pictures

The card and the citation are not part of the id, so they can be completed by hand.
"""

import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ser_lib.corpora import read_manifest, write_manifest
from ser_lib.publish.card import pack_card
from ser_lib.publish.citation import citation
from ser_lib.publish.private import (
    check_private,
    public_fold_info,
    public_settings,
    public_utterances,
)
from ser_lib.publish.runs import (
    SETTINGS_FILE,
    Run,
    find_runs,
    same_names,
)
from ser_lib.settings import Settings
from ser_lib.utils.checksums import CHECKSUMS_FILE, pack_id, write_checksums

ENVIRONMENT_FILE = "environment.json"
_PARTS = ("train.csv", "valid.csv", "test.csv")
_OF_RUN = ("corpus.yaml", "folds.json", "label_encoder.txt")
_OF_FOLD = (
    "predictions.csv",
    "valid_predictions.csv",
    "history.csv",
    "steps.csv",
    "train_log.txt",
)
_OF_REPORT = ("*.md", "*.csv", "*.json", "*.png")
_VERSION = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!+_-]+)")
_PYTHON = re.compile(r"Python version:\n(\d+\.\d+\.\d+)")


def write_pack(
    results: str | Path, out: str | Path, authors: Sequence[str] = ()
) -> str:
    """Pack the finished runs in a folder.

    Arguments
    ---------
    results : str | Path
        See :func:`ser_lib.publish.runs.find_runs`.
    out : str | Path
        The folder to write; it must not exist. It appears when it is complete.
    authors : Sequence[str]
        For the citation.

    Returns
    -------
    str
        The id of the pack.

    Raises
    ------
    FileNotFoundError
        If there is no run.
    ValueError
        If ``out`` exists, a fold is not finished, a file is a link, or a text would
        publish a path of this machine.
    """
    out = Path(out)
    if os.path.lexists(out):
        raise ValueError(f"{out} exists. Give a new folder for the pack, or delete it.")
    runs = find_runs(results)
    for run in runs:
        run.check_finished()
    same_names(runs)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".publish.", dir=out.parent) as folder:
        pack = Path(folder) / "pack"
        packed = [_write_run(run, pack / run.name) for run in runs]
        identity = pack_id(write_checksums(pack))
        card, cff = pack_card(packed, identity), citation(packed, identity, authors)
        (pack / "README.md").write_text(card, encoding="utf-8")
        (pack / "CITATION.cff").write_text(cff, encoding="utf-8")
        check_private(pack, [_own_settings(run) for run in runs])
        (pack / CHECKSUMS_FILE).unlink()  # it must not list itself
        write_checksums(pack)
        pack.rename(out)
    return identity


def _write_run(run: Run, folder: Path) -> Run:
    """Copy the files of a run that can be published."""
    folder.mkdir(parents=True)
    text = public_settings(run.settings)
    (folder / SETTINGS_FILE).write_text(text, encoding="utf-8")
    for name in _OF_RUN:
        _copy(run.folder / name, folder / name)
    for pattern in _OF_REPORT:
        for path in sorted((run.folder / "report").glob(pattern)):
            _copy(path, folder / "report" / path.name)
    for result in run.results:
        _write_fold(run, folder, f"fold_{result.fold}")
    environment = json.dumps(_environment(run.folder), indent=1) + "\n"
    (folder / ENVIRONMENT_FILE).write_text(environment, encoding="utf-8")
    return Run(folder)


def _write_fold(run: Run, folder: Path, name: str) -> None:
    source, target = run.folder / name, folder / name
    target.mkdir()
    for part in _PARTS:
        _check_no_link(source / part)
        rows = read_manifest(source / part)
        rows = public_utterances(rows, _own_settings(run)["data_folder"])
        write_manifest(target / part, rows)
    for file in _OF_FOLD:
        _copy(source / file, target / file)
    info = (source / "fold.json").read_text(encoding="utf-8")
    (target / "fold.json").write_text(public_fold_info(info), encoding="utf-8")


def _own_settings(run: Run) -> Settings:
    """Return settings that may be built: they are of the user's own run."""
    return Settings.from_file(run.folder / SETTINGS_FILE)


def _copy(source: Path, target: Path) -> None:
    """Copy a file that a run may lack."""
    _check_no_link(source)
    if source.is_file():
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, target)


def _check_no_link(path: Path) -> None:
    if path.is_symlink():
        raise ValueError(
            f"{path} is a link. A pack has only files that the run wrote; copy the "
            f"file there, or run the experiment again."
        )


def _environment(folder: Path) -> dict:
    """Return the versions that SpeechBrain recorded when the run was started last."""
    path = folder / "env.log"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    lines = [_VERSION.fullmatch(line) for line in text.splitlines()]
    packages = {match[1]: match[2] for match in lines if match}
    python = _PYTHON.search(text)
    return {
        "python": python[1] if python else None,
        "packages": packages,
        "published_on": f"{platform.system()} {platform.machine()}",
    }
