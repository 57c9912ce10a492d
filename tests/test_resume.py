"""Resuming: a run that is killed ends as if it had not been."""

import signal

import pytest
from miniature_run import (
    miniature_options,
    miniature_table_options,
    predictions_of,
    train,
)

pytestmark = pytest.mark.slow


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_predictions(
    tmp_path,
):
    # Each start dies at a later write or deletion: during checkpoints of both
    # stages, while frames are stored, while results are written.
    options = miniature_options(tmp_path / "data")
    uninterrupted, interrupted = tmp_path / "uninterrupted", tmp_path / "interrupted"
    done = train(*options, f"--results_folder={uninterrupted}")
    assert done.returncode == 0, done.stdout + done.stderr
    deaths = 0
    for kill_at in (20, 30, 27, 31):
        done = train(*options, f"--results_folder={interrupted}", kill_at=kill_at)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
        deaths += 1
    assert deaths >= 3
    done = train(*options, f"--results_folder={interrupted}")
    assert done.returncode == 0, done.stdout + done.stderr
    ours = predictions_of(interrupted).read_text()
    assert ours == predictions_of(uninterrupted).read_text()
    histories = [
        r.glob("work/trained/*/history.csv") for r in (interrupted, uninterrupted)
    ]
    ours, theirs = ([p.read_text() for p in sorted(paths)] for paths in histories)
    assert ours == theirs
    for name in ("work/trained/*/train_log.txt", "quickstart/*/*/train_log.txt"):
        ours, theirs = (
            [path.read_text() for path in sorted(results.glob(name))]
            for results in (interrupted, uninterrupted)
        )
        assert ours == theirs
        assert ours


def test_a_table_that_is_killed_again_and_again_ends_as_the_same_table(tmp_path):
    options = miniature_table_options(tmp_path / "data")
    uninterrupted, interrupted = tmp_path / "uninterrupted", tmp_path / "interrupted"
    table = {"script": "table1.py"}
    done = train(*options, f"--results_folder={uninterrupted}", **table)
    assert done.returncode == 0, done.stdout + done.stderr
    for kill_at in (25, 40):  # in stage A; in the second row or at the table
        again = f"--results_folder={interrupted}"
        done = train(*options, again, **table, kill_at=kill_at)
        assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    done = train(*options, f"--results_folder={interrupted}", **table)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("table1.csv", "table1.md", "claims.csv"):
        ours, theirs = (r / "table1" / name for r in (interrupted, uninterrupted))
        assert ours.read_text() == theirs.read_text()
    assert "1 of 5 folds" in (interrupted / "table1" / "table1.md").read_text()
