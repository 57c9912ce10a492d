"""RAVDESS: the release is read as it stands, and anything else is named."""

import hashlib
import os
import re
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import soundfile
from hyperpyyaml import load_hyperpyyaml
from web_server import running_web_server

from ser_lib.corpora import Utterance, validate
from ser_lib.corpora.ravdess import read_corpus
from ser_lib.folds import audit_folds

CORPUS_YAML = Path(__file__).parents[1] / "recipes" / "RAVDESS" / "corpus.yaml"
EMOTIONS = "neutral calm happy sad angry fearful disgust surprised".split()
CLASS_COUNTS = {**dict.fromkeys(EMOTIONS, 192), "neutral": 96}
# Angry, strong, dogs, second repetition, actor 7.
ONE = "Actor_07/03-01-05-02-02-02-07.wav"


def _settings(data_folder):
    text = f"data_folder: {data_folder}\n" + CORPUS_YAML.read_text(encoding="utf-8")
    return load_hyperpyyaml(text)


CORPUS = _settings("none")["corpus"]


def _names_of_the_release():
    """Written out by hand, so as not to repeat the parser's way."""
    # Intensity, statement, repetition; neutral has the first four only.
    takes = "01-01-01 01-01-02 01-02-01 01-02-02 02-01-01 02-01-02 02-02-01 02-02-02"
    for actor in range(1, 25):
        for emotion in range(1, 9):
            for take in takes.split()[: 4 if emotion == 1 else 8]:
                yield f"Actor_{actor:02}/03-01-{emotion:02}-{take}-{actor:02}.wav"


@pytest.fixture(scope="session")
def quarter_second_wav(tmp_path_factory):
    path = tmp_path_factory.mktemp("ravdess_wav") / "a.wav"
    soundfile.write(path, [0.1] * 4000, 16000, subtype="PCM_16")
    return path.read_bytes()


@pytest.fixture(scope="session")
def whole_corpus(tmp_path_factory, quarter_second_wav):
    """All 1,440 names of the release; not to be changed."""
    folder = tmp_path_factory.mktemp("ravdess") / "RAVDESS"
    for name in _names_of_the_release():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(quarter_second_wav)
    return folder


@pytest.fixture
def corpus(whole_corpus, tmp_path):
    """A copy of the corpus that a test may spoil."""
    # Hard links are quick, and removing or adding one leaves the original as it is.
    return shutil.copytree(whole_corpus, tmp_path / "RAVDESS", copy_function=os.link)


