"""The baseline of openSMILE and an SVM, without openSMILE."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from ser_lib.corpora import Utterance
from ser_lib.folds import Fold

SCRIPT = Path(__file__).resolve().parents[1] / "recipes" / "RAVDESS/opensmile_svm.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("opensmile_svm", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def part(name: str, n: int) -> list[Utterance]:
    return [
        Utterance(f"{name}{i}", f"{i}.wav", "ab"[i % 2], name, 1.0) for i in range(n)
    ]


def test_c_is_chosen_on_validation_and_the_test_part_is_predicted(script):
    fold = Fold(1, part("train", 40), part("valid", 10), part("test", 6))
    utterances = [*fold.train, *fold.valid, *fold.test]
    random = np.random.default_rng(0)
    noise = 0.1 * random.standard_normal((len(utterances), 3))
    vectors = {  # the classes differ by 2 in the first of three features
        u.id: row + [2.0 * (u.label == "b"), 0, 0]
        for u, row in zip(utterances, noise, strict=True)
    }
    table, cost, accuracy = script.predict_fold(fold, vectors)
    assert table["prediction"].tolist() == table["label"].tolist() == list("ababab")
    assert list(table.columns) == ["id", "speaker", "label", "prediction"]
    assert (cost, accuracy) == (min(script.COSTS), 1.0)


def test_the_labels_of_the_test_part_change_nothing(script):
    fold = Fold(1, part("train", 20), part("valid", 10), part("test", 6))
    utterances = [*fold.train, *fold.valid, *fold.test]
    random = np.random.default_rng(0)
    vectors = {u.id: random.standard_normal(2) for u in utterances}
    swapped = [Utterance(u.id, u.path, "a", "test", 1.0) for u in fold.test]
    first, *_ = script.predict_fold(fold, vectors)
    second, *_ = script.predict_fold(Fold(1, fold.train, fold.valid, swapped), vectors)
    assert first["prediction"].tolist() == second["prediction"].tolist()


def test_a_missing_opensmile_says_what_to_install(script, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "opensmile", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"pip install -r extra_requirements\.txt"
    ):
        script.compute_features([], tmp_path, "eGeMAPSv02", tmp_path / "f.npz")
