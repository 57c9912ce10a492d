"""What adaptation is worth on the test speakers of a run: numbers and messages."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from speechbrain.utils.run_opts import RunOptions

from ser_lib.adaptation_curve import pooled_fold as pooled_fold_module
from ser_lib.adaptation_curve.__main__ import main
from ser_lib.adaptation_curve.curve import (
    ALL_CORPORA,
    COLUMNS,
    N_DRAWS,
    classify,
    measure_curve,
    trials,
)
from ser_lib.adaptation_curve.pooled_fold import PooledFold, pooled_folds
from ser_lib.aggregators import AttentivePooling, MeanPooling
from ser_lib.corpora import Utterance, write_manifest
from ser_lib.evaluation import compute_scores
from ser_lib.experiment import run
from ser_lib.export import load_trained
from ser_lib.inference.adaptation import PRIOR_S, adapted
from ser_lib.model import EmotionModel
from ser_lib.settings import RECIPES, Settings
from ser_lib.synthetic.corpora import write_table
from ser_lib.upstreams import FbankUpstream, frame_moments, joined_moments
from ser_lib.utils.command import MISTAKE, run_command

LABELS = ["sad", "angry"]


def _fold(offsets: dict[str, float], n: int = 4, corpora: tuple = ("", "")):
    """Sad recordings have frames at -1, angry ones at 1, and the speaker's offset.

    The model has the mean 0 and the deviation 1, and hears angry above 0.
    """
    branch = {"upstreams": ["fbank"], "aggregator": MeanPooling}
    upstreams = {"fbank": FbankUpstream(n_mels=1)}
    model = EmotionModel(LABELS, upstreams, [branch], standardise_by="mixed").eval()
    model.downstream.classifier.weight.data = torch.tensor([[-1.0], [1.0]])
    model.downstream.classifier.bias.data.zero_()
    utterances, values = [], []
    for (speaker, offset), corpus in zip(offsets.items(), corpora, strict=True):
        for k in range(n):
            name, label = f"{speaker}{k}", LABELS[k % 2]
            utterances.append(Utterance(name, "", label, speaker, 1.0, corpus=corpus))
            values.append(offset + 2 * (k % 2) - 1)
    pooled = torch.tensor(values)[:, None]
    ten = torch.full_like(pooled, 10.0)
    moments = torch.stack([ten, pooled, torch.zeros_like(pooled)], dim=1)
    return PooledFold(
        "mine",
        utterances,
        [pooled],
        {"fbank": moments},
        LABELS,
        model.downstream,
        model.standardisers,
        {"fbank": 10.0},
        1.0,
    )


def _ua(rows: pd.DataFrame, corpus: str = "mine") -> dict[str, float]:
    own = rows[rows["corpus"] == corpus]
    return dict(zip(own["adapted_to"], own["UA"], strict=True))


def test_two_speakers_that_differ_by_an_offset_need_adaptation_to_each():
    rows = measure_curve([_fold({"A": 10.0, "B": -10.0})], [0.0])
    assert list(rows) == COLUMNS
    found = _ua(rows)
    # All of A is heard as angry and all of B as sad, whose mean is that of the model.
    assert found["0"] == found["corpus"] == 50.0
    assert found["all"] == 100.0
    assert set(rows["n_speakers"]) == {2} and set(rows["n_utterances"]) == {8}


def test_of_two_recordings_one_of_each_class_gives_the_mean_of_the_speaker():
    fold = _fold({"A": 10.0, "B": -10.0})
    for trial in trials(fold):
        heard = {fold.utterances[i].label for i in trial.recordings}
        if trial.adapted_to == "2" and len(heard) == 2:
            found = classify(fold, trial, 0.0).argmax(1)
            expected = [fold.utterances[i].label for i in trial.classified]
            assert [LABELS[k] for k in found] == expected


def test_a_prior_of_as_many_frames_halves_the_offset():
    fold = _fold({"A": 10.0, "B": -10.0})
    whole = next(t for t in trials(fold) if t.adapted_to == "all")
    # 4 recordings of 10 frames, and 4 s of 10 frames per second of the training part:
    # the mean is 5; the variance is (1 + 25 + 1 + 25) / 2.
    found = torch.from_numpy(classify(fold, whole, 4.0))[1]
    expected = torch.tensor([-1.0, 1.0]) * (11 - 5) / 26**0.5
    torch.testing.assert_close(found.float(), expected.softmax(-1))


def test_with_a_long_prior_the_model_stays_as_it_is():
    fold = _fold({"A": 10.0, "B": -10.0})
    for trial in trials(fold):
        found = classify(fold, trial, 1e9).argmax(1)
        speakers = [fold.utterances[i].speaker for i in trial.classified]
        assert [LABELS[k] for k in found] == [
            {"A": "angry", "B": "sad"}[speaker] for speaker in speakers
        ]


def test_recordings_that_are_adapted_to_are_not_classified():
    fold = _fold({"A": 0.0, "B": 1.0})
    drawn = [t for t in trials(fold) if t.adapted_to.isdigit() and t.recordings]
    # Speakers with four recordings are adapted to one and two.
    assert [t.adapted_to for t in drawn].count("1") == 2 * N_DRAWS
    assert {t.adapted_to for t in drawn} == {"1", "2"}
    for trial in drawn:
        assert len(trial.recordings) == int(trial.adapted_to)
        speakers = {fold.utterances[i].speaker for i in trial.recordings}
        own = [i for i, u in enumerate(fold.utterances) if u.speaker in speakers]
        assert len(speakers) == 1
        assert sorted([*trial.recordings, *trial.classified]) == own


def test_each_corpus_is_adapted_on_its_own_and_scored_with_all():
    fold = _fold({"A": 10.0, "B": -10.0}, corpora=("first", "second"))
    rows = measure_curve([fold], [0.0, 1.0])
    assert list(dict.fromkeys(rows["corpus"])) == ["first", "second", ALL_CORPORA]
    at_0 = rows[(rows["prior_s"] == 0) | rows["prior_s"].isna()]
    assert _ua(at_0, ALL_CORPORA)["corpus"] == _ua(at_0, "first")["corpus"] == 100.0
    assert _ua(at_0, "first")["0"] == _ua(at_0, ALL_CORPORA)["0"] == 50.0
    # One speaker has no interval.
    assert rows.loc[rows["corpus"] == "first", "low"].isna().all()


def test_the_calibration_error_is_the_distance_of_confidence_and_accuracy():
    rows = measure_curve([_fold({"A": 0.0, "B": 0.0})], [0.0])
    plain = rows[rows["adapted_to"] == "0"]
    confidence = torch.tensor([-1.0, 1.0]).softmax(-1).max().item()
    expected = 100 * (1 - confidence)
    assert plain["calibration_error"].item() == pytest.approx(expected, abs=0.01)


# ---- a run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    """Two folds of three speakers, by a linear layer on a filter bank."""
    folder = tmp_path_factory.mktemp("run")
    table = write_table(folder, speakers=3, utterances=2)
    files = [RECIPES / "hparams" / "fbank_frozen.yaml"]
    files += [RECIPES / "Custom" / "corpus.yaml"]
    given = {"csv": str(table), "results_folder": str(folder), "num_workers": 0}
    given |= {"number_of_epochs": 2, "tensorboard": "no", "folds": "1,2"}
    given |= {"standardise_by": "mixed"}
    settings = Settings.from_files(files, given)
    run(settings, RunOptions(device="cpu", noprogressbar=True))
    return Path(settings["output_folder"])


def _command(*arguments: object) -> int:
    """Run the command; return its exit code."""
    try:
        run_command(main, arguments=[str(a) for a in arguments])
    except SystemExit as stopped:
        return stopped.code
    return 0


@pytest.mark.slow
def test_a_model_that_is_not_adapted_has_the_scores_of_its_run(
    run_folder, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    assert _command(run_folder, "--out", out, "--prior_s", "0,3") == 0
    rows = pd.read_csv(out / "adaptation.csv", dtype={"adapted_to": str})
    paths = run_folder.glob("fold_*/predictions.csv")
    predictions = pd.concat([pd.read_csv(path) for path in paths])
    labels = sorted(set(predictions["label"]))
    expected = 100 * compute_scores(predictions, labels).UA
    plain = rows[rows["adapted_to"] == "0"]
    assert plain["UA"].item() == pytest.approx(expected, abs=0.005)
    assert plain["n_utterances"].item() == len(predictions) == 12
    # Six recordings of each speaker are too few for five.
    assert list(dict.fromkeys(rows["adapted_to"])) == ["0", "1", "2", "all", "corpus"]
    text = (out / "README.md").read_text()
    assert f"the UA is {expected:.1f} as the model is" in text
    assert f"--out {out} --prior_s 0,3" in text
    assert (out / "adaptation.png").is_file()
    # The same again, without encoding.
    before = (out / "adaptation.csv").read_bytes()
    monkeypatch.setattr(pooled_fold_module, "make_loader", None)
    assert _command(run_folder, "--out", out, "--prior_s", "0,3") == 0
    assert (out / "adaptation.csv").read_bytes() == before


@pytest.mark.slow
def test_a_fold_is_adapted_as_recognizers_are(run_folder, tmp_path):
    fold = pooled_folds(run_folder, tmp_path)[0]
    trial = next(t for t in trials(fold) if t.adapted_to == "2")
    model, info = load_trained(run_folder, 1)
    (name,) = model.standardisers
    reader = pooled_fold_module.fold_inputs(
        Settings.from_file(run_folder / "hyperparams.yaml"), {"wav"}, None
    )["wav"]

    def wavs(rows):
        for i in rows:
            yield reader(fold.utterances[i])[None], torch.ones(1)

    with torch.no_grad():
        moments = [
            frame_moments(model.upstreams(*wav)[name]) for wav in wavs(trial.recordings)
        ]
        joined = {name: joined_moments(torch.cat(moments))}
        other = adapted(model, joined, info["sample_rate_hz"])
        logits = torch.cat([other(*wav) for wav in wavs(trial.classified)])
    expected = (logits / info["calibration"]["temperature"]).softmax(-1)
    found = torch.from_numpy(classify(fold, trial, PRIOR_S)).float()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_a_run_that_cannot_be_measured_is_refused_in_one_line(
    run_folder, tmp_path, capfd
):
    unfinished = shutil.copytree(run_folder, tmp_path / "unfinished")
    for path in unfinished.glob("fold_*/fold.json"):
        path.unlink()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "README.md").touch()
    new = tmp_path / "new"
    cases = [
        ([tmp_path, "--out", new], f"{tmp_path} is not the folder of a run"),
        ([unfinished, "--out", new], "Finished folds: none"),
        ([run_folder, "--out", new, "--data_folder", "gone"], "no data folder gone"),
        ([run_folder, "--out", tmp_path / "other"], "README.md"),
        ([run_folder, "--out", new, "--prior_s", "-1"], "found '-1'"),
    ]
    capfd.readouterr()
    for arguments, message in cases:
        assert _command(*arguments) == MISTAKE
        error = capfd.readouterr().err
        assert message in error and "Traceback" not in error
    assert not new.exists()


def test_a_run_that_trained_on_its_test_speakers_is_refused(tmp_path):
    rows = [Utterance("a", "a.wav", "sad", "A", 1.0)]
    for part in ("train", "valid", "test"):
        write_manifest(tmp_path / "fold_1" / f"{part}.csv", rows)
    with pytest.raises(ValueError, match=r"speakers that it tests \(A\)"):
        pooled_fold_module.read_fold(tmp_path, 1)


@pytest.mark.parametrize(
    ("aggregator", "standardise_by", "message"),
    [
        (MeanPooling, None, "--standardise_by mixed"),
        (AttentivePooling, "mixed", "AttentivePooling"),
    ],
)
def test_a_model_that_cannot_be_measured_is_refused_with_what_to_do(
    aggregator, standardise_by, message
):
    branch = {"upstreams": ["fbank"], "aggregator": aggregator}
    upstreams = {"fbank": FbankUpstream(n_mels=4)}
    model = EmotionModel(LABELS, upstreams, [branch], standardise_by=standardise_by)
    with pytest.raises(ValueError, match=message):
        pooled_fold_module.check_model(model, Path("results"))
