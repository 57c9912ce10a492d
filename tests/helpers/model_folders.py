"""Model folders and runs small enough for tests; the networks are untrained."""

import shutil
from pathlib import Path

import numpy as np
import soundfile
import torch
from speechbrain.utils.run_opts import RunOptions

from ser_lib.experiment import prepare
from ser_lib.fold_run import FoldRun
from ser_lib.model_folder import write_member, write_model_info
from ser_lib.model_folder.network import build_model
from ser_lib.settings import Settings
from ser_lib.synthetic.encoders import write_tiny_hubert
from ser_lib.synthetic.iemocap import miniature_counts, write_miniature_iemocap
from ser_lib.upstreams import HuggingFaceUpstream

IEMOCAP_HPARAMS = Path(__file__).resolve().parents[2] / "recipes/IEMOCAP/hparams"
RATE_HZ = 16000
LABELS = ["neu", "hap", "ang", "sad"]
FBANK = {
    "upstreams": {"fbank": {"class": "FbankUpstream", "n_mels": 20, "hop_ms": 20}},
    "branches": [
        {
            "upstreams": ["fbank"],
            "aggregator": {
                "class": "EcapaTdnn",
                "embedding_size": 6,
                "input_norm": "batch",
                "channels": [8, 8, 8],
                "kernel_sizes": [5, 3, 1],
                "dilations": [1, 2, 1],
                "res2net_scale": 2,
                "attention_channels": 4,
            },
        }
    ],
}
MODEL_INFO = {
    "fold": 1,
    "averaged_epochs": [1],
    "valid_accuracy": [0.5],
    "calibration": {},
    "labels": LABELS,
    "sample_rate_hz": 16000,
    "trim_silence_db": None,
    "min_duration_s": 0.2,
    "trained_on": {
        "name": "TOY",
        "licence": "CC BY 4.0",
        "source": "-",
        "citation": "-",
    },
    "encoders": {},
    "note": "",
    "experiment": "toy",
    "seed": 1,
    "settings_key": "key",
}


def write_folder(
    folder: Path, network: dict = FBANK, folds=(1,), half: bool = False, **info
) -> Path:
    """Write a model folder with untrained weights whose logits differ by fold."""
    folder.mkdir(parents=True, exist_ok=True)
    info = {**MODEL_INFO, "network": network, **info}
    members = {}
    for fold in folds:
        torch.manual_seed(fold)
        model = build_model(network, LABELS, "this test")
        for parameter in model.downstream.classifier.parameters():
            torch.nn.init.normal_(parameter, std=3)  # spreads probabilities
        own = {**info, "fold": fold}
        members[f"fold_{fold}"] = write_member(folder, model, own, half)
    write_model_info(folder, info, members, half)
    return folder


def of_upstream(name: str, **arguments) -> dict:
    """Describe a model of one upstream and the mean over time."""
    return {
        "upstreams": {"upstream": {"class": name, **arguments}},
        "branches": [
            {"upstreams": ["upstream"], "aggregator": {"class": "MeanPooling"}}
        ],
    }


def hubert_definition(folder: Path, feat_extract_norm: str = "layer") -> dict:
    """Describe a model with a tiny HuBERT, whose own folder is deleted."""
    encoder = write_tiny_hubert(folder, feat_extract_norm)
    source = HuggingFaceUpstream(str(encoder)).without_weights()
    shutil.rmtree(encoder)
    return of_upstream("HuggingFaceUpstream", source=source)


def write_corpus(folder: Path) -> Path:
    """Write 80 utterances of synthetic speech and a tiny HuBERT."""
    write_miniature_iemocap(folder / "IEMOCAP", 4)
    write_tiny_hubert(folder / "hubert")
    return folder


def run_experiment(folder: Path, name: str, folds=(1,), **overrides) -> Path:
    """Train folds for one epoch per stage, in this process; return the folder."""
    common = {
        "data_folder": str(folder / "IEMOCAP"),
        "results_folder": str(folder / "results"),
        "corpus": {"counts": miniature_counts(4), "part_digests": None},
        "number_of_epochs": 1,
        "ecapa_channels": [8, 8, 8, 8, 24],
        "ecapa_attention_channels": 4,
        "num_workers": 0,
        "tensorboard": "no",
    }
    path = IEMOCAP_HPARAMS / f"{name}.yaml"
    settings = Settings.from_file(path, {**common, **overrides})
    run_folder = Path(settings["output_folder"])
    run_folder.mkdir(parents=True)
    (run_folder / "hyperparams.yaml").write_text(settings.text)
    options = RunOptions.from_dictionary({"noprogressbar": True, "device": "cpu"})
    for fold in prepare(settings):
        if fold.number in folds:
            FoldRun(settings, fold, options).evaluate()
    return run_folder


def speech(duration_s: float = 1.0, seed: int = 0, rate_hz: int = RATE_HZ):
    """Return noise under an envelope: loud, structured in time, never silent."""
    n = round(duration_s * rate_hz)
    envelope = 0.1 + np.sin(np.linspace(0, 9, n)) ** 2
    return 0.2 * envelope * np.random.default_rng(seed).standard_normal(n)


def write_wav(path, samples, rate_hz=RATE_HZ, **options) -> Path:
    soundfile.write(path, samples, rate_hz, **options)
    return path
