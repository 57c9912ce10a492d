"""Adapters in a run of two stages: small checkpoints, and a plain exported model."""

import json

import pandas as pd
import pytest
import torch
from miniature_run import miniature_options, predictions_of, train

from ser_lib.export import export_run
from ser_lib.inference import EmotionRecognizer

pytestmark = pytest.mark.slow


def test_a_run_with_adapters_exports_the_model_that_was_tested(tmp_path):
    options = miniature_options(tmp_path)[:-1]
    overrides = {"number_of_epochs": 2, "lr_upstream": 0.01, "lora": {"r": 2}}
    block = json.dumps({"upstream": {"overrides": overrides}})
    results = tmp_path / "results"
    done = train(*options, f"--finetuned={block}", f"--results_folder={results}")
    assert done.returncode == 0, done.stderr
    (stage,) = (results / "work" / "trained").glob("hubert_finetune-*")
    newest = max((stage / "save").glob("CKPT*"))
    adapters = (newest / "upstreams.ckpt").stat().st_size
    assert adapters < (tmp_path / "hubert" / "model.safetensors").stat().st_size / 4

    tested = pd.read_csv(predictions_of(results))
    folder = export_run(predictions_of(results).parents[1], tmp_path / "model")
    recognizer = EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})
    manifest = pd.read_csv(predictions_of(results).with_name("test.csv"))
    paths = manifest.set_index("id")["path"]
    for _, row in tested.head(4).iterrows():
        path = tmp_path / "IEMOCAP" / paths[row["id"]]
        probabilities, *_ = recognizer.classify_file(str(path))
        columns = [f"p_{label}" for label in recognizer.labels]
        tested_logits = torch.tensor(row[columns].to_list()).log()
        expected = (tested_logits / recognizer.temperatures).softmax(-1)
        assert probabilities[0].tolist() == pytest.approx(expected.tolist(), abs=1e-4)
