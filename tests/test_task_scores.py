"""The columns of tasks in predictions files, and the scores computed from them."""

import audmetric
import numpy as np
import pandas as pd
import pytest
from scipy.stats import entropy, pearsonr

from ser_lib.corpora import Utterance
from ser_lib.evaluation import (
    prediction_table,
    read_labels,
    read_predictions,
    write_parts,
    write_predictions,
)
from ser_lib.evaluation.task_columns import with_task_columns
from ser_lib.evaluation.task_scores import divergences, task_rows
from ser_lib.evaluation.task_sections import task_sections
from ser_lib.settings import Task

LABELS = ["angry", "sad"]
TASKS = [
    Task("emotion", "distribution", labels=("angry", "sad")),
    Task("gender", column="sex", labels=("man", "woman")),
    Task("arousal", "value", column="arousal", range=(1, 5)),
]
N = 24


@pytest.fixture
def predictions(tmp_path):
    rng = np.random.default_rng(0)
    p, g = rng.dirichlet([1, 1], N), rng.dirichlet([1, 1], N)
    values = rng.uniform(1, 5, N)
    utterances = [
        Utterance(
            f"u{k:02}",
            "",
            LABELS[k % 2],
            str(k // 6),
            1.0,
            attributes={
                "sex": "" if k == 3 else ["man", "woman"][k % 2],
                "arousal": "" if k == 5 else f"{values[k] + rng.normal():.3f}",
                "votes_angry": "" if k == 7 else str(k % 3),
                "votes_sad": "" if k == 7 else "1",
            },
        )
        for k in range(N)
    ]
    table = prediction_table([u.id for u in utterances], p, LABELS)
    answers = {"gender": g, "arousal": values[:, None]}
    table = with_task_columns(table, TASKS, answers)
    write_parts(tmp_path, {"test": table}, utterances, LABELS, TASKS)
    return tmp_path / "predictions.csv"


class Result:
    """What ``task_rows`` reads of a fold."""

    def __init__(self, predictions):
        self.fold, self.predictions = 1, predictions
        self.scores = type("Scores", (), {"recalls": dict.fromkeys(LABELS)})


def rows_of(path):
    rows = task_rows([Result(read_predictions(path, LABELS))])
    pooled = rows[rows["fold"] == "pooled"].set_index(["task", "score"])
    folds = rows[rows["fold"] == "1"].set_index(["task", "score"])
    pd.testing.assert_series_equal(pooled["value"], folds["value"])
    return pooled


def test_the_file_has_the_truth_the_prediction_and_the_probabilities_of_each_task(
    predictions,
):
    first = predictions.read_text().splitlines()[0].split(",")
    assert first == [
        *("id", "speaker", "label", "prediction", "p_angry", "p_sad"),
        *("votes_angry", "votes_sad"),
        *("gender", "gender_prediction", "gender_p_man", "gender_p_woman"),
        *("arousal", "arousal_prediction"),
    ]
    assert read_labels(predictions) == LABELS
    table = read_predictions(predictions, LABELS)
    assert table["gender"].tolist()[3] == ""
    assert table["arousal_prediction"].dtype == float
    again = predictions.with_name("again.csv")
    write_predictions(again, table, LABELS)
    assert again.read_bytes() == predictions.read_bytes()


@pytest.mark.parametrize("damage", ["gender_prediction", "gender", "votes_sad"])
def test_a_file_that_lacks_a_column_of_a_task_is_refused(predictions, damage):
    table = pd.read_csv(predictions, dtype=str, keep_default_na=False)
    table.drop(columns=damage).to_csv(predictions, index=False)
    with pytest.raises(ValueError, match="expected the columns"):
        read_predictions(predictions, LABELS)


def test_the_scores_of_values_are_those_of_audmetric_and_scipy(predictions):
    rows, table = (
        rows_of(predictions).loc["arousal"],
        read_predictions(predictions, LABELS),
    )
    known = table[table["arousal"] != ""]
    truth, predicted = known["arousal"].astype(float), known["arousal_prediction"]
    assert rows.loc["CCC", "n"] == len(known) == N - 1
    expected = {
        "CCC": audmetric.concordance_cc(truth, predicted),
        "Pearson": pearsonr(truth, predicted).statistic,
        "RMSE": np.sqrt(np.mean((truth - predicted) ** 2)),
    }
    assert rows["value"].to_dict() == pytest.approx(expected, abs=1e-9)
    assert (rows["low"] < rows["value"]).all() and (rows["value"] < rows["high"]).all()


def test_the_scores_of_classes_are_those_of_audmetric(predictions):
    rows, table = (
        rows_of(predictions).loc["gender"],
        read_predictions(predictions, LABELS),
    )
    known = table[table["gender"] != ""]
    pair = known["gender"], known["gender_prediction"]
    expected = {
        "WA": 100 * audmetric.accuracy(*pair),
        "UA": 100 * audmetric.unweighted_average_recall(*pair),
        "macro_F1": 100 * audmetric.unweighted_average_fscore(*pair),
    }
    assert rows["value"].to_dict() == pytest.approx(expected, abs=1e-9)


def test_votes_are_compared_with_the_probabilities(predictions):
    rows, table = (
        rows_of(predictions).loc["emotion"],
        read_predictions(predictions, LABELS),
    )
    known = table[table["votes_sad"] != ""]
    shares = known[["votes_angry", "votes_sad"]].astype(float).to_numpy()
    shares /= shares.sum(axis=1, keepdims=True)
    p = known[["p_angry", "p_sad"]].to_numpy()
    expected = {
        "KL": entropy(shares, p, axis=1).mean(),
        "Brier": ((shares - p) ** 2).sum(axis=1).mean(),
    }
    assert rows["n"].tolist() == [N - 1] * 2
    assert rows["value"].to_dict() == pytest.approx(expected, abs=1e-6)


def test_a_probability_that_was_rounded_to_zero_has_a_finite_divergence():
    found = divergences(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]))
    assert found == pytest.approx([np.log(1e6)])


def test_the_report_has_a_line_for_each_score(predictions):
    rows = task_rows([Result(read_predictions(predictions, LABELS))])
    _, table, _ = task_sections(rows)
    lines = table.splitlines()[2:]
    assert [line.split("|")[1].strip() for line in lines] == [
        *["gender"] * 3,
        *["arousal"] * 3,
        *["emotion"] * 2,
    ]
    assert task_sections(rows[:0]) == []


def test_a_truth_that_does_not_vary_has_no_correlation(predictions):
    table = read_predictions(predictions, LABELS).assign(arousal="3")
    rows = task_rows([Result(table)]).set_index(["task", "score"])
    assert rows.loc[("arousal", "Pearson"), "value"].isna().all()
    assert (rows.loc[("arousal", "CCC"), "value"] == 0).all()
    _, text, _ = task_sections(rows.reset_index())
    assert "| Pearson | 24 | not defined |" in text
