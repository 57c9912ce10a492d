"""Frames that never change are pooled once, with the result of pooling each time."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from speechbrain.utils.run_opts import RunOptions

from ser_lib.aggregators import MeanPooling, ProjectedMean, StatisticsPooling
from ser_lib.experiment import run
from ser_lib.export import export_run
from ser_lib.inference import EmotionRecognizer
from ser_lib.model import EmotionModel
from ser_lib.settings import RECIPES, Settings
from ser_lib.synthetic.corpora import write_table
from ser_lib.training import EmotionBrain
from ser_lib.upstreams import FbankUpstream, Frames

POOLINGS = [MeanPooling, ProjectedMean, StatisticsPooling]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_embedding_what_was_pooled_is_the_forward_pass(pooling):
    torch.manual_seed(0)
    aggregator = pooling(input_size=3)
    frames = Frames(torch.randn(2, 5, 3), torch.tensor([5, 2]))
    if hasattr(aggregator, "fit"):
        aggregator.fit(torch.randn(9, 6))
    found = aggregator.embed(aggregator.pool(frames))
    assert torch.equal(found, aggregator(frames))


def test_a_model_classifies_pooled_utterances_like_their_frames():
    torch.manual_seed(0)
    upstreams = {"a": FbankUpstream(n_mels=8), "b": FbankUpstream(n_mels=5)}
    branches = [
        {"upstreams": ["a"], "aggregator": MeanPooling},
        {"upstreams": ["a", "b"], "aggregator": StatisticsPooling},
    ]
    model = EmotionModel(["x", "y"], upstreams, branches).eval()
    frames = model.upstreams(torch.randn(3, 8000), torch.tensor([1.0, 0.5, 0.8]))
    pooled = model.downstream.pool(frames)
    assert [tuple(values.shape) for values in pooled] == [(3, 8), (3, 26)]
    assert torch.equal(model.downstream(pooled), model.downstream(frames))


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    return write_table(tmp_path_factory.mktemp("table"), speakers=3, utterances=2)


def _run(table: Path, folder: Path, **given) -> pd.DataFrame:
    """Run the probe on a filter bank; return the predictions of all finished folds."""
    files = [RECIPES / "hparams" / "fbank_frozen.yaml"]
    files += [RECIPES / "Custom" / "corpus.yaml"]
    given |= {"csv": str(table), "results_folder": str(folder), "num_workers": 0}
    given |= {"number_of_epochs": 3, "tensorboard": "no"}
    settings = Settings.from_files(files, given)
    run(settings, RunOptions(device="cpu", noprogressbar=True))
    paths = sorted(Path(settings["output_folder"]).glob("fold_*/predictions.csv"))
    return pd.concat([pd.read_csv(path) for path in paths], ignore_index=True)


@pytest.mark.slow
@pytest.mark.parametrize("standardise_by", [None, "speaker"])
def test_pooling_once_gives_the_predictions_of_pooling_in_each_step(
    table, tmp_path, monkeypatch, standardise_by
):
    given = {"standardise_by": standardise_by}
    once = _run(table, tmp_path / "once", **given)
    monkeypatch.setattr(EmotionBrain, "is_pooled_once", False)
    each = _run(table, tmp_path / "each", **given)
    columns = [name for name in once if name.startswith("p_")]
    assert (once["id"] == each["id"]).all()
    # Batches of other sizes change the last digits.
    pd.testing.assert_frame_equal(once[columns], each[columns], atol=1e-4, rtol=0)


@pytest.mark.slow
def test_the_frozen_upstream_runs_once_for_all_folds(table, tmp_path, monkeypatch):
    n_seen = []
    forward = FbankUpstream.forward

    def counting(self, wavs, wav_lens):
        n_seen.append(len(wavs))
        return forward(self, wavs, wav_lens)

    monkeypatch.setattr(FbankUpstream, "forward", counting)
    _run(table, tmp_path)
    assert sum(n_seen) == 3 * 3 * 2  # speakers, labels, utterances: each once


@pytest.mark.slow
def test_a_mixed_run_exports_the_model_that_was_tested(table, tmp_path):
    given = {"standardise_by": "mixed", "degraded_copies": 1}
    tested = _run(table, tmp_path, **given).set_index("id")
    (run_folder,) = tmp_path.glob("fbank_frozen/seed_*")
    info = json.loads((run_folder / "fold_1" / "fold.json").read_text())
    assert info["adapted"] == "no"
    export_run(run_folder, tmp_path / "model")
    info = json.loads((tmp_path / "model" / "model.json").read_text())
    assert info["network"]["standardise_by"] == "mixed"
    card = (tmp_path / "model" / "README.md").read_text()
    assert "`recognizer.adapt(recordings)`" in card and "Adapt it before" not in card
    recognizer = EmotionRecognizer.from_hparams(
        tmp_path / "model", run_opts={"device": "cpu"}
    )
    paths = pd.read_csv(run_folder / "fold_1" / "test.csv").set_index("id")["path"]
    for name, path in paths.items():
        found, *_ = recognizer.classify_file(table.parent / path)
        logits = torch.tensor(tested.loc[name].filter(like="p_").to_list()).log()
        expected = (logits / recognizer.temperatures).softmax(-1)
        assert found[0].tolist() == pytest.approx(expected.tolist(), abs=1e-4)


@pytest.mark.slow
def test_a_mixed_run_that_is_killed_ends_like_one_that_is_not(
    table, tmp_path, monkeypatch
):
    given = {"standardise_by": "mixed", "degraded_copies": 1, "folds": 1}
    uninterrupted = _run(table, tmp_path / "uninterrupted", **given)
    start_epoch = EmotionBrain.start_epoch

    def killed_in_the_second(self, epoch):
        if epoch == 2:
            raise KeyboardInterrupt
        start_epoch(self, epoch)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(EmotionBrain, "start_epoch", killed_in_the_second)
        _run(table, tmp_path / "killed", **given)
    resumed = _run(table, tmp_path / "killed", **given)
    pd.testing.assert_frame_equal(resumed, uninterrupted)


@pytest.mark.slow
def test_a_fold_on_its_own_has_the_predictions_of_a_whole_run(table, tmp_path):
    whole = _run(table, tmp_path / "whole")
    for fold in (2, 1, 3):  # as if the run had been killed after each
        parts = _run(table, tmp_path / "parts", folds=fold)
    pd.testing.assert_frame_equal(parts, whole)


def test_what_changes_during_training_is_not_pooled():
    model = EmotionModel(
        ["x", "y"],
        {"fbank": FbankUpstream(n_mels=4)},
        [{"upstreams": ["fbank"], "aggregator": MeanPooling}],
    )
    plain = dict.fromkeys(("crop_s", "wav_augment", "frame_augment"))

    def brain(**hparams):
        modules = {"downstream": model.downstream, "upstreams": model.upstreams}
        return EmotionBrain(
            modules, hparams=plain | hparams, run_opts={"device": "cpu"}
        )

    assert brain().is_pooled_once
    assert not brain(crop_s=2.0).is_pooled_once
    assert not brain(frame_augment=print).is_pooled_once
    model.upstreams["weight"] = torch.nn.Linear(1, 1)
    assert brain().changing == ["weight"]
    assert not brain().is_pooled_once
