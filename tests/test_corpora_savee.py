"""SAVEE: both layouts are read alike, and anything else is named."""

import os
import re
import runpy
import shutil
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import soundfile
from hyperpyyaml import load_hyperpyyaml

from ser_lib.corpora import Utterance, validate
from ser_lib.corpora.savee import read_corpus
from ser_lib.folds import audit_folds
from ser_lib.synthetic.corpora import savee_counts, write_savee

RECIPE = Path(__file__).parents[1] / "recipes" / "SAVEE"
COUNTS = {
    "anger": 60,
    "disgust": 60,
    "fear": 60,
    "happiness": 60,
    "neutral": 120,
    "sadness": 60,
    "surprise": 60,
}


def _settings(data_folder):
    text = (RECIPE / "corpus.yaml").read_text(encoding="utf-8")
    return load_hyperpyyaml(f"data_folder: {data_folder}\n{text}")


CORPUS = _settings("none")["corpus"]


def _names_of_the_release():
    """Written out by hand, so as not to repeat the parser's way."""
    for speaker in ("DC", "JE", "JK", "KL"):
        for letters in ("a", "d", "f", "h", "n", "sa", "su"):
            for number in range(1, 31 if letters == "n" else 16):
                yield speaker, f"{letters}{number:02}.wav"


@pytest.fixture(scope="session")
def released(tmp_path_factory):
    """All 480 names of the release in its layout; not to be changed."""
    folder = tmp_path_factory.mktemp("savee")
    wav = folder / "quarter_second.wav"
    soundfile.write(wav, [0.1] * 11025, 44100, subtype="PCM_16")
    for speaker, name in _names_of_the_release():
        path = folder / "SAVEE" / "AudioData" / speaker / name
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(wav, path)
    (folder / "SAVEE" / "AudioData" / "Info.txt").write_text("Speakers ...")
    return folder / "SAVEE"


@pytest.fixture
def corpus(released, tmp_path):
    """A copy in the released layout that a test may spoil."""
    return shutil.copytree(released, tmp_path / "SAVEE", copy_function=os.link)


@pytest.fixture
def all_in_one(released, tmp_path):
    """A copy in the layout that circulates."""
    folder = tmp_path / "SAVEE" / "ALL"
    folder.mkdir(parents=True)
    for speaker, name in _names_of_the_release():
        os.link(released / "AudioData" / speaker / name, folder / f"{speaker}_{name}")
    return folder.parent


def test_corpus_yaml_holds_the_numbers_of_the_release():
    assert CORPUS["counts"] == savee_counts() == COUNTS
    assert CORPUS["labels"] == list(COUNTS)
    assert sum(COUNTS.values()) == 480


def test_a_recording_is_described_by_its_name(released):
    utterances = read_corpus(released, CORPUS)
    validate(utterances, CORPUS, released)
    assert Counter(u.label for u in utterances) == COUNTS
    assert set(Counter(u.speaker for u in utterances).values()) == {120}
    by_id = {u.id: u for u in utterances}
    for name, label in (("sa03", "sadness"), ("su03", "surprise"), ("a03", "anger")):
        assert by_id[f"JK_{name}"] == Utterance(
            f"JK_{name}",
            f"AudioData/JK/{name}.wav",
            label,
            "JK",
            0.25,
            attributes={"gender": "male"},
        )


@pytest.mark.parametrize("inside", ["", "ALL"])
def test_both_layouts_give_the_same_utterances(released, all_in_one, inside):
    def without_paths(utterances):
        return [(u.id, u.label, u.speaker, u.duration_s) for u in utterances]

    folder = all_in_one / inside
    found = read_corpus(folder, CORPUS)
    assert without_paths(found) == without_paths(read_corpus(released, CORPUS))
    assert all((folder / u.path).is_file() for u in found)


def test_the_folder_of_the_speakers_may_be_given(released):
    found = read_corpus(released / "AudioData", CORPUS)
    assert [u.path for u in found] == [
        f"{speaker}/{name}" for speaker, name in _names_of_the_release()
    ]


def test_flac_files_are_read_and_files_that_macos_adds_are_not(corpus):
    path = corpus / "AudioData" / "DC" / "a01.wav"
    path.unlink()
    soundfile.write(path.with_suffix(".flac"), [0.1] * 16000, 16000)
    path.with_name("._a02.wav").write_bytes(b"Mac OS X")
    first = read_corpus(corpus, CORPUS)[0]
    assert (first.path, first.duration_s) == ("AudioData/DC/a01.flac", 1.0)


