"""Running IEMOCAP's train.py on a miniature corpus, as the tests of it need."""

import json
import subprocess
import sys
from pathlib import Path

from ser_lib.synthetic import miniature_counts, write_miniature_iemocap
from ser_lib.tiny_models import write_tiny_hubert

HERE = Path(__file__).resolve().parent
RECIPE = HERE.parent / "recipes" / "IEMOCAP"
LABELS = ["neu", "hap", "ang", "sad"]


def miniature_options(folder: Path) -> list[str]:
    """What makes the quickstart small: 80 utterances, two epochs in each stage."""
    write_miniature_iemocap(folder / "IEMOCAP", 4)
    write_tiny_hubert(folder / "hubert")
    overrides = {"number_of_epochs": 2, "freeze_feature_extractor": False}
    return [
        "hparams/quickstart.yaml",
        f"--data_folder={folder / 'IEMOCAP'}",
        f"--hubert_source={folder / 'hubert'}",
        f"--corpus={json.dumps({'counts': miniature_counts(4)})}",
        f"--finetuned={json.dumps({'upstream': {'overrides': overrides}})}",
        "--number_of_epochs=2",
        "--ecapa_channels=[16,16,16,16,48]",
        "--noprogressbar",
    ]


def train(*arguments: str, kill_at: int | None = None) -> subprocess.CompletedProcess:
    script = ["train.py"]
    if kill_at is not None:
        script = [str(HERE / "killed_train.py"), str(kill_at), "train.py"]
    return subprocess.run(
        [sys.executable, *script, *map(str, arguments)],
        cwd=RECIPE,
        env={"PYTHONPATH": str(RECIPE.parents[1]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def predictions_of(results: Path) -> Path:
    return results / "quickstart" / "seed_1986" / "fold_1" / "predictions.csv"
