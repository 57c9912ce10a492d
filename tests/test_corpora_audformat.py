"""A database in audformat is read as a table of one's own recordings is."""

import sys

import audformat
import numpy as np
import pandas as pd
import pytest
import soundfile

from ser_lib.corpora import read_csv_table, read_utterances
from ser_lib.settings import RECIPES, Settings

FILES = [f"wav/{i}.wav" for i in range(8)]
LABELS = ["angry", "calm"] * 4


def write_database(folder, segmented=False, speaker=True, labels=LABELS):
    """Two labels and four speakers, in two tables, as audb has them."""
    database = audformat.Database("calls")
    database.schemes["emotion"] = audformat.Scheme(labels=["angry", "calm"])
    if speaker:
        database.schemes["speaker"] = audformat.Scheme(
            audformat.define.DataType.INTEGER
        )
        database.schemes["transcription"] = audformat.Scheme()
        database["files"] = audformat.Table(audformat.filewise_index(FILES))
        database["files"]["speaker"] = audformat.Column(scheme_id="speaker")
        database["files"]["speaker"].set([i // 2 for i in range(8)])
        database["files"]["text"] = audformat.Column(scheme_id="transcription")
        database["files"]["text"].set([f"Call {i}." for i in range(8)])
    index = audformat.filewise_index(FILES)
    if segmented:
        starts, ends = ["0s"] * 8, [pd.NaT] * 7 + ["0.3s"]
        index = audformat.segmented_index(FILES, starts, ends)
    database["emotion"] = audformat.Table(index)
    database["emotion"]["emotion"] = audformat.Column(scheme_id="emotion")
    database["emotion"]["emotion"].set(labels)
    database.save(str(folder))
    for k, file in enumerate(FILES):
        path = folder / file
        path.parent.mkdir(exist_ok=True)
        noise = np.random.default_rng(k).normal(0, 0.1, 8000)
        soundfile.write(path, noise, 16000)
    return folder / "db.yaml"


def test_a_database_has_the_rows_of_a_table(tmp_path):
    rows = read_csv_table(write_database(tmp_path))
    assert [row.path for row in rows] == FILES
    assert [row.label for row in rows] == ["angry", "calm"] * 4
    assert [row.speaker for row in rows] == ["0", "0", "1", "1", "2", "2", "3", "3"]
    assert rows[5].text == "Call 5."


def test_a_database_is_prepared_like_a_table(tmp_path):
    path = RECIPES / "Custom" / "hparams" / "fbank_ecapa.yaml"
    settings = Settings.from_file(path, {"csv": str(write_database(tmp_path))})
    assert settings["labels"] == ["angry", "calm"]
    utterances = read_utterances(settings)
    assert {u.duration_s for u in utterances} == {0.5}
    assert len(settings["make_folds"](utterances)) == 4  # each speaker is left out


def test_labels_of_parts_of_files_are_refused_with_their_number(tmp_path):
    with pytest.raises(ValueError, match="1 of 8 labels are of parts of files"):
        read_csv_table(write_database(tmp_path, segmented=True))


def test_a_missing_scheme_is_named(tmp_path):
    with pytest.raises(ValueError, match="emotion and speaker, found emotion"):
        read_csv_table(write_database(tmp_path, speaker=False))


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "db.yaml").write_text("corpus: {}\n")
    with pytest.raises(ValueError, match=r"db\.yaml cannot be read as a database"):
        read_csv_table(tmp_path / "db.yaml")
    with pytest.raises(FileNotFoundError, match="There is no database"):
        read_csv_table(tmp_path / "none.yaml")


def _damage(name, database):
    table = database.with_name(f"db.{name}.parquet")
    if not table.is_file():
        table = database.with_name(f"db.{name}.csv")
    return table


@pytest.mark.parametrize("fault", ["missing", "cut", "yaml", "contradiction"])
def test_a_damaged_database_is_refused_in_one_line(tmp_path, fault):
    database = write_database(tmp_path)
    table = _damage("emotion", database)
    if fault == "missing":
        table.unlink()
    elif fault == "cut":
        table.write_bytes(table.read_bytes()[:100])
    elif fault == "yaml":
        database.write_text("a: [1")
    else:
        loaded = audformat.Database.load(str(tmp_path))
        loaded["other"] = audformat.Table(audformat.filewise_index(FILES[:1]))
        loaded["other"]["emotion"] = audformat.Column(scheme_id="emotion")
        loaded["other"]["emotion"].set(["calm"])
        loaded.save(str(tmp_path))
    with pytest.raises(ValueError, match=r"db\.yaml cannot be read as a database") as e:
        read_csv_table(database)
    assert "\n" not in str(e.value)


def test_files_without_a_label_are_counted(tmp_path, caplog):
    labels = ["angry", None, "calm", None] + ["calm"] * 4
    database = write_database(tmp_path, labels=labels)
    assert len(read_csv_table(database)) == 6
    assert "2 rows have no emotion" in caplog.text


def test_without_audformat_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "audformat", None)
    with pytest.raises(ModuleNotFoundError, match="pip install audformat=="):
        read_csv_table(tmp_path / "db.yaml")
