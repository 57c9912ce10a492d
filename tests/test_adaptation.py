"""Adapting a model to recordings without labels."""

import json
import logging

import numpy as np
import pytest
import soundfile
import torch
from model_folders import FBANK, LABELS, RATE_HZ, write_folder
from safetensors.torch import load_file, save_file

from ser_lib.inference import EmotionRecognizer
from ser_lib.inference.adaptation import PRIOR_S

STANDARDISED = FBANK | {
    "branches": [
        {"upstreams": ["fbank"], "aggregator": {"class": "StatisticsPooling"}}
    ],
    "standardise_by": "mixed",
}
HOP_S = 0.02


def noise(seed: int, duration_s: float = 1.0, gain: float = 0.1) -> np.ndarray:
    samples = np.random.default_rng(seed).normal(0, gain, round(duration_s * RATE_HZ))
    return samples.astype(np.float32).clip(-1, 1)


def load(folder) -> EmotionRecognizer:
    return EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(
        tmp_path_factory.mktemp("adapted") / "model", STANDARDISED, folds=(1, 2)
    )


@pytest.fixture
def recognizer(folder) -> EmotionRecognizer:
    recognizer = load(folder)
    with torch.no_grad():  # else all probabilities would be near 0 or 1
        for member in recognizer.mods.values():
            member.downstream.classifier.weight.mul_(0.01)
    return recognizer


def test_frames_are_standardised_by_the_recordings_and_ten_seconds_of_training(
    recognizer,
):
    wavs = [noise(1, 1.5), noise(2, 2.5)]
    adapted = recognizer.adapt(wavs)
    upstream = recognizer.mods["fold_1"].upstreams["fbank"]
    frames = [upstream(torch.from_numpy(w)[None], torch.ones(1)) for w in wavs]
    values = torch.cat([f.values[0] for f in frames]).double()
    n, n_prior = len(values), PRIOR_S / HOP_S
    # The untrained model has the mean 0 and the deviation 1.
    mean = n * values.mean(0) / (n + n_prior)
    squares = (n * values.square().mean(0) + n_prior) / (n + n_prior)
    found = adapted.mods["fold_1"].standardisers["fbank"]
    torch.testing.assert_close(found.mean.double(), mean, atol=1e-3, rtol=1e-4)
    sd = (squares - mean.square()).sqrt()
    torch.testing.assert_close(found.sd.double(), sd, atol=1e-3, rtol=1e-4)
    assert adapted.adaptation.n_recordings == 2
    assert adapted.adaptation.duration_s == pytest.approx(4.0)


def test_adapting_leaves_the_model_and_its_answers_as_they_are(recognizer):
    wav = torch.from_numpy(noise(3))
    before = recognizer.classify_batch(wav)[0]
    adapted = recognizer.adapt([noise(1)])
    assert not torch.allclose(adapted.classify_batch(wav)[0], before, atol=1e-3)
    torch.testing.assert_close(recognizer.classify_batch(wav)[0], before)
    again = adapted.adapt([noise(2)])  # starts from the training part, not from noise 1
    expected = recognizer.adapt([noise(2)]).classify_batch(wav)[0]
    torch.testing.assert_close(again.classify_batch(wav)[0], expected)
    assert adapted.mods["fold_1"].downstream is recognizer.mods["fold_1"].downstream


def test_files_of_other_rates_adapt_like_their_resampled_arrays(recognizer, tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(1, 2.0), 8000)
    of_file = recognizer.adapt([tmp_path / "a.wav"])
    of_array = recognizer.adapt([noise(1, 2.0)], sample_rate_hz=8000)
    wav = torch.from_numpy(noise(3))
    torch.testing.assert_close(
        of_file.classify_batch(wav)[0],
        of_array.classify_batch(wav)[0],
        atol=1e-3,
        rtol=0,
    )


def test_a_saved_adaptation_gives_the_same_answers(recognizer, tmp_path):
    adapted = recognizer.adapt([noise(1), noise(2)])
    adapted.save_adaptation(tmp_path / "adaptation.safetensors")
    found = recognizer.load_adaptation(tmp_path / "adaptation.safetensors")
    wav = torch.from_numpy(noise(3))
    torch.testing.assert_close(
        found.classify_batch(wav)[0], adapted.classify_batch(wav)[0]
    )
    assert found.adaptation.n_recordings == 2


