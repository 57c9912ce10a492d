"""A run on a table of one's own, as recipes/Custom/README.md trains it, exported."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ser_lib.export.__main__ import main
from ser_lib.inference import EmotionRecognizer
from ser_lib.model_folder.description import read_model_info
from ser_lib.synthetic.corpora import write_table

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
LABELS = ["angry", "happy", "sad"]
SMALL = {
    "n_mels": "20",
    "number_of_epochs": "1",
    "ecapa_channels": "[8,8,8,8,24]",
    "ecapa_attention_channels": "4",
    "embedding_size": "6",
    "stem_channels": "2",
    "crop_s": "0.5",
    "num_workers": "0",
    "tensorboard": "no",
    "folds": "1,2",
}


def train(table: Path, results: Path, **options: str) -> subprocess.CompletedProcess:
    options = {"csv": str(table), "results_folder": str(results), **SMALL, **options}
    given = [f"--{key}={value}" for key, value in options.items()]
    return subprocess.run(
        [sys.executable, "train.py", "hparams/fbank_ecapa.yaml", *given]
        + ["--noprogressbar", "--device=cpu"],
        cwd=ROOT / "recipes" / "Custom",
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A folder with a table and the results of two folds on it, with an odd name."""
    folder = tmp_path_factory.mktemp("my töne")
    table = write_table(folder, utterances=2)  # of 4 speakers, so there are 4 folds
    train(table, folder / "results")
    return folder


def run_folder(folder: Path) -> Path:
    return folder / "results" / "fbank_ecapa" / "seed_1986"


def test_a_run_without_given_labels_is_exported_and_classifies(data, capsys, tmp_path):
    main([str(run_folder(data)), str(tmp_path / "my model")])
    assert "my model/README.md" in capsys.readouterr().out
    info = read_model_info(tmp_path / "my model")
    assert info["labels"] == LABELS
    assert info["trained_on"]["name"] == "table.csv"
    recognizer = EmotionRecognizer.from_hparams(tmp_path / "my model")
    recording = next(path for path in sorted(data.rglob("*.wav")))
    out_prob, _, index, label = recognizer.classify_file(recording)
    assert out_prob.sum().item() == pytest.approx(1, abs=1e-5)
    assert label == [LABELS[index]]


def test_it_needs_neither_the_table_nor_the_place_of_the_run(data, tmp_path):
    moved = shutil.copytree(data / "results", tmp_path / "moved" / "results")
    folder = run_folder(moved.parent)
    for path in moved.rglob("*"):
        if path.name in ("hyperparams.yaml", "fold.json"):
            path.write_text(path.read_text().replace(str(data), "/nowhere/at all"))
    main([str(folder), str(tmp_path / "model"), "--fold", "2"])
    assert read_model_info(tmp_path / "model")["labels"] == LABELS


def test_folds_of_other_data_are_left_out_of_an_ensemble_and_named(
    data, tmp_path, caplog
):
    copy = shutil.copytree(data, tmp_path / "copy")
    table = copy / "table.csv"
    table.write_text(table.read_text().replace(",angry,", ",sad,", 1))
    train(table, copy / "results", folds="1")
    main([str(run_folder(copy)), str(tmp_path / "model"), "--ensemble"])
    assert list(read_model_info(tmp_path / "model")["members"]) == ["fold_1"]
    named = [record.getMessage() for record in caplog.records]
    assert any("fold_2 is not in the ensemble: run with other" in x for x in named)
    with pytest.raises(FileNotFoundError, match="Fold 2 .*run with other data"):
        main([str(run_folder(copy)), str(tmp_path / "other"), "--fold", "2"])
