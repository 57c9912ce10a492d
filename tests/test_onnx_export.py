"""ONNX: onnxruntime gives what PyTorch gives, for any batch and any duration."""

import json
from copy import deepcopy

import pytest
import torch
from model_folders import FBANK, LABELS, hubert_definition, of_upstream, write_folder
from tiny_convolutional import LOAD, tiny, written

from ser_lib.aggregators import EcapaTdnn
from ser_lib.export import onnx as onnx_export
from ser_lib.export.onnx import write_onnx
from ser_lib.export.onnx_modules import unpadded
from ser_lib.export.onnx_recognizer import UnpaddedRecognizer
from ser_lib.inference import EmotionRecognizer
from ser_lib.synthetic.encoders import (
    write_tiny_emotion2vec,
    write_tiny_hubert,
    write_tiny_whisper,
)
from ser_lib.upstreams import (
    ApcUpstream,
    CpcUpstream,
    Emotion2VecUpstream,
    FbankUpstream,
    Frames,
    HuggingFaceUpstream,
    MockingjayUpstream,
    WhisperUpstream,
)
from ser_lib.upstreams.wav2vec_network import Wav2Vec
from ser_lib.utils import packages

pytestmark = pytest.mark.slow

MEAN = {"class": "ProjectedMean"}
SUPERB = {
    "upstreams": {
        "wav2vec": {
            "class": "Wav2VecUpstream",
            "source": {
                "feature_layers": [[8, 10, 5], [8, 8, 32]],
                "aggregator_layers": [[8, 2, 1], [8, 3, 1]],
            },
            "layer": "sum",
        },
        "delores": {"class": "DeloresUpstream", "source": {"dim": 8}, "layer": "sum"},
    },
    "branches": [
        {"upstreams": ["wav2vec"], "aggregator": MEAN},
        {"upstreams": ["delores"], "aggregator": MEAN},
    ],
}


def load(folder) -> EmotionRecognizer:
    return EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})


@pytest.mark.parametrize(
    "kind", ["fbank", "stem", "hubert", "whisper", "emotion2vec", "superb", "attentive"]
)
def test_onnxruntime_gives_the_same_probabilities(tmp_path, kind):
    pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    onnxruntime = pytest.importorskip("onnxruntime", reason="it is not installed")
    definition = SUPERB if kind == "superb" else FBANK
    if kind == "hubert":
        definition = hubert_definition(tmp_path / "encoder")
    if kind == "whisper":
        encoder = WhisperUpstream(str(write_tiny_whisper(tmp_path / "encoder")))
        source = encoder.without_weights()
        definition = of_upstream("WhisperUpstream", source=source, layer="all")
        definition["branches"][0]["aggregator"] = {"class": "StatisticsPooling"}
        definition["standardise_by"] = "mixed"
    if kind == "emotion2vec":
        folder = write_tiny_emotion2vec(tmp_path / "encoder")
        source = Emotion2VecUpstream(str(folder)).without_weights()
        definition = of_upstream("Emotion2VecUpstream", source=source)
    if kind == "attentive":
        definition = deepcopy(FBANK)
        definition["branches"][0]["aggregator"] = {"class": "AttentivePooling"}
    if kind == "stem":
        definition = deepcopy(FBANK)
        definition["branches"][0]["aggregator"]["stem_channels"] = 2
    recognizer = load(write_folder(tmp_path / "model", definition, trim_silence_db=30))
    if kind == "whisper":  # the file keeps what the model was adapted to
        recognizer = recognizer.adapt([0.1 * torch.randn(32000).cumsum(0).sin()])
    path = write_onnx(recognizer, tmp_path / "model.onnx")
    assert [p.name for p in tmp_path.glob("model.onnx*")] == ["model.onnx"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    info = session.get_modelmeta().custom_metadata_map
    assert json.loads(info["labels"]) == LABELS
    assert json.loads(info["trim_silence_db"]) == 30
    assert json.loads(info["sample_rate_hz"]) == 16000
    assert json.loads(info["min_duration_s"]) == 0.2
    for shape in ((1, 16000), (3, 40001), (2, 3200)):
        wavs = 0.1 * torch.randn(shape).cumsum(1).sin()
        (found,) = session.run(["probabilities"], {"wavs": wavs.numpy()})
        expected = recognizer.classify_batch(wavs)[0]
        torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-3, rtol=0)


