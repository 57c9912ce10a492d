"""A user's table: what is fine is read, what is not is named by line and column."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_lib.audio import read_audio
from ser_lib.corpora import Utterance, read_csv_table, read_utterances
from ser_lib.corpora.csv_table import folder_of, labels_of, read_corpus
from ser_lib.settings import Settings

NAMES = ["a.wav", "b b.flac", "{c}, $d.ogg", "Grüße/日本.mp3"]
CORPUS = {"labels": ["calm", "sad"], "sample_rate_hz": 16000}


@pytest.fixture
def folder(tmp_path):
    """Four files of half a second, of four kinds, rates and numbers of channels."""
    for k, (name, rate_hz) in enumerate(
        zip(NAMES, (8000, 16000, 44100, 48000), strict=True)
    ):
        path = tmp_path / "my data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(k).normal(0, 0.1, (rate_hz // 2, 1 + k % 2))
        soundfile.write(path, noise, rate_hz)
    return tmp_path / "my data"


def _write(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "my.csv"
    path.write_bytes(text.encode(encoding))
    return path


GOOD = """path,label,speaker
a.wav,sad,Ann
b b.flac,calm,Ann
"{c}, $d.ogg",sad,Bob
Grüße/日本.mp3,calm,Bob
"""


def _read(table: Path, **corpus) -> list[Utterance]:
    return read_corpus(folder_of(table), CORPUS | corpus, table)


def test_every_kind_of_file_is_read_with_the_length_that_training_sees(folder):
    utterances = _read(_write(folder, GOOD))
    assert [u.path for u in utterances] == [u.id for u in utterances] == NAMES
    assert [u.label for u in utterances] == ["sad", "calm", "sad", "calm"]
    assert [u.speaker for u in utterances] == ["Ann", "Ann", "Bob", "Bob"]
    for u in utterances:
        assert len(read_audio(folder / u.path, 16000)) == u.duration_s * 16000
    # MP3 comes in frames of 1,152 samples; the others are exact.
    assert [u.duration_s for u in utterances[:3]] == [0.5, 0.5, 0.5]
    assert utterances[3].duration_s == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("change", "encoding"),
    [
        (lambda text: text, "utf-8-sig"),
        (lambda text: text.replace("\n", "\r\n"), "utf-8"),
        (lambda text: text.replace("\n", "\n,,\n"), "utf-8"),  # blank in a spreadsheet
        (lambda text: text.replace("sad,", " sad , "), "utf-8"),
        (lambda text: text.replace("a.wav", "./a.wav"), "utf-8"),
    ],
    ids=["byte order mark", "Windows", "blank rows", "spaces", "dot"],
)
def test_tables_may_come_from_anywhere(folder, change, encoding):
    expected = [u.path for u in _read(_write(folder, GOOD))]
    found = _read(_write(folder, change(GOOD), encoding))
    assert [u.path for u in found] == expected
    assert [u.label for u in found] == ["sad", "calm", "sad", "calm"]


def test_absolute_paths_and_another_data_folder_are_fine(folder, tmp_path):
    elsewhere = tmp_path / "tables"
    elsewhere.mkdir()
    absolute = GOOD.replace("a.wav", str(folder / "a.wav"))
    table = _write(elsewhere, absolute)
    assert read_corpus(folder, CORPUS, table)[0].path == str(folder / "a.wav")
    table = _write(elsewhere, GOOD.replace("a.wav", "../my data/a.wav"))
    assert read_corpus(folder, CORPUS, table)[0].path == "../my data/a.wav"


def test_optional_columns_are_kept_and_unknown_ones_are_named(folder, caplog):
    lines = GOOD.splitlines()
    text = lines[0] + ",text,session,id,age\n"
    text += "".join(
        f'{line},"Well, {k}\nno",s{k},u{k},3{k}\n' for k, line in enumerate(lines[1:])
    )
    first, second, *_ = _read(_write(folder, text))
    assert (first.id, first.session, first.text) == ("u0", "s0", "Well, 0\nno")
    assert second.id == "u1"
    assert "columns ['age'] are not used" in caplog.text
    assert [row.line for row in read_csv_table(folder / "my.csv")] == [2, 4, 6, 8]


def test_columns_of_groups_are_kept_and_need_a_value_in_each_row(folder, caplog):
    text = GOOD.replace("speaker\n", "speaker,gender\n").replace("Ann\n", "Ann,f\n")
    table = _write(folder, text.replace("Bob\n", "Bob, m \n"))
    rows = read_csv_table(table, ["gender", "speaker"])
    assert rows[0].groups == {"gender": "f", "speaker": "Ann"}
    assert rows[3].groups == {"gender": "m", "speaker": "Bob"}
    assert "not used" not in caplog.text
    with pytest.raises(ValueError, match="missing: age"):
        read_csv_table(table, ["age"])
    table = _write(folder, text.replace("Bob\n", "Bob,\n"))
    with pytest.raises(ValueError, match="line 4, column gender: expected a value"):
        read_csv_table(table, ["gender"])


def test_labels_are_sorted(folder):
    assert labels_of(_write(folder, GOOD)) == ["calm", "sad"]


# Old text -> new text of the good table, and what the error says.
FAULTS = {
    "no column": (
        "speaker",
        "who",
        r"line 1: expected .* speaker, found .*who; missing",
    ),
    "semicolons": (",", ";", r"line 1: .* missing: path.* Are there commas"),
    "column twice": (
        "speaker\n",
        "speaker,label\n",
        "line 1: the column label occurs twice",
    ),
    "NUL": ("sad,Ann", "s\0d,Ann", "line 2, column label: expected text, found a NUL"),
    "NUL in a path": ("a.wav", "a\0.wav", "line 2, column path: expected text, found"),
    "no comma": ("wav,sad,Ann", "wav,sad", r"line 2: expected 3 values, .* found 2"),
    "bare comma": ('"{c}, $d.ogg"', "{c}, $d.ogg", r"line 4: .* found 4: .* quotation"),
    "open quotes": (
        "wav,sad",
        'wav,"sad',
        r"line 2: .* quotation marks .* found an err",
    ),
    "no label": (
        "calm,Ann",
        ",Ann",
        "line 3, column label: expected a value, found no",
    ),
    "no path": ("a.wav", " ", "line 2, column path: expected a value, found nothing"),
    "no such file": (
        "a.wav",
        "e.wav",
        r"path: 1 of 4 files do not exist: line 2: .*e.w",
    ),
    "file twice": ("b b.flac", "./a.wav", r"lines 2 and 3, column path: .* 2 times"),
    "one speaker": (
        "Bob",
        "Ann",
        r"different values in the column speaker, found \['Ann",
    ),
    "one label": (
        "calm",
        "sad",
        r"different values in the column label, found \['sad'",
    ),
    "only names": (GOOD[19:], "", "in the column label, found .. in 0 rows"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_table_is_refused_with_line_and_column(folder, fault):
    old, new, message = FAULTS[fault]
    assert old in GOOD
    table = _write(folder, GOOD.replace(old, new))
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        _read(table)
    assert str(table) in str(error.value)


def test_a_table_in_another_encoding_is_refused(folder):
    with pytest.raises(
        ValueError, match="line 5: expected text in UTF-8, .* byte 0xfc"
    ):
        _read(_write(folder, GOOD.replace("日本", "x"), "latin-1"))


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no table .*none.csv. .* --csv"):
        read_csv_table(tmp_path / "none.csv")


def test_all_unreadable_files_are_counted_and_the_first_are_listed(folder):
    good = "".join(f"bad{k}.wav,sad,Ann\n" for k in range(7))
    for k in range(7):
        (folder / f"bad{k}.wav").write_bytes(b"x" * k)
    with pytest.raises(ValueError, match="path: 7 of 11 files cannot be read") as error:
        _read(_write(folder, GOOD + good))
    text = str(error.value)
    assert "line 6: " in text
    assert "bad0.wav is empty" in text
    assert "bad4.wav cannot be read" in text
    assert "bad5.wav" not in text
    assert text.endswith("; ...")


def test_a_link_to_a_file_of_the_table_is_the_same_file(folder):
    (folder / "link.wav").symlink_to(folder / "a.wav")
    with pytest.raises(ValueError, match="lines 2 and 6, column path"):
        _read(_write(folder, GOOD + "link.wav,sad,Bob\n"))


@pytest.mark.parametrize(
    "labels", [["calm", "sad", "glad"], ["calm", "sad", "sad"], ["calm"], [1, 2]]
)
def test_given_labels_must_be_those_of_the_table(folder, labels):
    path = Path(__file__).parents[1] / "recipes" / "Custom" / "hparams"
    given = {"csv": str(_write(folder, GOOD)), "labels": labels}
    settings = Settings.from_file(path / "fbank_ecapa.yaml", given)
    expected = re.escape(f"labels is {labels}; expected") + r".*once: \['calm', 'sad'\]"
    with pytest.raises(ValueError, match=expected):
        read_utterances(settings)
