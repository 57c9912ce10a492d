"""What all cases share: a model, the recipes, a corpus and a finished run."""

import csv
import shutil
from itertools import product
from pathlib import Path

import soundfile

from fuzz.audio import RATE_HZ, speech
from fuzz.case import OK, Case, Common
from fuzz.forked import run_all

REPOSITORY = Path(__file__).resolve().parents[2]
SPEAKERS, LABELS = ("A", "B", "C"), ("angry", "sad")


def common_in(root: Path) -> Common:
    """Say where it will be."""
    run = root / "finished" / "results" / "fbank_ecapa" / "seed_1986"
    return Common(root / "model", root / "recipes", root / "corpus" / "table.csv", run)


def make(common: Common, root: Path) -> None:
    """Make it, in a few seconds.

    Arguments
    ---------
    common : Common
        Where it is to be.
    root : Path
        The temporary folder.

    Raises
    ------
    RuntimeError
        If the training fails, since nothing else makes sense then.
    """
    shutil.copytree(REPOSITORY / "pretrained" / "ser_whisper_tiny", common.model)
    shutil.copytree(REPOSITORY / "recipes", common.recipes)
    _write_corpus(common.table)
    results = common.run.parents[1]
    command = common.train(f"--results_folder={results}", "--folds=all")
    case = Case("the run that others are made from", lambda folder: command, {OK})
    (root / "training").mkdir()
    ((_, _, _, outcome),) = run_all([(0, case)], root / "training")
    if outcome.code != OK:
        raise RuntimeError(f"The training of a sound corpus failed: {outcome.stderr}")


def _write_corpus(table: Path) -> None:
    rows = [("path", "label", "speaker")]
    for number, parts in enumerate(product(SPEAKERS, LABELS, (0, 1))):
        speaker, label, k = parts
        path = table.parent / speaker / f"{label}{k}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, speech(seed=number), RATE_HZ)
        rows.append((f"{speaker}/{label}{k}.wav", label, speaker))
    with open(table, "w", newline="", encoding="utf-8") as f:
        csv.writer(f).writerows(rows)
