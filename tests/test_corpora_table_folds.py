"""Folds of a user's table, its settings, and a whole run on it."""

import runpy
import sys
from pathlib import Path

import pandas as pd
import pytest
from hyperpyyaml import load_hyperpyyaml
from speechbrain.utils.run_opts import RunOptions

from ser_lib.corpora import read_csv_table
from ser_lib.folds.from_csv import make_folds, parts_sharing_speakers
from ser_lib.settings import Settings
from ser_lib.synthetic.corpora import write_table
from ser_lib.training import finetuning_settings, settings_key

RECIPE = Path(__file__).parents[1] / "recipes" / "Custom"


def _table(folder: Path, speakers: int, column: str = "", values=()) -> Path:
    """Each speaker says both labels twice; ``values`` has one for each speaker."""
    rows = [
        {"path": f"{s}{label}{k}.wav", "label": label, "speaker": f"s{s:02}"}
        | ({column: values[s]} if column else {})
        for s in range(speakers)
        for label in ("calm", "sad")
        for k in range(2)
    ]
    pd.DataFrame(rows).to_csv(folder / "my.csv", index=False)
    return folder / "my.csv"


def _folds(table: Path, **options):
    folds = make_folds(
        [row.utterance(1.0) for row in read_csv_table(table)], table, **options
    )
    return {
        fold.number: [sorted({u.speaker for u in p}) for p in fold.parts.values()]
        for fold in folds
    }


def test_few_speakers_are_left_out_one_by_one(tmp_path):
    table = _table(tmp_path, 3)
    assert _folds(table) == {
        1: [["s02"], ["s01"], ["s00"]],
        2: [["s02"], ["s00"], ["s01"]],
        3: [["s01"], ["s00"], ["s02"]],
    }
    assert parts_sharing_speakers(table) == []


def test_many_speakers_make_groups(tmp_path):
    table = _table(tmp_path, 11)
    assert len(_folds(table)) == 5
    assert len(_folds(table, n_folds=3)) == 3
    assert len(_folds(table, fold_by="speaker")) == 11


def test_speakers_without_all_labels_make_groups(tmp_path):
    table = _table(tmp_path, 6)
    rows = pd.read_csv(table)
    rows[(rows["speaker"] > "s02") | (rows["label"] == "sad")].to_csv(
        table, index=False
    )
    assert [len(test) for _, _, test in _folds(table, n_folds=3).values()] == [2, 2, 2]


def test_the_fold_column_says_who_is_tested(tmp_path):
    table = _table(tmp_path, 4, "fold", [2, 0, 2, 1])
    folds = _folds(table)
    assert {k: test for k, (_, _, test) in folds.items()} == {
        0: ["s01"],
        1: ["s03"],
        2: ["s00", "s02"],
    }
    assert all(not set(train) & set(valid) for train, valid, _ in folds.values())
    assert len(_folds(table, fold_by="speaker")) == 4


def test_the_split_column_is_taken_as_it_is(tmp_path):
    table = _table(tmp_path, 4, "split", ["test", "train", "valid", "train"])
    assert _folds(table) == {1: [["s01", "s03"], ["s02"], ["s00"]]}
    assert parts_sharing_speakers(table) == []


def test_without_valid_rows_validation_speakers_are_chosen(tmp_path):
    table = _table(tmp_path, 3, "split", ["test", "train", "train"])
    assert _folds(table) == {1: [["s02"], ["s01"], ["s00"]]}


def test_two_speakers_share_validation_with_a_warning(tmp_path, caplog):
    table = _table(tmp_path, 2)
    assert _folds(table) == {
        1: [["s01"], ["s01"], ["s00"]],
        2: [["s00"], ["s00"], ["s01"]],
    }
    assert "too few speakers for separate validation speakers" in caplog.text
    assert parts_sharing_speakers(table) == ["train-valid"]


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        (
            "split",
            ["test", "train", "dev"],
            "line 10, column split: expected one of tr",
        ),
        ("split", ["test", "test", "valid"], "column split: expected train and test"),
        ("fold", ["1", "2", "x"], "line 10, column fold: expected the number .* 'x'"),
        ("fold", [1, 1, 1], r"column fold: expected at least two folds, found \['1'\]"),
        ("fold", [1, 2, ""], "line 10, column fold: expected a value, found nothing"),
    ],
)
def test_a_faulty_column_is_refused(tmp_path, column, values, message):
    with pytest.raises(ValueError, match=message):
        _folds(_table(tmp_path, 3, column, values))


