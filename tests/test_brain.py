"""The Brain: schedule, seeds, crops, and one optimiser for each learning rate."""

import pytest
import torch
from torch import nn

from ser_lib.augment import random_crop
from ser_lib.brain import EmotionBrain, stage_seed, warmup_cosine
from ser_lib.checkpoints import AtomicCheckpointer
from ser_lib.history import History


def test_the_rate_rises_linearly_and_falls_with_a_cosine():
    assert warmup_cosine(0.0, 0.1) == pytest.approx(0.05)
    assert warmup_cosine(0.05, 0.1) == pytest.approx(0.525)
    assert warmup_cosine(0.1, 0.1) == pytest.approx(1.0)
    assert warmup_cosine(0.55, 0.1) == pytest.approx(0.5)
    assert warmup_cosine(1.0, 0.1) == pytest.approx(0.0)


def test_a_final_fraction_of_one_keeps_the_rate():
    assert warmup_cosine(0.9, 0.0, final=1.0) == pytest.approx(1.0)


def test_seeds_of_folds_and_epochs_differ():
    seeds = {stage_seed(1, f, e) for f in range(1, 7) for e in range(50)}
    assert len(seeds) == 300


def test_crops_lie_within_their_utterance():
    wavs = torch.zeros(64, 100)
    wavs[:, :60] = torch.arange(1.0, 61.0)
    crops, lens = random_crop(wavs, torch.full((64,), 0.6), 20)
    assert crops.shape == (64, 20)
    assert torch.equal(lens, torch.ones(64))
    assert (crops > 0).all()
    assert (crops.diff(dim=1) == 1).all()
    starts = crops[:, 0]
    assert starts.min() < 10 and starts.max() > 31  # of 1 to 41


def test_an_utterance_shorter_than_the_crop_is_kept_whole():
    wavs = torch.tensor([[1.0, 2, 3, 4], [5, 6, 0, 0]])
    crops, lens = random_crop(wavs, torch.tensor([1.0, 0.5]), 3)
    assert crops[1].tolist() == [5.0, 6.0, 0.0]
    assert lens.tolist() == pytest.approx([1.0, 2 / 3])


def test_a_history_goes_on_from_what_a_checkpoint_held(tmp_path):
    history = History(tmp_path / "history.csv")
    history.append(epoch=1, valid_accuracy=0.5)
    history._save(tmp_path / "saved")
    history.append(epoch=2, valid_accuracy=0.6)
    resumed = History(tmp_path / "history.csv")
    resumed._load(tmp_path / "saved", end_of_epoch=True)
    resumed.append(epoch=2, valid_accuracy=0.7)
    resumed.write()
    assert (tmp_path / "history.csv").read_text() == (
        "epoch,valid_accuracy\n1,0.5\n2,0.7\n"
    )


def test_tensorboard_that_is_asked_for_but_missing_says_what_to_install(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install tensorboard"):
        History(tmp_path / "history.csv", tensorboard="yes")
    History(tmp_path / "history.csv", tensorboard="auto")


def test_a_misspelt_tensorboard_setting_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected auto, yes or no"):
        History(tmp_path / "history.csv", tensorboard="on")


def test_upstream_and_downstream_have_rates_of_their_own_and_are_clipped_apart(
    tmp_path,
):
    # SpeechBrain clips the first parameter group of each optimiser only.
    modules = {"upstreams": nn.Linear(4, 4), "downstream": nn.Linear(4, 2)}
    brain = EmotionBrain(
        modules,
        hparams={
            "lr_upstream": 0.001,
            "lr_downstream": 0.1,
            "optimizer": torch.optim.SGD,
        },
        run_opts={"device": "cpu", "max_grad_norm": 1.0},
        checkpointer=AtomicCheckpointer(tmp_path, modules),
    )
    brain.init_optimizers()
    before = {n: [p.clone() for p in m.parameters()] for n, m in modules.items()}
    for module in modules.values():
        for parameter in module.parameters():
            parameter.grad = torch.full_like(parameter, 1000.0)
    brain.optimizers_step()
    for name, rate in (("upstreams", 0.001), ("downstream", 0.1)):
        steps = [
            (old - new).flatten()
            for old, new in zip(before[name], modules[name].parameters(), strict=True)
        ]
        # A clipped gradient has norm 1, so the step has the length of the rate.
        assert torch.cat(steps).norm().item() == pytest.approx(rate, rel=1e-3)
