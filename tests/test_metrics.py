"""Scores against hand-worked cases and against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sklearn_metrics

from ser_lib.evaluation import compute_scores
from ser_lib.evaluation.metrics import FROM_CONFUSION, confusion_matrix

LABELS = ["neutral", "happy", "sad"]


def make_predictions(truth, predicted) -> pd.DataFrame:
    return pd.DataFrame({"label": list(truth), "prediction": list(predicted)})


def test_two_classes_worked_by_hand():
    # 3 of 4 "a" and 1 of 2 "b" are right: WA 4/6, UA (3/4 + 1/2) / 2.
    table = make_predictions("aaaabb", "aaabba")
    assert confusion_matrix(table, ["a", "b"]).tolist() == [[3, 1], [1, 1]]
    scores = compute_scores(table, ["a", "b"])
    assert scores.WA == pytest.approx(4 / 6, abs=1e-12)
    assert scores.UA == pytest.approx(0.625, abs=1e-12)
    assert scores.recalls == {"a": 0.75, "b": 0.5}
    # F1 = 2 hits / (true + predicted): a 6 / 8, b 2 / 4.
    assert scores.macro_F1 == pytest.approx(0.625, abs=1e-12)


def test_three_classes_worked_by_hand_with_one_never_predicted():
    truth = ["neutral"] * 4 + ["happy"] * 2 + ["sad"] * 2
    predicted = ["neutral"] * 3 + ["happy"] + ["happy"] * 2 + ["neutral"] * 2
    result = compute_scores(make_predictions(truth, predicted), LABELS)
    assert result.confusion.tolist() == [[3, 1, 0], [0, 2, 0], [2, 0, 0]]
    assert result.n == 8
    assert result.WA == pytest.approx(5 / 8, abs=1e-12)
    assert result.recalls == {"neutral": 0.75, "happy": 1.0, "sad": 0.0}
    assert result.UA == pytest.approx(1.75 / 3, abs=1e-12)
    assert result.macro_F1 == pytest.approx((6 / 9 + 4 / 5 + 0) / 3, abs=1e-12)


def test_the_labels_give_the_order_of_the_confusion_matrix():
    table = make_predictions("aab", "aba")
    assert confusion_matrix(table, ["a", "b"]).tolist() == [[1, 1], [1, 0]]
    assert confusion_matrix(table, ["b", "a"]).tolist() == [[0, 1], [1, 1]]


def test_the_scores_agree_with_scikit_learn():
    generator = np.random.default_rng(0)
    truth = generator.choice(LABELS, size=200, p=[0.6, 0.3, 0.1])
    predicted = np.where(
        generator.random(200) < 0.5, truth, generator.choice(LABELS, size=200)
    )
    result = compute_scores(make_predictions(truth, predicted), LABELS)
    expected = {
        "WA": sklearn_metrics.accuracy_score(truth, predicted),
        "UA": sklearn_metrics.balanced_accuracy_score(truth, predicted),
        "macro_F1": sklearn_metrics.f1_score(truth, predicted, average="macro"),
    }
    found = {"WA": result.WA, "UA": result.UA, "macro_F1": result.macro_F1}
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_class_without_true_utterances_is_an_error_and_not_one_of_two_answers():
    # Truth 0, 0 and prediction 0, 1: scikit-learn's macro recall is 0.25, its
    # balanced accuracy 0.5. Neither is the mean over the classes of the corpus.
    table = make_predictions("00", "01")
    with pytest.raises(ValueError, match="No utterance of 2 has the true label 1"):
        compute_scores(table, ["0", "1"])


def test_in_a_resample_the_mean_is_over_the_classes_present():
    confusion = np.array([[1, 1], [0, 0]])
    assert FROM_CONFUSION["WA"](confusion) == 0.5
    assert FROM_CONFUSION["UA"](confusion) == 0.5
    # One hit, two true, one predicted.
    assert FROM_CONFUSION["macro_F1"](confusion) == pytest.approx(2 / 3, abs=1e-12)


@pytest.mark.parametrize("metric", FROM_CONFUSION)
def test_many_confusion_matrices_at_once_give_the_score_of_each(metric):
    confusions = np.random.default_rng(0).integers(0, 9, size=(4, 5, 3, 3))
    together = FROM_CONFUSION[metric](confusions)
    assert together.shape == (4, 5)
    assert together[2, 3] == pytest.approx(
        FROM_CONFUSION[metric](confusions[2, 3]), abs=1e-12
    )


@pytest.mark.parametrize(("truth", "predicted"), [("ax", "aa"), ("aa", "ax")])
def test_an_unknown_label_is_named_and_not_left_out(truth, predicted):
    with pytest.raises(ValueError, match=r"among \['a', 'b'\], found \['a', 'x'\]"):
        compute_scores(make_predictions(truth, predicted), ["a", "b"])


def test_no_utterances_have_no_scores():
    with pytest.raises(ValueError, match="in 0 utterances"):
        compute_scores(make_predictions([], []), ["a", "b"])
