"""Pre-training by several processes, and in half precision."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from speechbrain.utils.run_opts import RunOptions
from tiny_objectives import TINY, batch, every, loss_of, write_noise

from ser_lib.pretraining import pretrain
from ser_lib.settings import Settings
from ser_lib.upstreams import ApcUpstream

pytestmark = pytest.mark.slow

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "Pretraining"
SMALL = {
    "hidden_size": 8,
    "num_layers": 1,
    "batch_size": 2,
    "number_of_epochs": 1,
    "crop_s": 0.5,
    "num_workers": 0,
    "tensorboard": "no",
}


def test_two_processes_pretrain_one_encoder_and_write_each_file_once(tmp_path):
    data = write_noise(tmp_path / "data")
    options = {**SMALL, "data_folder": data, "results_folder": tmp_path / "results"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node=2", "train.py", "hparams/apc.yaml"]
    command += [f"--{name}={value}" for name, value in options.items()]
    done = subprocess.run(
        [*command, "--device=cpu", "--distributed_backend=gloo", "--noprogressbar"],
        cwd=RECIPE,
        env={
            **os.environ,
            "PYTHONPATH": str(RECIPE.parents[1]),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "results" / "apc" / "seed_1986"
    info = json.loads((folder / "pretraining.json").read_text())
    assert info["processes"] == 2 and info["epochs"] == 1
    (row,) = pd.read_csv(folder / "history.csv").to_dict("records")
    assert 0 < row["train_loss"] < 100 and 0 < row["valid_loss"] < 100
    parts = pd.read_csv(folder / "recordings.csv")["part"].value_counts()
    assert dict(parts) == {"train": 6, "valid": 1}
    for name in ("encoder", "encoder_untrained"):
        assert ApcUpstream(str(folder / name), freeze=True).dim == 8
    assert "2 process(es)" in (folder / "encoder" / "README.md").read_text()


def test_half_precision_trains_and_the_encoder_is_saved_in_float32(tmp_path):
    given = {"data_folder": str(write_noise(tmp_path / "data")), **SMALL}
    given["results_folder"] = str(tmp_path)
    settings = Settings.from_file(RECIPE / "hparams" / "apc.yaml", given)
    options = RunOptions.from_dictionary({"device": "cpu", "precision": "bf16"})
    encoder = pretrain(settings, options)
    info = json.loads((encoder.parent / "pretraining.json").read_text())
    assert info["precision"] == "bf16" and 0 < info["train_loss"][0] < 100
    weights = torch.load(encoder / "apc.ckpt")["model"]
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert all(torch.isfinite(weight).all() for weight in weights.values())


@every
def test_the_loss_in_half_precision_is_near_that_of_float32(method):
    objective = TINY[method]().train()
    with torch.no_grad():
        expected = loss_of(objective, *batch()).item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_of(objective, *batch())
    # Half precision has 8 bits, and processors round differently: 5.5 % with AMX.
    assert loss.item() == pytest.approx(expected, rel=0.1)
    loss.backward()
    gradients = [p.grad for p in objective.parameters() if p.grad is not None]
    assert gradients and all(torch.isfinite(g).all() for g in gradients)
