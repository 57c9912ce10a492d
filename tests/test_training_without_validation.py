"""A fold without a validation part: the last epoch is tested, and a kill is no harm."""

from pathlib import Path

import pandas as pd
import pytest
import soundfile
import torch
from speechbrain import Stage
from speechbrain.utils.run_opts import RunOptions

from ser_lib.corpora import Utterance
from ser_lib.fold_run import FoldRun
from ser_lib.folds import Fold
from ser_lib.settings import Settings
from ser_lib.synthetic.encoders import write_tiny_classifier
from ser_lib.training import AtomicCheckpointer
from ser_lib.training.brain import EmotionBrain
from ser_lib.training.checkpoints import best_checkpoints

HPARAMS = Path(__file__).resolve().parents[1] / "recipes" / "RAVDESS" / "hparams"
LABELS = ["neutral", "happy", "sad", "angry"]
N_EPOCHS = 3


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory) -> Path:
    """Ten short tones, and a classifier that has never seen any."""
    folder = tmp_path_factory.mktemp("data")
    for k in range(10):
        wav = 0.1 * torch.sin(torch.arange(2000 + 50 * k) * 0.02 * (k + 1))
        soundfile.write(folder / f"{k}.wav", wav.numpy(), 16000)
    write_tiny_classifier(folder / "classifier", ["neu", "hap", "ang", "sad"])
    return folder


def fold() -> Fold:
    rows = [
        Utterance(str(k), f"{k}.wav", LABELS[k % 4], "A", (2000 + 50 * k) / 16000)
        for k in range(10)
    ]
    return Fold(1, train=rows[:6], valid=[], test=rows[6:])


def train(data_folder: Path, results: Path):
    given = {
        "data_folder": str(data_folder),
        "hubert_source": str(data_folder / "classifier"),
        "results_folder": str(results),
        "number_of_epochs": N_EPOCHS,
        "lr_upstream": 0.001,
        "lr_downstream": 0.001,
        "num_workers": 0,
        "tensorboard": "no",
    }
    settings = Settings.from_file(HPARAMS / "hubert_superb_er.yaml", given)
    options = RunOptions(noprogressbar=True)
    brain, loaders = FoldRun(settings, fold(), options).train()
    brain.load_average(settings["averaged_checkpoints"])
    predictions = brain.predict(loaders["test"])
    return brain, loaders, predictions


@pytest.fixture(scope="module")
def finished(data_folder, tmp_path_factory):
    return train(data_folder, tmp_path_factory.mktemp("finished"))


def test_the_last_epoch_is_tested_and_every_epoch_and_step_is_logged(finished):
    brain, loaders, predictions = finished
    assert sorted(loaders) == ["test", "train"]
    assert sorted(predictions["id"]) == ["6", "7", "8", "9"]
    assert [c.meta["epoch"] for c in brain.averaged] == [N_EPOCHS]
    folder = Path(brain.hparams.save_folder)
    history = pd.read_csv(folder / "history.csv")
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history[["valid_loss", "valid_accuracy"]].isna().all(axis=None)
    assert history["lr"].tolist() == [0.001] * N_EPOCHS  # constant
    steps = pd.read_csv(folder / "steps.csv")
    assert steps["epoch"].tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3]  # batches of two
    assert steps["utterances"].unique().tolist() == [2]
    means = steps.groupby("epoch")["loss"].mean()
    assert means.tolist() == pytest.approx(history["train_loss"].tolist(), rel=1e-4)


def test_a_killed_run_ends_where_the_uninterrupted_one_ends(
    finished, data_folder, tmp_path, monkeypatch
):
    start = EmotionBrain.on_stage_start

    def die_in_the_second_epoch(brain, stage, epoch=None):
        if stage == Stage.TRAIN and epoch == 2:
            raise KeyboardInterrupt
        start(brain, stage, epoch)

    monkeypatch.setattr(EmotionBrain, "on_stage_start", die_in_the_second_epoch)
    with pytest.raises(KeyboardInterrupt):
        train(data_folder, tmp_path)
    monkeypatch.undo()
    brain, _, predictions = train(data_folder, tmp_path)
    whole_brain, _, expected = finished
    pd.testing.assert_frame_equal(predictions, expected)
    for name in ("history.csv", "steps.csv"):
        paths = (Path(b.hparams.save_folder) / name for b in (brain, whole_brain))
        found, uninterrupted = (path.read_text() for path in paths)
        assert found == uninterrupted


def test_without_validation_the_last_checkpoints_are_the_best(tmp_path):
    checkpointer = AtomicCheckpointer(tmp_path, {"layer": torch.nn.Linear(1, 1)})
    for epoch in (1, 3, 2):
        meta = {"valid_accuracy": None, "epoch": epoch}
        checkpointer.save_checkpoint(name=f"epoch{epoch:03d}", meta=meta)
    best = best_checkpoints(checkpointer, 2)
    assert [c.meta["epoch"] for c in best] == [3, 2]