def _add(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_published_recordings_are_all_read(shared_data):
    folder = shared_data / "RAVDESS"
    utterances = read_corpus(folder, CORPUS)
    validate(utterances, CORPUS, folder)
    assert Counter(u.label for u in utterances) == CLASS_COUNTS
    assert Counter(u.speaker for u in utterances) == Counter(
        {f"{actor:02}": 60 for actor in range(1, 25)}
    )
    assert min(u.duration_s for u in utterances) == pytest.approx(2.936, abs=0.001)
    assert 1.4 < sum(u.duration_s for u in utterances) / 3600 < 1.5  # hours


def test_corpus_yaml_holds_the_numbers_of_the_release():
    assert CORPUS["counts"] == CLASS_COUNTS
    assert CORPUS["labels"] == EMOTIONS
    assert sum(CORPUS["counts"].values()) == 1440
    assert CORPUS["archive"]["size_bytes"] == 208_468_073
    assert CORPUS["archive"]["md5"] == "bc696df654c87fed845eb13823edef8a"


def test_a_recording_is_described_by_its_name(whole_corpus):
    utterances = read_corpus(whole_corpus, CORPUS)
    validate(utterances, CORPUS, whole_corpus)
    one = next(u for u in utterances if u.path == ONE)
    text = "Dogs are sitting by the door"
    attributes = {"intensity": "strong", "gender": "male", "statement": "dogs"}
    assert one == Utterance(
        Path(ONE).stem, ONE, "angry", "07", 0.25, text=text, attributes=attributes
    )


def test_the_order_is_by_actor_then_by_name(whole_corpus):
    paths = [u.path for u in read_corpus(whole_corpus, CORPUS)]
    assert paths == list(_names_of_the_release())


def test_flac_files_in_place_of_wav_files_are_read(corpus):
    path = corpus / ONE
    samples, rate_hz = soundfile.read(path)
    path.unlink()
    soundfile.write(path.with_suffix(".flac"), samples, rate_hz)
    paths = [u.path for u in read_corpus(corpus, CORPUS)]
    assert len(paths) == 1440
    assert ONE.replace(".wav", ".flac") in paths


def test_a_stereo_recording_with_48_khz_is_fine(corpus):
    (corpus / ONE).unlink()
    soundfile.write(corpus / ONE, [[0.1, 0.2]] * 48000, 48000)
    one = next(u for u in read_corpus(corpus, CORPUS) if u.path == ONE)
    assert one.duration_s == 1.0


def test_files_that_macos_adds_are_not_looked_at(corpus):
    _add(corpus, "Actor_07/._03-01-05-02-02-02-07.wav", b"Mac OS X")
    _add(corpus, ".DS_Store", b"")
    assert len(read_corpus(corpus, CORPUS)) == 1440


def test_missing_recordings_are_counted_and_the_first_are_named(corpus):
    shutil.rmtree(corpus / "Actor_24")
    (corpus / ONE).unlink()
    with pytest.raises(
        ValueError, match="expected 1,440 .* found 1,379, missing 61"
    ) as e:
        read_corpus(corpus, CORPUS)
    first = "Actor_07/03-01-05-02-02-02-07, Actor_24/03-01-01-01-01-01-24, "
    assert first in str(e.value)
    assert str(e.value).count("Actor_24/") == 4


@pytest.mark.parametrize(
    "name",
    [
        "Actor_07/01-01-05-02-02-02-07.wav",  # sound of a video
        "Actor_07/03-02-05-02-02-02-07.wav",  # song
        "Actor_07/03-01-01-02-02-02-07.wav",  # neutral has no strong intensity
        "Actor_07/03-01-09-02-02-02-07.flac",  # there is no ninth emotion
        "Actor_07/03-01-05-02-02-02-08.wav",  # another actor's folder
        "audio_speech_actors_01-24/" + ONE,  # second copy, as circulates
        "03-01-05-02-02-02-07.WAV",  # not in the actor's folder
    ],
)
def test_a_file_that_does_not_belong_there_is_named(corpus, quarter_second_wav, name):
    path = _add(corpus, name, quarter_second_wav)
    with pytest.raises(ValueError, match="1 audio files do not belong") as error:
        read_corpus(corpus, CORPUS)
    assert str(path) in str(error.value)
    assert f"out of {corpus}" in str(error.value)


@pytest.mark.parametrize("name", ["03-01-05.wav", "03-01-05-02-02-02-07 (1).wav"])
def test_a_name_that_cannot_be_read_is_named(corpus, quarter_second_wav, name):
    path = _add(corpus, f"Actor_07/{name}", quarter_second_wav)
    with pytest.raises(ValueError, match="1 audio files do not have the name") as error:
        read_corpus(corpus, CORPUS)
    assert str(path) in str(error.value)


def test_a_recording_that_is_there_as_wav_and_as_flac_is_named(corpus):
    flac = (corpus / ONE).with_suffix(".flac")
    soundfile.write(flac, [0.1] * 4000, 16000)
    expected = f"1 recordings occur twice, the first as {flac} and {corpus / ONE}"
    with pytest.raises(ValueError, match=re.escape(expected)):
        read_corpus(corpus, CORPUS)


def test_an_empty_recording_is_named(corpus):
    (corpus / ONE).unlink()
    (corpus / ONE).touch()
    with pytest.raises(ValueError, match=re.escape(f"{corpus / ONE} is empty")):
        read_corpus(corpus, CORPUS)


@pytest.mark.parametrize("wrong", ["..", "Actor_01"])
def test_a_folder_one_level_away_gets_the_right_path(corpus, wrong):
    wrong_folder = (corpus / wrong).resolve()
    with pytest.raises(FileNotFoundError, match=r"looked for Actor_01 \.\. A") as error:
        read_corpus(wrong_folder, CORPUS)
    there = "RAVDESS (1 in total)" if wrong == ".." else "03-01-01-01-01-01-01.wav, "
    assert f"{wrong_folder} is not the RAVDESS folder" in str(error.value)
    assert f"found {there}" in str(error.value)
    assert str(error.value).endswith(f"The right folder is {corpus}.")


def test_a_folder_of_something_else_is_not_filled(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(FileNotFoundError, match="found thesis.tex .* empty folder"):
        read_corpus(tmp_path, CORPUS)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_place_of_a_folder_is_named(tmp_path):
    archive = tmp_path / "Audio_Speech_Actors_01-24.zip"
    archive.touch()
    with pytest.raises(FileNotFoundError, match=f"{archive} is not a folder"):
        read_corpus(archive, CORPUS)


@pytest.fixture(scope="session")
def published_archive(whole_corpus, tmp_path_factory):
    """The corpus, packed as the official archive is: no folder above the actors'."""
    archive = tmp_path_factory.mktemp("ravdess_zip") / "published.zip"
    with zipfile.ZipFile(archive, "w") as f:
        for path in sorted(whole_corpus.rglob("*.wav")):
            f.write(path, path.relative_to(whole_corpus))
    return archive.read_bytes()


@pytest.fixture
def server(published_archive):
    with running_web_server() as server:
        server.content = published_archive
        yield server


@pytest.fixture
def published_corpus(server):
    archive = {
        "url": server.url,
        "size_bytes": len(server.content),
        "md5": hashlib.md5(server.content).hexdigest(),
    }
    return {**CORPUS, "archive": archive}


def test_a_missing_folder_is_made_and_filled_with_the_archive(
    server, published_corpus, tmp_path
):
    data_folder = tmp_path / "new" / "RAVDESS"
    utterances = read_corpus(data_folder, published_corpus)
    validate(utterances, published_corpus, data_folder)
    assert all((data_folder / u.path).is_file() for u in utterances)
    assert read_corpus(data_folder, published_corpus) == utterances
    assert server.ranges == [None]  # downloaded once


def test_a_download_that_was_cut_goes_on_with_the_next_run(
    server, published_corpus, tmp_path
):
    data_folder = tmp_path / "RAVDESS"
    data_folder.mkdir()  # empty is as good as missing
    server.cut_after_bytes = 1000
    with pytest.raises(ConnectionError, match="Run the same command again"):
        read_corpus(data_folder, published_corpus)
    server.cut_after_bytes = None
    assert len(read_corpus(data_folder, published_corpus)) == 1440
    assert server.ranges == [None, "bytes=1000-"]


def test_an_archive_put_into_the_folder_by_hand_is_unpacked(
    server, published_corpus, tmp_path
):
    _add(tmp_path, "RAVDESS/corpus.zip", server.content)
    assert len(read_corpus(tmp_path / "RAVDESS", published_corpus)) == 1440
    assert server.ranges == []


def _validation_actors(test_lists, fold):
    """The first man and the first woman of the lists after the fold's own."""
    following = [
        actor
        for step in range(1, len(test_lists))
        for actor in test_lists[(fold + step) % len(test_lists)]
    ]
    man = next(actor for actor in following if int(actor) % 2 == 1)
    woman = next(actor for actor in following if int(actor) % 2 == 0)
    return sorted([man, woman])


def test_the_validation_actors_follow_the_rule():
    test_lists = [fold["test"] for fold in CORPUS["folds"]]
    expected = [_validation_actors(test_lists, fold) for fold in range(6)]
    assert [fold["valid"] for fold in CORPUS["folds"]] == expected
    assert expected[0] == ["04", "09"]  # list 2 has women only: the man is from list 3


def test_every_actor_is_tested_once_and_eighteen_train(whole_corpus):
    settings = _settings(whole_corpus)
    folds = settings["make_folds"](settings["read_corpus"]())
    assert len(folds) == 6
    tested = [u.id for fold in folds for u in fold.test]
    assert len(tested) == len(set(tested)) == 1440
    audit_folds(folds, CORPUS).check()
    for fold in folds:
        sizes = {name: len({u.speaker for u in p}) for name, p in fold.parts.items()}
        assert sizes == {"train": 18, "valid": 2, "test": 4}
