"""Exported models with several tasks: answers, predict, timelines, ONNX, cards."""

import csv
import json

import numpy as np
import pytest
import soundfile
import torch
from speechbrain.utils.run_opts import RunOptions

from ser_lib.experiment import run
from ser_lib.export import export_run
from ser_lib.inference import FORMATS, EmotionRecognizer
from ser_lib.inference.answers import ClassAnswer, ValueAnswer
from ser_lib.model_folder.network import check_network
from ser_lib.predict.__main__ import main as predict
from ser_lib.settings import RECIPES, Settings
from ser_lib.synthetic.iemocap import miniature_counts, write_miniature_iemocap

pytestmark = pytest.mark.slow
TASKS = {
    "emotion": {"kind": "classes"},
    "gender": {"kind": "classes", "weight": 0.3},
    "arousal": {"kind": "value", "range": [1, 5]},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two folds of a miniature run, exported as an ensemble."""
    folder = tmp_path_factory.mktemp("models")
    write_miniature_iemocap(folder / "IEMOCAP", 4)
    given = {"data_folder": str(folder / "IEMOCAP"), "tensorboard": "no"}
    given |= {"corpus": {"counts": miniature_counts(4), "part_digests": None}}
    given |= {"results_folder": str(folder / "results"), "folds": "1,2"}
    given |= {"number_of_epochs": 1, "num_workers": 0, "tasks": TASKS}
    given |= {"stem_channels": 0, "ecapa_channels": [16, 16, 16, 16, 48]}
    path = RECIPES / "IEMOCAP" / "hparams" / "fbank_ecapa.yaml"
    settings = Settings.from_file(path, given)
    run(settings, RunOptions(noprogressbar=True))
    export_run(settings["output_folder"], folder / "model", folds=[1, 2], onnx=True)
    return folder


@pytest.fixture(scope="module")
def recognizer(folder):
    return EmotionRecognizer.from_hparams(folder / "model")


@pytest.fixture(scope="module")
def recording(folder):
    return sorted((folder / "IEMOCAP").rglob("Ses01*_*000.wav"))[0]


def test_a_file_has_an_answer_for_each_task(recognizer, recording):
    found = recognizer.analyse_file(recording)
    assert list(found) == ["emotion", "gender", "arousal"]
    out_prob, score, _, label = recognizer.classify_file(recording)
    emotion = found["emotion"]
    assert isinstance(emotion, ClassAnswer) and emotion.label == label[0]
    assert list(emotion.probabilities.values()) == out_prob[0].tolist()
    assert emotion.score == score.item()
    gender = found["gender"]
    assert set(gender.probabilities) == {"female", "male"}
    assert sum(gender.probabilities.values()) == pytest.approx(1, abs=1e-6)
    assert gender.score == max(gender.probabilities.values())
    assert isinstance(found["arousal"], ValueAnswer)
    assert 1 <= found["arousal"].value <= 5


def test_an_ensemble_averages_what_its_members_answer(recognizer, recording):
    members = [recognizer.member(f"fold_{k}").analyse_file(recording) for k in (1, 2)]
    found = recognizer.analyse_file(recording)
    values = [answers["arousal"].value for answers in members]
    assert found["arousal"].value == pytest.approx(np.mean(values), abs=1e-5)
    shares = [answers["gender"].probabilities["male"] for answers in members]
    male = found["gender"].probabilities["male"]
    assert male == pytest.approx(np.mean(shares), abs=1e-6)


def test_what_was_tested_is_what_the_exported_member_answers(folder, recognizer):
    path = next(folder.rglob("seed_1986/fold_1/predictions.csv"))
    member = recognizer.member("fold_1")
    with open(path, newline="") as f:
        rows = list(csv.DictReader(f))
    files = {p.stem: p for p in (folder / "IEMOCAP").rglob("*.wav")}
    for row in rows[:3]:
        answers = member.analyse_file(files[row["id"]])
        found = answers["arousal"].value, answers["gender"].probabilities["male"]
        tested = float(row["arousal_prediction"]), float(row["gender_p_male"])
        assert found == pytest.approx(tested, abs=1e-4)


def test_predict_has_columns_for_each_task(folder, recognizer, recording, capsys):
    assert predict([str(folder / "model"), str(recording)]) == 0
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines())
    found = recognizer.analyse_file(recording)
    assert list(row)[-5:] == [
        "gender",
        "gender_p_female",
        "gender_p_male",
        "arousal",
        "error",
    ]
    assert row["gender"] == found["gender"].label
    assert float(row["arousal"]) == pytest.approx(found["arousal"].value, abs=1e-5)


def test_timelines_have_the_answers_of_each_segment_and_window(
    folder, recognizer, recording, tmp_path
):
    samples, rate_hz = soundfile.read(recording)
    soundfile.write(tmp_path / "long.wav", np.tile(samples, 6), rate_hz)
    timeline = recognizer.timeline_file(tmp_path / "long.wav", window_s=1, hop_s=1)
    content = json.loads(FORMATS["json"](timeline))
    window = content["windows"][0]
    assert window["gender"] in ("female", "male") and 1 <= window["arousal"] <= 5
    rows = list(csv.DictReader(FORMATS["csv"](timeline).splitlines()))
    assert list(rows[0]) == ["start_s", "end_s", "label", "score", "gender", "arousal"]
    end_s = float(rows[0]["end_s"])
    inside = [w for w in content["windows"] if w["end_s"] <= end_s + 1e-6]
    # Windows of a hop do not overlap: a segment has their mean over time.
    values = [w["arousal"] for w in inside]
    expected = np.average(values, weights=[w["end_s"] - w["start_s"] for w in inside])
    assert float(rows[0]["arousal"]) == pytest.approx(expected, abs=1e-4)


def test_the_graph_has_an_output_for_each_task(folder, recognizer):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(folder / "model" / "model.onnx"))
    names = [output.name for output in session.get_outputs()]
    assert names == ["probabilities", "gender", "arousal"]
    wavs = 0.1 * torch.randn(2, 16000, generator=torch.Generator().manual_seed(0))
    found = session.run(None, {"wavs": wavs.numpy()})
    expected = recognizer.answer_batch(wavs)
    torch.testing.assert_close(
        torch.from_numpy(np.concatenate(found, axis=1)), expected, atol=1e-3, rtol=0
    )
    tasks = json.loads(session.get_modelmeta().custom_metadata_map["tasks"])
    assert [task["name"] for task in tasks] == ["gender", "arousal"]


def test_the_card_names_the_tasks_and_their_scores(folder):
    card = (folder / "model" / "README.md").read_text()
    assert "also gives gender (female, male), arousal (1 to 5)" in card
    assert "| arousal | CCC | 32 |" in card


@pytest.mark.parametrize(
    "change",
    [
        {"name": "a.b"},
        {"range": [5, 1]},
        {"range": ["1", "5"]},
        {"kind": "secret"},
        {"extra": 1},
    ],
)
def test_a_description_with_other_tasks_is_refused(folder, tmp_path, change):
    info = json.loads((folder / "model" / "model.json").read_text())
    info["network"]["tasks"][1] |= change
    with pytest.raises(ValueError, match="The tasks of model.json are not described"):
        check_network(info["network"], "model.json")
