"""The model in the tree: it loads offline and gives the scores of its card."""

from pathlib import Path

import pandas as pd
import pytest

from ser_lib.evaluation import compute_scores
from ser_lib.evaluation.results_csv import read_results
from ser_lib.inference import EmotionRecognizer
from ser_lib.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "pretrained" / "ravdess_fbank_ecapa"
RECIPE = ROOT / "recipes" / "RAVDESS"
EXPERIMENT = RECIPE / "hparams" / "fbank_ecapa.yaml"


@pytest.fixture(scope="module")
def corpus() -> dict:
    return Settings.from_file(EXPERIMENT)["corpus"]


@pytest.fixture(scope="module")
def recognizer() -> EmotionRecognizer:
    return EmotionRecognizer.from_hparams(source=str(MODEL))


def test_the_model_is_small_enough_for_git_and_names_its_licence(corpus):
    assert sum(p.stat().st_size for p in MODEL.iterdir()) < 8e6
    card = (MODEL / "README.md").read_text()
    assert corpus["licence"] in card
    assert "license: cc-by-nc-sa-4.0" in card


def test_its_labels_are_those_of_the_corpus_in_order(recognizer, corpus):
    assert recognizer.labels == list(corpus["labels"])


def test_real_recordings_it_never_heard_give_the_scores_of_its_card(
    recognizer, corpus, shared_data
):
    ((fold, *_),) = [[m["fold"] for m in recognizer.model_info["members"].values()]]
    actors = corpus["folds"][fold - 1]["test"]
    paths = [
        path
        for actor in actors
        for path in sorted((shared_data / "RAVDESS" / f"Actor_{actor}").glob("*.*"))
    ]
    assert len(paths) == 240
    found = recognizer.classify_files(paths, progressbar=False)
    table = pd.DataFrame(
        {
            "id": [path.stem for path in paths],
            "speaker": [path.stem[-2:] for path in paths],
            # the third number of a RAVDESS name is the emotion, in the order of labels
            "label": [corpus["labels"][int(p.stem.split("-")[2]) - 1] for p in paths],
            "prediction": [label for *_, (label,) in found],
        }
    )
    results = read_results(RECIPE / "results.csv").query("experiment == 'fbank_ecapa'")
    row = results.set_index("fold").loc[str(fold)]
    # One recording in 240 may fall on the other side of a tie: 0.42 points.
    got = compute_scores(table, corpus["labels"])
    assert 100 * got.WA == pytest.approx(row["WA"], abs=0.45)
    assert f"WA {row['WA']:.2f}" in (MODEL / "README.md").read_text()
