"""Several processes on one experiment: shares of the batches, files written once."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from miniature_run import LABELS, RECIPE, miniature_options, predictions_of

from ser_lib.dataio import FrameStore, LengthBucketSampler
from ser_lib.evaluation import read_predictions
from ser_lib.utils.distributed import gather_lists, locked

pytestmark = pytest.mark.slow

DURATIONS_S = np.random.default_rng(0).uniform(1, 10, 101)
TASKS = (
    "{emotion: {kind: distribution}, gender: {kind: classes}, "
    "arousal: {kind: value, range: [1, 5]}}"
)


def shares(n_shares: int, shuffle: bool) -> list[list[list[int]]]:
    return [
        list(LengthBucketSampler(DURATIONS_S, 8, shuffle=shuffle, share=(i, n_shares)))
        for i in range(n_shares)
    ]


@pytest.mark.parametrize("n_shares", [1, 2, 3, 5])
def test_in_evaluation_every_utterance_is_in_the_share_of_one_process(n_shares):
    batches = [batch for share in shares(n_shares, shuffle=False) for batch in share]
    assert sorted(i for batch in batches for i in batch) == list(range(101))


@pytest.mark.parametrize("n_shares", [2, 3, 5])
def test_in_training_all_shares_have_the_same_number_of_batches(n_shares):
    split = shares(n_shares, shuffle=True)
    assert len({len(share) for share in split}) == 1
    utterances = {i for share in split for batch in share for i in batch}
    assert utterances == set(range(101))


def test_a_single_process_gathers_its_own_and_waits_for_nobody(tmp_path):
    with locked(tmp_path / "work"):
        assert gather_lists(["a"]) == ["a"]


def test_a_folder_that_another_run_has_locked_is_waited_for_with_a_message(tmp_path):
    """The other run is a process, since one process may lock twice."""
    holder = (
        "import sys, time; from filelock import FileLock\n"
        "with FileLock(sys.argv[1]): print('locked', flush=True); time.sleep(3)"
    )
    waiter = (
        "import sys; from pathlib import Path\n"
        "from ser_lib.utils.distributed import locked\n"
        "with locked(Path(sys.argv[1])): print('mine')"
    )
    environment = {**os.environ, "PYTHONPATH": str(RECIPE.parents[1])}
    start = {"env": environment, "text": True, "stdout": subprocess.PIPE}
    command = [sys.executable, "-c", waiter, str(tmp_path)]
    held = [sys.executable, "-c", holder, str(tmp_path / "lock")]
    with subprocess.Popen(held, **start) as other:
        assert other.stdout.readline() == "locked\n"
        # Importing takes seconds: the lock must still be held when it is tried.
        other.send_signal(19)  # SIGSTOP
        with subprocess.Popen(command, stderr=subprocess.PIPE, **start) as second:
            message = second.stderr.readline()
            while message and "waiting for it" not in message:
                message = second.stderr.readline()
            assert "Another run is working" in message
            other.send_signal(18)  # SIGCONT
            assert second.stdout.read() == "mine\n"


@pytest.mark.parametrize("tasks", ["{}", TASKS], ids=["emotion", "several tasks"])
def test_two_processes_train_both_stages_and_write_each_file_once(tmp_path, tasks):
    options = [*miniature_options(tmp_path), f"--tasks={tasks}"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node=2", "train.py", *map(str, options)]
    command += [f"--results_folder={tmp_path / 'results'}"]
    done = subprocess.run(
        command,  # without a GPU, it chooses gloo
        cwd=RECIPE,
        env={"PYTHONPATH": str(RECIPE.parents[1]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("The report is in") == 1
    predicted = predictions_of(tmp_path / "results")
    predictions = read_predictions(predicted, LABELS)
    test = pd.read_csv(predicted.with_name("test.csv")).sort_values("id")
    assert predictions["id"].tolist() == test["id"].tolist()
    if tasks == TASKS:
        assert predictions["gender"].tolist() == test["gender"].tolist()
        assert predictions["arousal_prediction"].between(1, 5).all()
    assert len(pd.read_csv(predicted.with_name("history.csv"))) == 2
    (frames,) = (tmp_path / "results" / "work" / "frames").iterdir()
    assert {p.name for p in frames.iterdir()} == {"frames.f16", "index.json", "lock"}
    assert len(FrameStore(frames)) == 80
