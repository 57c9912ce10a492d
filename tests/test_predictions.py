"""The predictions file: strict about columns, labels, probabilities and argmax."""

import numpy as np
import pandas as pd
import pytest

from ser_lib.evaluation import prediction_table, read_predictions, write_predictions

LABELS = ["neutral", "happy", "sad"]


def make_predictions(**changed_columns) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "id": ["a", "b"],
            "speaker": ["01", "NA"],
            "label": ["happy", "sad"],
            "prediction": ["happy", "neutral"],
            "p_neutral": [0.1, 0.6],
            "p_happy": [0.7, 0.3],
            "p_sad": [0.2, 0.1],
        }
    )
    return table.assign(**changed_columns)


def test_what_is_written_is_read_again_with_speakers_as_text(tmp_path):
    path = tmp_path / "fold_1" / "predictions.csv"
    write_predictions(path, make_predictions(), LABELS)
    pd.testing.assert_frame_equal(
        read_predictions(path, LABELS), make_predictions(), atol=5e-7
    )
    assert (
        path.read_text().splitlines()[1]
        == "a,01,happy,happy,0.100000,0.700000,0.200000"
    )


def test_the_rows_keep_their_places_when_the_index_is_not_0_1_2(tmp_path):
    path = tmp_path / "predictions.csv"
    write_predictions(path, make_predictions().set_axis([7, 3]), LABELS)
    assert read_predictions(path, LABELS)["p_neutral"].tolist() == [0.1, 0.6]


def test_a_near_tie_keeps_its_argmax_through_the_file(tmp_path):
    path = tmp_path / "predictions.csv"
    near_tie = make_predictions(
        prediction=["happy", "neutral"],
        p_neutral=[0.4000001, 0.6],
        p_happy=[0.4000002, 0.3],
        p_sad=[0.1999997, 0.1],
    )
    write_predictions(path, near_tie, LABELS)
    again = read_predictions(path, LABELS)
    assert again["p_happy"][0] == 0.4000002
    assert again["prediction"].tolist() == ["happy", "neutral"]
    assert path.read_text().splitlines()[2].endswith("0.600000,0.300000,0.100000")


def test_an_exact_tie_is_the_first_of_the_classes(tmp_path):
    tie = {"p_neutral": [0.4, 0.6], "p_happy": [0.4, 0.3], "p_sad": [0.2, 0.1]}
    path = tmp_path / "predictions.csv"
    write_predictions(path, make_predictions(prediction=["neutral"] * 2, **tie), LABELS)
    with pytest.raises(ValueError, match="prediction of a is 'happy'.*is 'neutral'"):
        write_predictions(path, make_predictions(**tie), LABELS)


def test_another_order_of_the_labels_is_refused_naming_both(tmp_path):
    path = tmp_path / "predictions.csv"
    write_predictions(path, make_predictions(), LABELS)
    with pytest.raises(
        ValueError, match="expected .*p_sad', 'p_happy.*found .*p_happy', 'p_sad"
    ):
        read_predictions(path, ["neutral", "sad", "happy"])


@pytest.mark.parametrize("columns", [{"p_fear": 0.0}, {"extra": "x"}])
def test_a_column_too_many_is_refused(tmp_path, columns):
    with pytest.raises(ValueError, match="expected the columns"):
        write_predictions(tmp_path / "p.csv", make_predictions(**columns), LABELS)
    assert not (tmp_path / "p.csv").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"id": ["a", "a"]}, "1 ids .* first is 'a'"),
        ({"label": ["happy", "fear"]}, "b has the label 'fear'"),
        ({"prediction": ["joy", "neutral"]}, "a has the prediction 'joy'"),
        ({"prediction": ["happy", "sad"]}, "prediction of b is 'sad'.*'neutral'"),
        ({"p_sad": [0.2, 0.2]}, r"probabilities of b are \[0.6, 0.3, 0.2\]"),
        ({"p_neutral": [0.5, 0.6], "p_sad": [-0.2, 0.1]}, "probabilities of a are"),
        ({"p_sad": [0.2, float("nan")]}, "probabilities of b are"),
    ],
)
def test_an_unsound_row_is_named(tmp_path, changed, message):
    with pytest.raises(ValueError, match=message):
        write_predictions(tmp_path / "p.csv", make_predictions(**changed), LABELS)


def test_a_missing_probability_in_a_file_is_named(tmp_path):
    path = tmp_path / "predictions.csv"
    write_predictions(path, make_predictions(), LABELS)
    path.write_text(path.read_text().replace("0.700000", ""))
    with pytest.raises(ValueError, match="predictions.csv has a probability"):
        read_predictions(path, LABELS)


def test_a_table_made_from_probabilities_predicts_the_most_probable_label(tmp_path):
    probabilities = np.array([[0.1, 0.7, 0.2], [0.4, 0.2, 0.4]])
    table = prediction_table(["a", "b"], probabilities, LABELS)
    assert table["prediction"].tolist() == ["happy", "neutral"]
    table.insert(1, "speaker", "1")
    table.insert(2, "label", "sad")
    write_predictions(tmp_path / "predictions.csv", table, LABELS)
