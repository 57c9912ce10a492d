"""Whole runs on a table with a stream of random frames, alone, early and late."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from speechbrain.utils.run_opts import RunOptions

from ser_lib.experiment import prepare, run
from ser_lib.export import export_run, load_trained
from ser_lib.settings import RECIPES, Settings
from ser_lib.synthetic.corpora import write_table
from ser_lib.training import EmotionBrain
from ser_lib.upstreams import frames_file

pytestmark = pytest.mark.slow

FUSED = """\
extends: [{recipes}/hparams/fbank_frozen.yaml, {recipes}/Custom/corpus.yaml]

experiment: {name}
frames_folder: !PLACEHOLDER
face: !new:ser_lib.upstreams.FrameFiles
    folder: !ref <frames_folder>
    size: 3
    hop_s: 0.04
    sample_rate_hz: !ref <sample_rate_hz>
model: !new:ser_lib.model.EmotionModel
    labels: !ref <labels>
    standardise_by: !ref <standardise_by>
    upstreams: {{fbank: !ref <upstream>, face: !ref <face>}}
    branches:
"""
BRANCHES = {
    "late": "        - {upstreams: [fbank], aggregator: !ref <aggregator>}\n"
    "        - {upstreams: [face], aggregator: !ref <aggregator>}\n",
    "early": "        - {upstreams: [fbank, face], aggregator: !ref <aggregator>}\n",
}


class Stand:
    """Recordings of three speakers, and frames every 40 ms for each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.csv = write_table(folder / "my table", speakers=3, utterances=2)
        self.frames = folder / "my frames"
        random = np.random.default_rng(0)
        for path in pd.read_csv(self.csv)["path"]:
            duration_s = soundfile.info(self.csv.parent / path).duration
            frames = random.normal(size=(round(duration_s / 0.04), 3))
            file = frames_file(self.frames, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, frames.astype(np.float32))

    def settings(self, name: str, results: str = "results", **given) -> Settings:
        if name in BRANCHES:
            path = self.folder / f"{name}.yaml"
            path.write_text(FUSED.format(recipes=RECIPES, name=name) + BRANCHES[name])
            files = [path]
        else:
            files = [RECIPES / "hparams" / f"{name}.yaml"]
            files += [RECIPES / "Custom" / "corpus.yaml"]
            given = {"frames_size": 3, "frames_hop_s": 0.04} | given
        return Settings.from_files(
            files,
            {
                "csv": str(self.csv),
                "frames_folder": str(self.frames),
                "results_folder": str(self.folder / results),
                "num_workers": 0,
                "number_of_epochs": 3,
                "tensorboard": "no",
                "folds": 1,
                **given,
            },
        )

    def train(self, settings: Settings) -> pd.DataFrame:
        run(settings, RunOptions(device="cpu", noprogressbar=True))
        return pd.read_csv(Path(settings["output_folder"]) / "fold_1/predictions.csv")


@pytest.fixture(scope="module")
def stand(tmp_path_factory) -> Stand:
    return Stand(tmp_path_factory.mktemp("streams"))


def test_the_stream_alone_needs_no_audio_and_is_standardised_by_the_training_part(
    stand,
):
    settings = stand.settings("prosody_frozen")
    stand.train(settings)
    model, _ = load_trained(settings["output_folder"], 1)
    folder = Path(settings["output_folder"]) / "fold_1"
    train = [
        np.load(frames_file(stand.frames, i)) for i in ids_of(folder / "train.csv")
    ]
    rows = [[*frames.mean(0), *frames.std(0)] for frames in train]
    aggregator = model.downstream.branches[0].aggregator
    np.testing.assert_allclose(aggregator.center, np.mean(rows, axis=0), atol=1e-4)
    np.testing.assert_allclose(aggregator.scale, np.std(rows, axis=0), atol=1e-4)


def ids_of(path: Path) -> list[str]:
    return pd.read_csv(path)["id"].tolist()


@pytest.mark.parametrize("name", ["late", "early"])
def test_the_fused_model_run_as_a_whole_gives_what_was_tested(stand, name):
    settings = stand.settings(name)
    tested = stand.train(settings)
    model, _ = load_trained(settings["output_folder"], 1)
    for _, row in tested.iterrows():
        wav, rate_hz = soundfile.read(stand.csv.parent / row["id"], always_2d=True)
        if rate_hz != 16000:
            continue  # resampled by the reader
        wav = torch.tensor(wav.mean(1)).float()[None]
        with torch.no_grad():
            logits = model(wav, torch.ones(1), ids=[row["id"]])
        expected = row.filter(like="p_").to_numpy(float)
        np.testing.assert_allclose(logits.softmax(-1)[0].numpy(), expected, atol=1e-3)
    with pytest.raises(ValueError, match=r"files of frames \(face\)"):
        export_run(settings["output_folder"], stand.folder / "model")


def test_a_run_that_is_killed_ends_like_one_that_is_not(stand, monkeypatch):
    uninterrupted = stand.train(stand.settings("late", "whole"))
    start_epoch = EmotionBrain.start_epoch

    def killed_in_the_second(self, epoch):
        if epoch == 2:
            raise KeyboardInterrupt
        start_epoch(self, epoch)

    settings = stand.settings("late", "killed")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(EmotionBrain, "start_epoch", killed_in_the_second)
        stand.train(settings)
    pd.testing.assert_frame_equal(stand.train(settings), uninterrupted)


def test_an_utterance_without_frames_is_used_and_does_not_move_the_statistics(
    tmp_path, capsys
):
    stand = Stand(tmp_path)
    settings = stand.settings("late", modality_dropout=0.5)
    prepare(settings)
    folder = Path(settings["output_folder"]) / "fold_1"
    lacking, *others = ids_of(folder / "train.csv")
    frames_file(stand.frames, lacking).unlink()
    with pytest.raises(ValueError, match=re.escape(f"for {lacking}. Write")):
        stand.train(stand.settings("late", prepare_only=True))
    stand.train(settings)
    assert "1 of 18 utterances of table.csv have no frames of face" in (
        capsys.readouterr().out
    )
    model, _ = load_trained(settings["output_folder"], 1)
    means = [np.load(frames_file(stand.frames, i)).mean(0) for i in others]
    center = model.downstream.branches[1].aggregator.center
    np.testing.assert_allclose(center[:3], np.mean(means, axis=0), atol=1e-4)


def test_other_frames_are_trained_on_again(tmp_path):
    stand = Stand(tmp_path)
    settings = stand.settings("prosody_frozen")
    first = stand.train(settings)
    info = Path(settings["output_folder"]) / "fold_1" / "fold.json"
    key = json.loads(info.read_text())["settings_key"]
    for path in stand.frames.rglob("*.npy"):
        np.save(path, 2 + 3 * np.load(path)[::-1] ** 2)
    second = stand.train(stand.settings("prosody_frozen"))
    assert json.loads(info.read_text())["settings_key"] != key
    assert not np.allclose(first.filter(like="p_"), second.filter(like="p_"))
