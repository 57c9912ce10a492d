"""The Brain: its history, and one optimiser for each learning rate."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from speechbrain import Stage
from torch import nn

from ser_lib.aggregators import MeanPooling
from ser_lib.branches import Branch
from ser_lib.model import Downstream
from ser_lib.training import AtomicCheckpointer, History
from ser_lib.training.brain import EmotionBrain
from ser_lib.upstreams import FbankUpstream


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
    upstreams = nn.ModuleDict({"any": nn.Linear(4, 4)})
    modules = {"upstreams": upstreams, "downstream": nn.Linear(4, 2)}
    brain = EmotionBrain(
        modules,
        hparams={
            "lr_upstream": 0.001,
            "lr_downstream": 0.1,
            "lr_layer_decay": 1.0,
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


@pytest.mark.parametrize(
    ("argument", "message"),
    [({"no_such": 1}, "argument 'no_such'"), ({"betas": (2, 2)}, "Invalid beta")],
)
def test_arguments_that_the_optimizer_does_not_take_are_told(argument, message):
    optimizer = partial(torch.optim.AdamW, **argument)
    hparams = {
        "lr_upstream": 0.1,
        "lr_downstream": 0.1,
        "lr_layer_decay": 1.0,
        "optimizer": optimizer,
    }
    brain = EmotionBrain({"downstream": nn.Linear(4, 2)}, hparams=hparams)
    with pytest.raises(ValueError, match=f"optimizer in the settings: .*{message}"):
        brain.init_optimizers()


def test_logits_that_are_not_finite_end_validation_and_name_the_utterances():
    upstreams = {"fbank": FbankUpstream(n_mels=4)}
    downstream = Downstream([Branch(upstreams, MeanPooling)], n_labels=2)
    brain = EmotionBrain({"downstream": downstream}, run_opts={"device": "cpu"})
    logits = torch.tensor([[0.5, 0.5], [torch.nan, 0.5]])
    batch = SimpleNamespace(id=["good", "bad"], label=torch.tensor([0, 1]))
    for stage in (Stage.VALID, Stage.TEST):
        with pytest.raises(ValueError, match="for 1 of 2 utterances: bad.*diverged"):
            brain.compute_objectives(logits, batch, stage)
