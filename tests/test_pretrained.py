"""The model in the tree: it loads offline, and its card says what was measured."""

import csv
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from ser_lib.evaluation.results_csv import read_results
from ser_lib.inference import PRIOR_S, EmotionRecognizer

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "pretrained" / "ser_whisper_tiny"
EXAMPLES = ROOT / "pretrained" / "examples"
LABELS = ["angry", "fearful", "happy", "neutral", "sad"]


@pytest.fixture(scope="module")
def recognizer() -> EmotionRecognizer:
    return EmotionRecognizer.from_hparams(source=str(MODEL))


@pytest.fixture(scope="module")
def examples() -> list[dict[str, str]]:
    with open(EXAMPLES / "examples.csv", encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f))


def card() -> str:
    return (MODEL / "README.md").read_text(encoding="utf-8")


def test_the_model_is_small_enough_for_git_and_names_the_licences():
    assert sum(p.stat().st_size for p in MODEL.iterdir()) < 20e6
    assert "license: cc-by-nc-sa-4.0" in card()
    assert "openai/whisper-tiny.en (MIT licence)" in card()


def test_it_answers_the_examples_as_the_readme_prints(recognizer, examples):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    paths = [EXAMPLES / row["path"] for row in examples]
    for path, answer in zip(paths, recognizer.classify_files(paths), strict=True):
        probabilities, _, _, (label,) = answer
        assert sorted(recognizer.labels) == LABELS
        line = next(row for row in readme.splitlines() if f"/{path.name}," in row)
        assert line.split(",")[1] == label
        assert probabilities.sum().item() == pytest.approx(1, abs=1e-5)


def test_it_is_adaptable_and_calibrated(recognizer, examples):
    (member,) = recognizer.model_info["members"].values()
    assert 0.5 < member["temperature"] < 2
    own = [EXAMPLES / row["path"] for row in examples if row["speaker"] == "EB0"]
    adapted = recognizer.adapt(own)
    before = recognizer.classify_file(own[0])[0]
    assert not torch.equal(adapted.classify_file(own[0])[0], before)


def test_the_scores_of_the_card_are_those_of_the_results_file():
    results = read_results(ROOT / "recipes" / "Multi" / "results.csv")
    run = results[results["experiment"] == "whisper_frozen_mixed"].set_index("fold")
    for fold in ("1", "2", "3", "4", "5", "pooled"):
        row = run.loc[fold]
        cells = f"| {fold} | {row['n']} | {row['WA']:.2f} | {row['UA']:.2f} |"
        assert cells in card()
    assert "These weights themselves are not tested" in card()


def test_the_readme_has_the_scores_of_the_adaptation_and_the_stress_report():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    path = ROOT / "recipes" / "Multi" / "adaptation" / "adaptation.csv"
    rows = pd.read_csv(path, dtype={"adapted_to": str})
    rows = rows[rows["prior_s"].isna() | (rows["prior_s"] == PRIOR_S)]
    for corpus, name in (
        ("RAVDESS", "RAVDESS"),
        ("nEMO", "nEMO"),
        ("all corpora", "both"),
    ):
        own = rows[rows["corpus"] == corpus].set_index("adapted_to")
        cells = [
            f"{own['UA'][n]:.1f} [{own['low'][n]:.1f}, {own['high'][n]:.1f}]"
            for n in ("0", "1", "10", "all", "corpus")
        ]
        assert f"| {name} | {' | '.join(cells)} |" in readme
    report = (ROOT / "recipes/Multi/stress/stress.md").read_text(encoding="utf-8")
    sentences = report.split("## It fails where\n\n")[1].split("\n\n")[0]
    assert sentences in readme and "\n- " in sentences


def test_its_encoder_is_the_published_one_in_half_precision(shared_data):
    folder = shared_data.parent / "models" / "whisper-tiny.en-encoder"
    if not folder.is_dir():
        pytest.skip("needs openai/whisper-tiny.en")
    published = load_file(folder / "model.safetensors")
    weights = load_file(MODEL / "fold_1.safetensors")
    prefix = "upstreams.upstream."
    own = {
        k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)
    }
    for key, value in own.items():
        (name,) = [name for name in published if name.endswith(key.split(".", 1)[1])]
        assert torch.equal(value, published[name].half()), key
    layers = {key.split("layers.")[1][0] for key in own if "layers." in key}
    assert layers == {"0", "1", "2"}