def test_a_missing_folder_says_where_to_register(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder .*none.* registration") as e:
        read_corpus(tmp_path / "none", CORPUS)
    assert "Register at http://kahlan.eps.surrey.ac.uk/savee/" in str(e.value)


def test_a_folder_of_something_else_says_what_was_looked_for(tmp_path):
    (tmp_path / "Actor_01").mkdir()
    expected = "AudioData/DC/a01.wav or ALL/DC_a01.wav, found Actor_01. Register"
    with pytest.raises(FileNotFoundError, match=re.escape(expected)):
        read_corpus(tmp_path, CORPUS)


def test_both_layouts_in_one_folder_are_refused(corpus, all_in_one):
    with pytest.raises(
        ValueError, match="twice, in .*AudioData and in .*ALL. Give one"
    ):
        read_corpus(corpus, CORPUS)


def test_missing_recordings_are_counted_and_the_first_are_named(corpus):
    shutil.rmtree(corpus / "AudioData" / "KL")
    (corpus / "AudioData" / "DC" / "su15.wav").unlink()
    with pytest.raises(
        ValueError, match="480 recordings, found 359, missing 121: "
    ) as e:
        read_corpus(corpus, CORPUS)
    assert ": DC_su15, KL_a01, KL_a02, KL_a03, KL_a04, ..." in str(e.value)


@pytest.mark.parametrize(
    "name", ["DC/a16.wav", "DC/s01.wav", "XX/a01.wav", "DC/a01 (1).wav", "DC/a/01.flac"]
)
def test_a_file_that_does_not_belong_there_is_named(corpus, name):
    path = corpus / "AudioData" / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    with pytest.raises(
        ValueError, match="1 audio files are not among the 480"
    ) as error:
        read_corpus(corpus, CORPUS)
    assert str(path) in str(error.value)


def test_a_recording_that_is_there_as_wav_and_as_flac_is_named(corpus):
    wav = corpus / "AudioData" / "JE" / "n30.wav"
    soundfile.write(wav.with_suffix(".flac"), [0.1] * 4000, 16000)
    with pytest.raises(ValueError, match="1 recordings occur twice.*n30") as error:
        read_corpus(corpus, CORPUS)
    assert str(wav) in str(error.value)


def test_a_damaged_recording_is_named(corpus):
    path = corpus / "AudioData" / "JE" / "n30.wav"
    path.unlink()
    path.write_bytes(b"no audio at all")
    with pytest.raises(ValueError, match=f"{re.escape(str(path))} cannot be read"):
        read_corpus(corpus, CORPUS)


def test_each_speaker_is_tested_once_and_the_protocol_holds(released):
    settings = _settings(released)
    folds = settings["make_folds"](settings["read_corpus"]())
    assert [{u.speaker for u in f.test} for f in folds] == [
        {"DC"},
        {"JE"},
        {"JK"},
        {"KL"},
    ]
    for fold in folds:
        assert [len(part) for part in fold.parts.values()] == [288, 72, 120]
        assert Counter(u.label for u in fold.valid)["neutral"] == 18  # 3 x 30 / 5
        assert Counter(u.label for u in fold.valid)["fear"] == 9  # 3 x 15 / 5
    audit = audit_folds(folds, CORPUS)
    audit.check()
    assert "train and valid share 3 speakers" in audit.summary()


def test_the_recipe_trains_and_tests_a_fold_of_a_stand_in(
    tmp_path, monkeypatch, capsys
):
    counts = savee_counts(2)
    arguments = [
        "hparams/fbank_ecapa.yaml",
        f"--data_folder={write_savee(tmp_path / 'SAVEE', 2)}",
        f"--results_folder={tmp_path / 'results'}",
        f"--corpus={{counts: {counts}}}",
        "--folds=2",
        "--number_of_epochs=1",
        "--ecapa_channels=[8,8,8,8,24]",
        "--ecapa_attention_channels=4",
        "--noprogressbar",
    ]
    monkeypatch.chdir(RECIPE)
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    runpy.run_path("train.py", run_name="__main__")
    folder = tmp_path / "results" / "fbank_ecapa" / "seed_1986" / "fold_2"
    predictions = pd.read_csv(folder / "predictions.csv")
    assert set(predictions["speaker"]) == {"JE"}
    assert Counter(predictions["label"]) == {
        label: n // 4 for label, n in counts.items()
    }
    assert "The report is in" in capsys.readouterr().out
