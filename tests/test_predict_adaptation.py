"""The command line with a model that is adapted to recordings without labels."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from model_folders import FBANK, LABELS, RATE_HZ, write_folder
from predict_runner import run

from ser_lib.inference import EmotionRecognizer

STANDARDISED = FBANK | {
    "branches": [
        {"upstreams": ["fbank"], "aggregator": {"class": "StatisticsPooling"}}
    ],
    "standardise_by": "mixed",
}
SPEAKERS = {"a.wav": "A", "b.wav": "B", "c.wav": "A"}


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory) -> EmotionRecognizer:
    folder = write_folder(tmp_path_factory.mktemp("model"), STANDARDISED)
    recognizer = EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})
    with torch.no_grad():  # else all probabilities would be near 0 or 1
        recognizer.mods["fold_1"].downstream.classifier.weight.mul_(0.01)
    return recognizer


@pytest.fixture
def table(tmp_path) -> Path:
    """Three recordings of two speakers."""
    for seed, name in enumerate(SPEAKERS):
        samples = np.random.default_rng(seed).normal(0, 0.05 * (1 + seed), RATE_HZ)
        soundfile.write(tmp_path / name, samples, RATE_HZ)
    rows = {"path": list(SPEAKERS), "speaker": list(SPEAKERS.values())}
    pd.DataFrame(rows).to_csv(tmp_path / "calls.csv", index=False)
    return tmp_path / "calls.csv"


def probabilities(out: str) -> dict[str, list[float]]:
    rows = pd.read_csv(io.StringIO(out))
    values = rows[[f"p_{label}" for label in LABELS]].to_numpy()
    return {
        Path(path).name: list(p) for path, p in zip(rows["path"], values, strict=True)
    }


def expected(recognizer, folder, adapted_to, names) -> dict[str, list[float]]:
    adapted = recognizer.adapt([folder / name for name in adapted_to])
    return {
        name: pytest.approx(
            adapted.classify_file(folder / name)[0][0].tolist(), abs=1e-4
        )
        for name in names
    }


def test_adapt_uses_all_recordings_given(recognizer, table):
    code, out, err = run(table, "--adapt", recognizer=recognizer)
    assert code == 0
    assert "Adapted to 3 recordings, 3.0 s." in err
    assert probabilities(out) == expected(recognizer, table.parent, SPEAKERS, SPEAKERS)


def test_adapt_by_uses_the_recordings_of_each_speaker(recognizer, table):
    code, out, err = run(table, "--adapt_by", "speaker", recognizer=recognizer)
    assert code == 0
    assert "Adapted to 2 recordings of speaker A, 2.0 s." in err
    assert "Adapted to 1 recording of speaker B, 1.0 s." in err
    folder = table.parent
    of_a = expected(recognizer, folder, ["a.wav", "c.wav"], ["a.wav", "c.wav"])
    of_b = expected(recognizer, folder, ["b.wav"], ["b.wav"])
    assert probabilities(out) == of_a | of_b


def test_a_saved_adaptation_applies_to_other_recordings(recognizer, table, tmp_path):
    saved = tmp_path / "saved.safetensors"
    folder = table.parent
    arguments = folder / "a.wav", "--adapt", "--save_adaptation", saved
    assert run(*arguments, recognizer=recognizer)[0] == 0
    code, out, _ = run(folder / "b.wav", "--adaptation", saved, recognizer=recognizer)
    assert code == 0
    assert probabilities(out) == expected(recognizer, folder, ["a.wav"], ["b.wav"])


def test_timelines_are_adapted(recognizer, table):
    path = table.parent / "a.wav"
    arguments = (
        path,
        "--timeline",
        "--window_s",
        0.5,
        "--hop_s",
        0.5,
        "--format",
        "json",
    )
    plain, adapted = (
        run(*arguments, *more, recognizer=recognizer)[1] for more in ([], ["--adapt"])
    )
    assert plain != adapted


def test_a_bad_recording_gets_its_error_and_the_others_are_adapted_to(
    recognizer, table
):
    (table.parent / "b.wav").write_bytes(b"not audio")
    code, out, err = run(table, "--adapt", recognizer=recognizer)
    assert code == 1
    assert "Adapted to 2 recordings" in err and "2 done, 1 failed" in err
    good = ["a.wav", "c.wav"]
    found = probabilities(out)
    assert {name: found[name] for name in good} == expected(
        recognizer, table.parent, good, good
    )


def test_a_resumed_command_must_adapt_to_the_same_recordings(
    recognizer, table, tmp_path
):
    out = tmp_path / "out" / "emotions.csv"
    a, b = (table.parent / name for name in ("a.wav", "b.wav"))
    assert run(a, b, "--adapt", "--out", out, recognizer=recognizer)[0] == 0
    before = out.read_text()
    code, _, err = run(a, b, "--adapt", "--out", out, recognizer=recognizer)
    assert code == 0 and "2 already done" in err and out.read_text() == before
    code, _, err = run(a, "--adapt", "--out", out, recognizer=recognizer)
    assert code == 2 and "another set of recordings to adapt to" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--adapt_by", "line"], "['path', 'speaker']; expected a column line"),
        (["--adapt", "--adapt_by", "speaker"], "not allowed with argument --adapt"),
        (["--save_adaptation", "x"], "--save_adaptation needs --adapt"),
        (["--adaptation", "missing.safetensors"], "no file missing.safetensors"),
    ],
)
def test_wrong_usage_is_refused_before_anything_is_written(
    recognizer, table, tmp_path, arguments, message
):
    out = tmp_path / "emotions.csv"
    code, _, err = run(table, "--out", out, *arguments, recognizer=recognizer)
    assert code == 2
    assert message in err
    assert not out.exists()


def test_groups_need_a_table(recognizer, table):
    path = table.parent / "a.wav"
    code, _, err = run(path, "--adapt_by", "speaker", recognizer=recognizer)
    assert code == 2
    assert (
        "a.wav is not a table; expected tables with the columns path and speaker" in err
    )


def test_a_model_that_cannot_be_adapted_says_so(table, tmp_path):
    plain = EmotionRecognizer.from_hparams(
        write_folder(tmp_path / "plain"), run_opts={"device": "cpu"}
    )
    code, _, err = run(table, "--adapt", recognizer=plain)
    assert code == 2
    assert "cannot be adapted" in err and "standardise_by: mixed" in err
