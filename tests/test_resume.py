"""Resuming: a run that is killed ends as if it had not been."""

import signal

from miniature_run import miniature_options, predictions_of, train


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_predictions(
    tmp_path,
):
    # Each start dies at a later write or deletion: during checkpoints of both
    # stages, while frames are stored, while results are written.
    options = [*miniature_options(tmp_path / "data"), "--folds=1"]
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
