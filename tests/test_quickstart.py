"""The quickstart's options, with a Python that only notes what it is called with.

``test_experiment.py`` runs the commands themselves.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def quickstart(tmp_path):
    """A copy in a folder with a space; returns the calls of Python, or the process."""
    copy = tmp_path / "a copy"
    for name in ("recipes/environment.sh", "recipes/quickstart.sh"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    for name in ("pyproject.toml", "requirements.txt"):
        shutil.copy(ROOT / name, copy / name)
    for corpus in ("RAVDESS", "IEMOCAP"):
        (copy / "recipes" / corpus).mkdir()
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/bash\nprintf "%q " "$@" >> "$CALLS"; echo >> "$CALLS"\n')
    python.chmod(0o755)
    calls = tmp_path / "calls"
    env = {
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "VIRTUAL_ENV": str(tmp_path),
        "CALLS": str(calls),
    }

    def run(*options: str) -> tuple[subprocess.CompletedProcess, list[str]]:
        done = subprocess.run(
            ["bash", "a copy/recipes/quickstart.sh", *options],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
        )
        lines = calls.read_text().splitlines() if calls.is_file() else []
        return done, [line for line in lines if not line.startswith(("-c", "-m pip"))]

    return run


def test_the_real_quickstart_uses_folders_given_from_anywhere(quickstart, tmp_path):
    (tmp_path / "my data").mkdir()
    (tmp_path / "tiny").mkdir()
    options = ["--data_folder", "my data", "--whisper_source=tiny", "--seed", "2"]
    done, (train, predict) = quickstart("--real", *options)
    assert done.returncode == 0, done.stderr
    assert train.startswith("train.py hparams/whisper_frozen.yaml --folds 1 ")
    data = f"{tmp_path}/my\\ data"
    assert f"--data_folder {data} --whisper_source {tmp_path}/tiny " in train
    assert train.endswith("--export_to results/quickstart/model --seed 2 ")
    assert predict.startswith(f"-m ser_lib.predict results/quickstart/model {data}/")


def test_without_folders_the_real_quickstart_downloads(quickstart, tmp_path):
    _, (train, _) = quickstart("--real")
    folder = f"{tmp_path}/a\\ copy/recipes/RAVDESS/results/quickstart/RAVDESS"
    assert f"--data_folder {folder} --whisper_source openai/whisper-tiny.en " in train


def test_the_default_stays_offline_and_passes_options_on(quickstart):
    _, (corpus, train) = quickstart("--seed", "2")
    assert corpus.startswith("-m ser_lib.synthetic.iemocap ")
    assert train.startswith("train.py hparams/quickstart.yaml --data_folder results/")
    assert train.endswith(" --seed 2 ")


def test_the_table_comes_last(quickstart):
    _, calls = quickstart("--table1", "--seed", "2")
    assert calls[-1].startswith("table1.py --changes miniature.yaml ")
    written = [call.split()[2:4] for call in calls if "ser_lib.synthetic.enc" in call]
    folder = "results/quickstart"
    kinds = {"wav2vec2": "w2v2", "whisper": "whisper", "bert": "bert"}
    assert written == [[k, f"{folder}/{name}_tiny"] for k, name in kinds.items()]
    for name in ("w2v2", "bert", "whisper"):
        assert f" --{name}_source {folder}/{name}_tiny " in calls[-1]
    assert calls[-1].endswith(" --seed 2 ")


def test_a_data_folder_without_real_is_refused(quickstart):
    done, calls = quickstart("--data_folder", "mine")
    assert done.returncode == 2 and not calls
    assert done.stderr.startswith("--data_folder is for --real")


def test_the_page_is_that_of_the_model_in_the_tree(quickstart, tmp_path):
    done, (page,) = quickstart("--page", "--port", "0")
    assert done.returncode == 0, done.stderr
    model = f"{tmp_path}/a\\ copy/pretrained/ser_whisper_tiny"
    assert page == f"-m ser_lib.demo {model} --port 0 "