def test_timelines_and_streams_are_adapted(recognizer, tmp_path):
    adapted = recognizer.adapt([noise(1)])
    soundfile.write(tmp_path / "long.wav", noise(4, 6.0), RATE_HZ)
    plain = recognizer.timeline_file(tmp_path / "long.wav").windows[0].probabilities
    found = adapted.timeline_file(tmp_path / "long.wav").windows[0].probabilities
    assert not np.allclose(found, plain, atol=1e-3)
    (first, *_) = adapted.stream([noise(4, 6.0)], RATE_HZ)
    np.testing.assert_allclose(first.probabilities, found, atol=1e-3)


@pytest.mark.parametrize(
    ("recordings", "message"),
    [
        ([], "at least one recording"),
        ([np.zeros(RATE_HZ)], "Array 0 is silent"),
        ([noise(1), np.full(RATE_HZ, np.nan)], "Array 1 .*not finite"),
        ([noise(1, 0.05)], "Array 0 is too short.* 50 ms"),
        (["missing.wav"], "missing.wav"),
    ],
)
def test_recordings_that_cannot_be_used_are_refused_by_name(
    recognizer, recordings, message
):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        recognizer.adapt(recordings)


def test_a_model_that_does_not_standardise_is_refused_with_what_to_do(tmp_path):
    plain = load(write_folder(tmp_path / "plain"))
    with pytest.raises(ValueError, match="standardise_by: mixed"):
        plain.adapt([noise(1)])
    with pytest.raises(ValueError, match="not adapted"):
        plain.save_adaptation(tmp_path / "a.safetensors")


def test_recordings_unlike_all_training_speakers_give_a_warning(recognizer, caplog):
    for member in recognizer.mods.values():
        member.standardisers["fbank"].farthest.fill_(1e6)
    with caplog.at_level(logging.WARNING):
        recognizer.adapt([noise(1)])
    assert not caplog.records
    for member in recognizer.mods.values():
        member.standardisers["fbank"].farthest.fill_(0.5)
    with caplog.at_level(logging.WARNING):
        recognizer.adapt([noise(1)])
    assert "far from all speech" in caplog.text
    assert "farthest speaker being at 0.50" in caplog.text


def test_an_adaptation_of_another_model_or_a_damaged_one_is_refused(
    recognizer, tmp_path
):
    path = tmp_path / "a.safetensors"
    recognizer.adapt([noise(1)]).save_adaptation(path)
    other = load(write_folder(tmp_path / "other", STANDARDISED, folds=(3,)))
    with pytest.raises(ValueError, match="another model"):
        other.load_adaptation(path)
    with pytest.raises(FileNotFoundError, match="no file .*b.safetensors"):
        recognizer.load_adaptation(tmp_path / "b.safetensors")
    path.write_bytes(b"not tensors")
    with pytest.raises(ValueError, match="a.safetensors is not an adaptation"):
        recognizer.load_adaptation(path)
    save_file({"x": torch.ones(1)}, path)
    with pytest.raises(ValueError, match="a.safetensors is not an adaptation"):
        recognizer.load_adaptation(path)


@pytest.mark.parametrize("change", ["nan", "no frames", "shape", "missing", "extra"])
def test_statistics_that_are_not_statistics_are_refused(recognizer, tmp_path, change):
    path = tmp_path / "a.safetensors"
    adapted = recognizer.adapt([noise(1)])
    adapted.save_adaptation(path)
    tensors = load_file(path)
    key = "fold_1.fbank"
    if change == "nan":
        tensors[key][1, 0] = torch.nan
    elif change == "no frames":
        tensors[key][0] = 0
    elif change == "shape":
        tensors[key] = tensors[key][:, :3].contiguous()
    elif change == "missing":
        del tensors[key]
    else:
        tensors["fold_9.fbank"] = torch.ones(3, 20)
    info = {"model": _identity(recognizer), "n_recordings": 1, "duration_s": 1.0}
    save_file(tensors, path, metadata={"adaptation": json.dumps(info)})
    with pytest.raises(ValueError, match="a.safetensors (is damaged|has unknown)"):
        recognizer.load_adaptation(path)


def _identity(recognizer: EmotionRecognizer) -> list:
    members = recognizer.model_info["members"]
    sums = {name: member["sha256"] for name, member in members.items()}
    return [recognizer.model_info["network_sha256"], sums]


def test_the_labels_are_those_of_the_model(recognizer):
    assert recognizer.adapt([noise(1)]).labels == LABELS
