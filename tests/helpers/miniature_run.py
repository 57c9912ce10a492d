"""Run the scripts of IEMOCAP on a miniature corpus."""

import json
import subprocess
import sys
from pathlib import Path

from ser_lib.synthetic.encoders import write_tiny_hubert
from ser_lib.synthetic.iemocap import miniature_counts, write_miniature_iemocap

HERE = Path(__file__).resolve().parent
RECIPE = HERE.parents[1] / "recipes" / "IEMOCAP"
LABELS = ["neu", "hap", "ang", "sad"]


def miniature_options(folder: Path) -> list[str]:
    """Return options of a small quickstart: 80 utterances, two epochs per stage."""
    overrides = {"number_of_epochs": 2, "freeze_feature_extractor": False}
    return [
        "hparams/quickstart.yaml",
        *_data_options(folder),
        f"--finetuned={json.dumps({'upstream': {'overrides': overrides}})}",
    ]


def miniature_table_options(folder: Path) -> list[str]:
    """Return options for two small rows of Table 1, one of them fine-tuned."""
    data = _data_options(folder)
    changes = folder / "changes.yaml"
    whole = "{freeze_feature_extractor: False, max_batch_s: 1000}"
    changes.write_text(f"hubert_finetune: {whole}\nfbank_ecapa: {{crop_s: null}}\n")
    return [
        *data,
        f"--changes={changes}",
        "--only=hubert_mean,fbank_ecapa",
        "--num_workers=0",
        "--ecapa_attention_channels=16",
    ]


def _data_options(folder: Path) -> list[str]:
    write_miniature_iemocap(folder / "IEMOCAP", 4)
    write_tiny_hubert(folder / "hubert")
    return [
        f"--data_folder={folder / 'IEMOCAP'}",
        f"--hubert_source={folder / 'hubert'}",
        f"--corpus={json.dumps({'counts': miniature_counts(4), 'part_digests': None})}",
        "--number_of_epochs=2",
        "--ecapa_channels=[16,16,16,16,48]",
        "--folds=1",
        "--noprogressbar",
    ]


def train(
    *arguments: str, script: str = "train.py", kill_at: int | None = None
) -> subprocess.CompletedProcess:
    command = [sys.executable]
    if kill_at is not None:
        command += [str(HERE / "killed_train.py"), str(kill_at)]
    return subprocess.run(
        [*command, script, *map(str, arguments)],
        cwd=RECIPE,
        env={"PYTHONPATH": str(RECIPE.parents[1]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def predictions_of(results: Path) -> Path:
    return results / "quickstart" / "seed_1986" / "fold_1" / "predictions.csv"
