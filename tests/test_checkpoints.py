"""Checkpoints: whole or absent, the right ones kept, averaged exactly."""

import errno
from pathlib import Path

import pytest
import torch
from torch import nn

from ser_lib.training import AtomicCheckpointer, keep_best_and_newest, load_average
from ser_lib.training.checkpoints import average_states, best_checkpoints


def saved_epochs(folder: Path, accuracies: list[float]) -> AtomicCheckpointer:
    """Epoch n has the accuracy given and a weight of n."""
    layer = nn.Linear(1, 1, bias=False)
    checkpointer = AtomicCheckpointer(folder, {"layer": layer})
    for epoch, accuracy in enumerate(accuracies, start=1):
        nn.init.constant_(layer.weight, epoch)
        checkpointer.save_checkpoint(
            name=f"epoch{epoch:03d}", meta={"valid_accuracy": accuracy, "epoch": epoch}
        )
    return checkpointer


def epochs(found: list) -> list[int]:
    return [checkpoint.meta["epoch"] for checkpoint in found]


def test_the_best_come_first_and_of_equals_the_latest(tmp_path):
    checkpointer = saved_epochs(tmp_path, [0.5, 0.7, 0.6, 0.7, 0.1])
    assert epochs(best_checkpoints(checkpointer, 3)) == [4, 2, 3]


def test_the_best_and_the_newest_are_kept(tmp_path):
    checkpointer = saved_epochs(tmp_path, [0.5, 0.7, 0.6, 0.7, 0.1])
    keep_best_and_newest(checkpointer, 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "CKPT+epoch002",
        "CKPT+epoch004",
        "CKPT+epoch005",
    ]


def test_loading_the_average_of_the_two_best_gives_their_mean(tmp_path):
    checkpointer = saved_epochs(tmp_path, [0.5, 0.7, 0.6, 0.9])
    layer = nn.Linear(1, 1, bias=False)
    averaged = load_average(checkpointer, {"layer": layer}, k=2)
    assert epochs(averaged) == [4, 2]
    assert layer.weight.item() == 3.0  # (4 + 2) / 2


def test_one_checkpoint_is_the_best_itself(tmp_path):
    checkpointer = saved_epochs(tmp_path, [0.5, 0.7, 0.6])
    layer = nn.Linear(1, 1, bias=False)
    load_average(checkpointer, {"layer": layer}, k=1)
    assert layer.weight.item() == 2.0


def test_an_averaged_batch_norm_keeps_its_counter_whole():
    states = [nn.BatchNorm1d(1).state_dict() for _ in range(2)]
    states[0]["num_batches_tracked"] += 3
    states[1]["running_mean"] += 1.0
    mean = average_states(states)
    assert mean["num_batches_tracked"].item() == 3
    assert mean["num_batches_tracked"].dtype == torch.int64
    assert mean["running_mean"].item() == 0.5


def test_averaging_half_precision_does_not_overflow():
    states = [{"w": torch.tensor(60000.0, dtype=torch.float16)} for _ in range(5)]
    assert average_states(states)["w"].item() == 60000.0


def test_averaging_leaves_the_states_as_they_were():
    states = [{"w": torch.tensor(1.0)}, {"w": torch.tensor(2.0)}]
    average_states(states)
    assert states[0]["w"].item() == 1.0


def test_a_save_that_fails_leaves_the_earlier_checkpoints_and_says_the_disk_is_full(
    tmp_path, monkeypatch
):
    checkpointer = saved_epochs(tmp_path, [0.5])

    def full_disk(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space for a checkpoint.*same command"):
        checkpointer.save_checkpoint(name="epoch002", meta={"epoch": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["CKPT+epoch001"]
    assert epochs(checkpointer.list_checkpoints()) == [1]


@pytest.mark.parametrize(
    "message",
    [
        "[enforce fail at inline_container.cc:672] . unexpected pos 270592 vs 270484",
        "[enforce fail at inline_container.cc] . PytorchStreamWriter failed writing "
        "file data/0: file write failed",
        "basic_ios::clear: iostream error",
    ],
)
def test_a_full_disk_that_torch_reports_as_a_runtime_error_is_recognised(
    tmp_path, monkeypatch, message
):
    checkpointer = saved_epochs(tmp_path, [0.5])

    def full_disk(*args, **kwargs):
        raise RuntimeError(message)

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space for a checkpoint"):
        checkpointer.save_checkpoint(name="epoch002", meta={"epoch": 2})


def test_another_error_of_saving_stays_what_it_is(tmp_path, monkeypatch):
    checkpointer = saved_epochs(tmp_path, [0.5])

    def wrong(*args, **kwargs):
        raise RuntimeError("cannot pickle")

    monkeypatch.setattr(torch, "save", wrong)
    with pytest.raises(RuntimeError, match="cannot pickle") as raised:
        checkpointer.save_checkpoint(name="epoch002", meta={"epoch": 2})
    assert raised.value.__cause__ is None


def test_what_a_killed_save_or_delete_leaves_behind_is_not_taken_for_a_checkpoint(
    tmp_path,
):
    checkpointer = saved_epochs(tmp_path, [0.5])
    (tmp_path / "unfinished" / "CKPT+epoch002").mkdir(parents=True)
    (tmp_path / "unfinished" / "CKPT+epoch002" / "CKPT.yaml").write_text("epoch: 2")
    (tmp_path / "CKPT+epoch001").rename(tmp_path / "deleted.CKPT+epoch000")
    assert checkpointer.list_checkpoints() == []


def test_saving_an_epoch_again_replaces_it(tmp_path):
    checkpointer = saved_epochs(tmp_path, [0.5])
    checkpointer.save_checkpoint(
        name="epoch001", meta={"valid_accuracy": 0.9, "epoch": 1}
    )
    assert [c.meta["valid_accuracy"] for c in checkpointer.list_checkpoints()] == [0.9]


def test_epochs_before_the_ranking_starts_come_after_all_candidates(tmp_path):
    checkpointer = AtomicCheckpointer(tmp_path, {"layer": torch.nn.Linear(1, 1)})
    for epoch, accuracy in enumerate([0.9, 0.8, 0.5, 0.6], start=1):
        meta = {"valid_accuracy": accuracy, "epoch": epoch, "is_ranked": epoch > 2}
        checkpointer.save_checkpoint(name=f"epoch{epoch:03d}", meta=meta)
    best = [c.meta["epoch"] for c in best_checkpoints(checkpointer, 3)]
    assert best == [4, 3, 1]