def test_the_filter_bank_as_a_convolution_equals_speechbrains():
    upstream = FbankUpstream(n_mels=40, hop_ms=20)
    wavs = torch.randn(2, 8001) * torch.tensor([[1.0], [0.01]])
    expected = upstream(wavs, torch.ones(2)).values
    found = unpadded(upstream)(wavs)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)  # decibels


@pytest.mark.parametrize("stem_channels", [0, 4])
@pytest.mark.parametrize("input_norm", ["none", "batch", "sentence"])
def test_ecapa_without_masks_equals_ecapa(input_norm, stem_channels):
    sizes = {"channels": [16] * 4 + [48], "attention_channels": 8}
    ecapa = EcapaTdnn(12, 8, input_norm, stem_channels, **sizes).eval()
    values = torch.randn(3, 30, 12)
    expected = ecapa(Frames(values, torch.tensor([30, 30, 30])))
    torch.testing.assert_close(unpadded(ecapa)(values), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("layer", ["last", "sum"])
@pytest.mark.parametrize("feat_extract_norm", ["group", "layer"])
def test_an_encoder_without_masks_equals_the_encoder(
    tmp_path, layer, feat_extract_norm
):
    folder = write_tiny_hubert(tmp_path, feat_extract_norm)
    upstream = HuggingFaceUpstream(str(folder), freeze=True, layer=layer)
    wavs = 0.1 * torch.randn(2, 8001) + 0.02
    expected = upstream(wavs, torch.ones(2)).values
    upstream(wavs[:1], torch.ones(1))  # lengths that the next batch does not have
    found = unpadded(upstream)(wavs)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layer", ["last", "sum"])
@pytest.mark.parametrize("name", ["wav2vec", "delores"])
def test_a_convolutional_upstream_without_masks_equals_the_upstream(
    tmp_path, name, layer
):
    network = Wav2Vec([(8, 10, 5)], [(8, 3, 1)]) if name == "wav2vec" else tiny(name)
    upstream = LOAD[name](written(tmp_path, name, network), layer=layer).eval()
    wavs = 0.1 * torch.randn(2, 8001) + 0.02
    expected = upstream(wavs, torch.ones(2)).values
    found = unpadded(upstream)(wavs)
    assert found.shape[2] == 8
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("upstream", "reason"),
    [
        (ApcUpstream, "recurrent layers"),
        (CpcUpstream, "recurrent layers"),
        (MockingjayUpstream, "splits long utterances"),
    ],
)
def test_an_upstream_that_onnx_cannot_take_is_refused_with_the_reason(upstream, reason):
    network = upstream.__new__(upstream)
    with pytest.raises(TypeError, match=f"{upstream.__name__} has no form .*{reason}"):
        unpadded(network)


def test_a_network_without_an_unpadded_form_is_named():
    with pytest.raises(TypeError, match="LSTM has no form for unpadded input"):
        unpadded(torch.nn.LSTM(1, 1))


def test_early_fusion_is_refused_by_the_names_of_its_upstreams(tmp_path):
    definition = deepcopy(FBANK)
    definition["upstreams"]["second"] = definition["upstreams"]["fbank"]
    definition["branches"][0]["upstreams"] = ["fbank", "second"]
    recognizer = load(write_folder(tmp_path, definition))
    with pytest.raises(TypeError, match=r"Early fusion \(fbank with second\)"):
        UnpaddedRecognizer(list(recognizer.mods.values()), recognizer.temperatures)


def test_missing_packages_are_named_with_the_command(monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    message = r"needs onnx, onnxscript, onnxruntime: python -m pip install onnx==\d"
    with pytest.raises(ModuleNotFoundError, match=message):
        onnx_export.check_onnx_is_installed()