def test_a_speaker_in_two_folds_is_named_with_both_lines(tmp_path):
    table = _table(tmp_path, 3, "fold", [1, 2, 3])
    rows = pd.read_csv(table)
    rows.loc[5, "fold"] = 3  # line 7, of speaker s01, whose first is line 6
    rows.to_csv(table, index=False)
    message = (
        "line 7, column fold: the speaker s01 is in fold 3, and in line 6 in fold 2"
    )
    with pytest.raises(ValueError, match=message):
        _folds(table)
    rows["split"] = ["test"] * 5 + ["train"] * 7
    rows.drop(columns="fold").to_csv(table, index=False)
    with pytest.raises(ValueError, match="s01 is in split train, and in line 6 in spl"):
        _folds(table)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fold_by": "session"}, "fold_by: expected one of"),
        ({"fold_by": "column"}, "one of the columns fold and split, found neither"),
        ({"fold_by": "groups"}, "3 speakers cannot be split into 5 groups"),
    ],
)
def test_folds_that_cannot_be_made_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        _folds(_table(tmp_path, 3), **options)


def test_a_label_missing_in_a_part_is_named_with_its_speakers(tmp_path):
    table = _table(tmp_path, 4)
    rows = pd.read_csv(table)
    rows[(rows["speaker"] < "s02") | (rows["label"] == "calm")].to_csv(
        table, index=False
    )
    message = r"valid part of fold 1 has no .*\['sad'\]. sad has 2 speakers \(s00, s01"
    with pytest.raises(ValueError, match=message):
        _folds(table, fold_by="speaker")


def _settings(table: Path, **overrides) -> Settings:
    path = RECIPE / "hparams" / "fbank_ecapa.yaml"
    return Settings.from_file(path, {"csv": str(table), **overrides})


def test_the_settings_take_labels_and_protocol_from_the_table(tmp_path):
    settings = _settings(_table(tmp_path, 2))
    corpus = settings["corpus"]
    assert settings["labels"] == corpus["labels"] == ["calm", "sad"]
    assert corpus["name"] == "my.csv"
    assert corpus["allowed_overlap"]["speaker"] == ["train-valid"]
    assert settings["data_folder"] == str(tmp_path)
    loaded = load_hyperpyyaml(settings.text)
    assert loaded["corpus"] == corpus
    assert loaded["model"].labels == ["calm", "sad"]


def test_labels_on_the_command_line_hold_everywhere(tmp_path):
    settings = _settings(_table(tmp_path, 3), labels=["sad", "calm"])
    assert settings["labels"] == ["sad", "calm"]
    assert settings["model"].labels == ["sad", "calm"]


def test_the_first_stage_gets_the_table_and_the_labels(tmp_path):
    given = {"csv": str(_table(tmp_path, 2)), "labels": ["sad", "calm"]}
    settings = Settings.from_file(RECIPE / "hparams" / "hubert_ecapa.yaml", given)
    stage = finetuning_settings(settings, "upstream")
    assert stage["csv"] == given["csv"]
    assert stage["labels"] == given["labels"]
    assert stage["corpus"] == settings["corpus"]


def test_the_place_of_the_table_and_how_folds_are_made_keep_the_key(tmp_path):
    (tmp_path / "moved").mkdir()
    settings = _settings(_table(tmp_path, 3))
    moved = _settings(_table(tmp_path / "moved", 3), fold_by="groups", n_folds=2)
    other = _settings(_table(tmp_path, 3), labels=["sad", "calm"])
    keys = [settings_key(s, RunOptions()) for s in (settings, moved, other)]
    assert keys[0] == keys[1] != keys[2]


def test_a_run_without_a_table_asks_for_one():
    settings = Settings.from_file(RECIPE / "hparams" / "fbank_ecapa.yaml")
    with pytest.raises(ValueError, match="needs a value for .*give .*--csv"):
        settings["corpus"]


def test_the_recipe_trains_and_tests_a_fold_of_a_table(tmp_path, monkeypatch, capsys):
    table = write_table(tmp_path / "mine, {all} $", speakers=3, utterances=2)
    arguments = [
        "hparams/fbank_ecapa.yaml",
        f"--csv={table}",
        "--labels=[sad, happy, angry]",
        f"--results_folder={tmp_path / 'results'}",
        "--folds=1",
        "--number_of_epochs=1",
        "--num_workers=0",
        "--ecapa_channels=[8,8,8,8,24]",
        "--ecapa_attention_channels=4",
        "--noprogressbar",
    ]
    monkeypatch.chdir(RECIPE)
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    runpy.run_path("train.py", run_name="__main__")
    folder = tmp_path / "results" / "fbank_ecapa" / "seed_1986" / "fold_1"
    predictions = pd.read_csv(folder / "predictions.csv")
    assert set(predictions["speaker"]) == {"speaker 1"}
    assert list(predictions.columns[-3:]) == ["p_sad", "p_happy", "p_angry"]
    assert len(predictions) == 6
    printed = capsys.readouterr().out
    assert "The report is in" in printed
    report = folder.parent / "report" / "report.md"
    assert "fbank_ecapa on table.csv" in report.read_text()
