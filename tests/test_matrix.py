"""Every experiment of every corpus, with tiny encoders, takes two training steps."""

from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from speechbrain import Stage
from speechbrain.utils.run_opts import RunOptions

from ser_lib.corpora import Utterance
from ser_lib.dataio import fold_inputs, make_loaders
from ser_lib.folds import Fold
from ser_lib.settings import Settings
from ser_lib.synthetic.encoders import (
    write_tiny_bert,
    write_tiny_classifier,
    write_tiny_emotion2vec,
    write_tiny_speech_encoder,
    write_tiny_whisper,
)
from ser_lib.training.assembly import make_brain

pytestmark = pytest.mark.slow

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
EXPERIMENTS = sorted(
    path
    for path in RECIPES.glob("*/hparams/*.yaml")
    if path.parts[-3] != "Pretraining"  # tests/test_pretraining_run.py
)
TEXTS = ["we lost the car", "so", "no, no, it rains again"]
SMALL = {
    "ecapa_channels": [16, 16, 16, 16, 48],
    "ecapa_attention_channels": 8,
    "embedding_size": 16,
    "num_workers": 0,
    "tensorboard": "no",
    "crop_s": 0.5,
    "frozen_cache_gb": 0,  # not with crops
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> dict[str, str]:
    """A tiny encoder for each kind that the experiments name."""
    folder = tmp_path_factory.mktemp("encoders")
    names = ["neu", "hap", "ang", "sad"]
    made = {
        "hubert_source": write_tiny_speech_encoder(folder / "hubert", "hubert"),
        "w2v2_source": write_tiny_speech_encoder(folder / "w2v2", "wav2vec2"),
        "whisper_source": write_tiny_whisper(folder / "whisper"),
        "whisper_base_source": write_tiny_whisper(folder / "whisper_base"),
        "emotion2vec_source": write_tiny_emotion2vec(folder / "emotion2vec"),
        "bert_source": write_tiny_bert(folder / "bert", TEXTS),
        "classifier": write_tiny_classifier(folder / "classifier", names),
    }
    return {name: str(path) for name, path in made.items()}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Eight recordings of noise, a table of them, and frames made elsewhere."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    lines = ["path,label,speaker"]
    for i in range(8):
        noise = 0.1 * random.standard_normal(9600 + 800 * i)
        soundfile.write(folder / f"{i}.wav", noise, 16000)
        lines.append(f"{i}.wav,{'ab'[i % 2]},s{i % 4}")
        np.save(folder / f"u{i}.npy", random.standard_normal((60, 25)))
    (folder / "my.csv").write_text("\n".join(lines) + "\n")
    return folder


def settings_of(path: Path, data: Path, sources: dict[str, str]) -> Settings:
    known = Settings.from_file(path)
    given = {key: value for key, value in SMALL.items() if key in known}
    given |= {key: value for key, value in sources.items() if key in known}
    if "classifier_from" in known.text and "hubert_source" in known:
        given["hubert_source"] = sources["classifier"]
    if "family" in known and known["family"] == "hubert":
        given["upstream_source"] = sources["hubert_source"]
    given |= {"csv": str(data / "my.csv")} if "csv" in known else {}
    given |= {"frames_folder": str(data)} if "frames_folder" in known else {}
    given |= {"corpora": {"RAVDESS": "DATA"}} if "corpora" in known else {}
    if "layer" in known and known["layer"] == [1, 2, 3]:
        given["layer"] = [1, 2]  # the tiny encoders have two layers
    return Settings.from_file(path, {**given, "data_folder": str(data)})


def small_fold(labels: list[str]) -> Fold:
    rows = [
        Utterance(
            *(f"u{i}", f"{i}.wav", label, f"s{i % 2}", 0.6 + 0.05 * i),
            text=text,
            attributes={
                "gender": "fm"[i % 2],
                "intensity": "ab"[i // 4],
                "age": f"{i}",
            },
        )
        for i, label, text in zip(range(8), cycle(labels), cycle(TEXTS), strict=False)
    ]
    return Fold(1, rows, rows, rows)


def is_trained(name: str, settings: Settings) -> bool:
    """Whether an experiment is meant to train a weight, whatever the code does."""
    if not name.startswith("upstreams.") or ".layer_mix." in name:
        return True  # classifier, aggregators, layer sums
    experiment = settings["experiment"]
    whole = "finetune", "superb_er", "plus_er", "statistics"
    if not experiment.endswith(whole) and "superb_er" not in experiment:
        return False
    if "masked_spec_embed" in name or "embed_positions" in name:
        return False
    if ".feature_extractor." in name and "freeze_feature_extractor" in settings:
        return not settings["freeze_feature_extractor"]
    return True


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: f"{p.parts[-3]}-{p.stem}")
def test_two_steps_change_exactly_the_weights_to_be_trained(
    path, data, sources, tmp_path
):
    torch.manual_seed(0)
    settings = settings_of(path, data, sources)
    hparams = settings.build(fold=1, save_folder=str(tmp_path))
    fold = small_fold(list(settings["labels"]))
    # Nothing is stored: frozen encoders run along, so that one fold needs one stage.
    options = RunOptions(noprogressbar=True)
    brain = make_brain(hparams, {}, options, tmp_path, fold.train)
    loaders = make_loaders(hparams, fold, fold_inputs(settings, brain.reads, fold))
    brain.train_sampler = loaders["train"].batch_sampler
    brain.hparams.epoch_counter.current = 1
    brain.on_fit_start()
    weights = dict(hparams["model"].named_parameters())
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    brain.modules.train()
    brain.on_stage_start(Stage.TRAIN, 1)
    batches = iter([*loaders["train"], *loaders["train"]])
    for step in (1, 2):
        brain.step = step
        batch = next(batches)
        brain.on_fit_batch_start(batch, True)
        assert torch.isfinite(brain.fit_batch(batch))
    changed = {
        name for name, weight in weights.items() if not weight.equal(before[name])
    }
    assert changed == {name for name in weights if is_trained(name, settings)}
    assert all(torch.isfinite(weight).all() for weight in weights.values())
