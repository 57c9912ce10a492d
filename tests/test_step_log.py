"""The log of the training steps, and what the report makes of it."""

import pandas as pd
import pytest
import torch

from ser_lib.evaluation.plots import steps_figure
from ser_lib.evaluation.step_table import epoch_accuracies, read_steps, step_sections
from ser_lib.training import copy_steps
from ser_lib.training.step_log import STEPS_FILE, log_steps


def steps(*losses: float) -> list:
    """Batches of two, of which one is right."""
    return [(torch.tensor(loss), torch.tensor(1), 2) for loss in losses]


def test_an_epoch_that_is_trained_again_replaces_what_was_there_of_it(tmp_path):
    path = tmp_path / STEPS_FILE
    log_steps(path, 1, steps(0.9, 0.8))
    log_steps(path, 2, steps(9.9, 9.8))  # then the run was killed
    log_steps(path, 2, steps(0.7, 0.6))
    table = pd.read_csv(path)
    assert table["epoch"].tolist() == [1, 1, 2, 2]
    assert table["step"].tolist() == [1, 2, 1, 2]
    assert table["loss"].tolist() == pytest.approx([0.9, 0.8, 0.7, 0.6])


def test_a_training_from_the_start_leaves_nothing_of_a_former_one(tmp_path):
    path = tmp_path / STEPS_FILE
    log_steps(path, 1, steps(0.9, 0.8))
    log_steps(path, 2, steps(0.9, 0.8))
    log_steps(path, 1, steps(0.5))
    assert pd.read_csv(path)["loss"].tolist() == [0.5]


def test_the_accuracy_of_an_epoch_counts_utterances_and_not_batches():
    table = pd.DataFrame(
        {"epoch": [1, 1, 2], "correct": [1, 3, 2], "utterances": [1, 4, 2]}
    )
    assert epoch_accuracies(table).to_dict() == {1: 4 / 5, 2: 1.0}


def test_the_accuracy_that_is_returned_is_that_of_the_epoch(tmp_path):
    path = tmp_path / STEPS_FILE
    log_steps(path, 1, [(torch.tensor(0.5), torch.tensor(0), 2)])
    accuracy = log_steps(path, 2, [(torch.tensor(0.5), torch.tensor(3), 4)])
    assert accuracy == pytest.approx(0.75)


def test_a_fold_without_a_log_leaves_none_of_an_earlier_run(tmp_path):
    trained, results = tmp_path / "trained", tmp_path / "fold_1"
    trained.mkdir()
    results.mkdir()
    log_steps(trained / STEPS_FILE, 1, steps(0.5))
    copy_steps(trained, results)
    assert list(read_steps(tmp_path, [1, 2])) == [1]
    (trained / STEPS_FILE).unlink()
    copy_steps(trained, results)
    assert read_steps(tmp_path, [1, 2]) == {}
    assert step_sections({}) == []


def test_the_picture_has_a_point_for_each_step_and_each_epoch():
    table = pd.DataFrame(
        {
            "epoch": [1, 1, 1, 1, 2, 2],
            "step": [1, 1, 2, 2, 1, 2],  # two processes in the first epoch
            "loss": [0.8, 0.6, 0.5, 0.5, 0.4, 0.3],
            "correct": [1, 1, 1, 1, 2, 2],
            "utterances": 2,
        }
    )
    losses, accuracies = steps_figure({1: table}, "title").axes
    (loss,), (accuracy,) = losses.lines, accuracies.lines
    assert loss.get_xdata().tolist() == [1, 2, 3, 4]
    assert loss.get_ydata().tolist() == pytest.approx([0.7, 0.5, 0.4, 0.3])
    assert accuracy.get_ydata().tolist() == [0.5, 1.0]


def test_the_report_tells_the_training_accuracy_of_each_epoch():
    table = pd.DataFrame({"epoch": [1, 2], "correct": [1, 2], "utterances": [2, 2]})
    text = "\n".join(step_sections({3: table}))
    assert "| fold | epoch 1 | epoch 2 |" in text
    assert "| 3 | 50.00 | 100.00 |" in text
    assert "steps.png" in text
