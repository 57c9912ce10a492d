"""Audio hashes: the same for what sounds the same, and computed once."""

import csv
import os
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from ser_lib.corpora import Utterance, audio_hashes, with_audio_hashes
from ser_lib.corpora.audio_hashes import audio_hash
from ser_lib.folds import Fold, fold_digest

NOISE = np.random.default_rng(0).integers(-(2**15), 2**15, 800).astype(np.int16)


def _write(path, samples=NOISE, rate_hz=16000, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate_hz, **options)
    return path


@pytest.mark.parametrize(
    ("name", "samples", "options"),
    [
        ("b.wav", NOISE, {"subtype": "PCM_24"}),
        ("b.wav", NOISE / np.float32(2**15), {"subtype": "FLOAT"}),
        ("b.flac", NOISE, {}),
        ("b.aiff", NOISE, {}),
        ("b.wav", np.stack([NOISE, NOISE], axis=1), {}),
    ],
    ids=["24 bits", "floats", "flac", "aiff", "two equal channels"],
)
def test_another_container_of_the_same_samples_has_the_same_hash(
    tmp_path, name, samples, options
):
    original = _write(tmp_path / "a.wav", subtype="PCM_16")
    copy = _write(tmp_path / name, samples, **options)
    assert original.read_bytes() != copy.read_bytes()
    assert audio_hash(original) == audio_hash(copy)


def test_a_title_in_the_header_does_not_change_the_hash(tmp_path):
    _write(tmp_path / "a.wav")
    with soundfile.SoundFile(tmp_path / "b.wav", "w", 16000, 1) as f:
        f.title = "another title"
        f.write(NOISE)
    assert b"another title" in (tmp_path / "b.wav").read_bytes()
    assert audio_hash(tmp_path / "a.wav") == audio_hash(tmp_path / "b.wav")


def test_the_smallest_change_of_one_sample_changes_the_hash(tmp_path):
    changed = NOISE.copy()
    changed[400] ^= 1
    first = audio_hash(_write(tmp_path / "a.wav"))
    assert audio_hash(_write(tmp_path / "b.wav", changed)) != first
    assert audio_hash(_write(tmp_path / "c.wav", NOISE[:-1])) != first


CORPUS = [
    Utterance("a", "one/a.wav", "sad", "A", 0.05),
    Utterance("b", 'with, comma and "ü"/b.wav', "sad", "B", 0.05),
]


@pytest.fixture
def data(tmp_path):
    for seed, u in enumerate(CORPUS):
        _write(tmp_path / "DATA" / u.path, NOISE[seed:])
    return tmp_path / "DATA"


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that are decoded."""
    names = []

    def counting(path):
        names.append(os.path.basename(path))
        return audio_hash(path)

    monkeypatch.setattr(audio_hashes, "audio_hash", counting)
    return names


def test_a_file_is_decoded_once_and_its_hash_kept(data, tmp_path, decoded):
    cache = tmp_path / "work" / "audio_hashes.csv"
    first = with_audio_hashes(CORPUS, data, cache)
    assert [u.audio_hash for u in first] == [audio_hash(data / u.path) for u in CORPUS]
    assert [replace(u, audio_hash="") for u in first] == CORPUS
    assert with_audio_hashes(CORPUS, data, cache) == first
    assert decoded == ["a.wav", "b.wav"]
    assert [p.name for p in cache.parent.iterdir()] == ["audio_hashes.csv"]


def test_a_file_that_two_utterances_share_is_decoded_once(data, tmp_path, decoded):
    twice = [CORPUS[0], replace(CORPUS[0], id="c")]
    with_audio_hashes(twice, data, tmp_path / "audio_hashes.csv")
    assert decoded == ["a.wav"]


def test_hashes_of_other_corpora_stay_in_the_cache(data, tmp_path, decoded):
    cache = tmp_path / "audio_hashes.csv"
    for utterance in (*CORPUS, *CORPUS):
        with_audio_hashes([utterance], data, cache)
    assert decoded == ["a.wav", "b.wav"]


def test_audio_replaced_by_audio_of_the_same_length_is_noticed(data, tmp_path):
    cache = tmp_path / "audio_hashes.csv"
    before = with_audio_hashes(CORPUS, data, cache)
    path = data / CORPUS[0].path
    size, changed_ns = path.stat().st_size, path.stat().st_mtime_ns
    _write(path, NOISE[::-1])
    os.utime(path, ns=(changed_ns, changed_ns + 1))  # however coarse the clock is
    after = with_audio_hashes(CORPUS, data, cache)
    assert path.stat().st_size == size
    assert after[0].audio_hash == audio_hash(path) != before[0].audio_hash
    assert after[1] == before[1]
    # So what was trained on the old audio is not taken for trained on the new one.
    assert fold_digest(Fold(1, before, [], [])) != fold_digest(Fold(1, after, [], []))
    with open(cache, newline="") as f:
        assert len(list(csv.DictReader(f))) == 2


def test_audio_replaced_with_its_size_and_time_set_back_is_noticed(data, tmp_path):
    cache = tmp_path / "audio_hashes.csv"
    before = with_audio_hashes(CORPUS, data, cache)
    path = data / CORPUS[0].path
    old = path.stat()
    _write(path, NOISE[::-1])
    while path.stat().st_ctime_ns == old.st_ctime_ns:  # however coarse the clock is
        os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))  # as cp -p and rsync do
    new = path.stat()
    assert (new.st_size, new.st_mtime_ns) == (old.st_size, old.st_mtime_ns)
    after = with_audio_hashes(CORPUS, data, cache)
    assert after[0].audio_hash == audio_hash(path) != before[0].audio_hash
    assert after[1] == before[1]


def test_a_cache_of_an_earlier_version_is_made_anew(data, tmp_path, decoded):
    cache = tmp_path / "audio_hashes.csv"
    path = data / CORPUS[0].path
    status = path.stat()
    cache.write_text(
        "path,size_bytes,modified_ns,audio_hash\n"
        f"{path},{status.st_size},{status.st_mtime_ns},0123456789abcdef\n"
    )
    assert with_audio_hashes(CORPUS, data, cache)[0].audio_hash == audio_hash(path)
    assert decoded == ["a.wav", "b.wav"]


def test_a_file_that_is_missing_or_cut_off_is_named(data, tmp_path):
    cache = tmp_path / "audio_hashes.csv"
    path = data / CORPUS[1].path
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="b.wav is cut off"):
        with_audio_hashes(CORPUS, data, cache)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="b.wav does not exist"):
        with_audio_hashes(CORPUS, data, cache)
    assert not cache.exists()


@pytest.mark.parametrize(("few", "shown"), [(2, True), (3, False)])
def test_a_big_corpus_shows_its_progress(
    data, tmp_path, monkeypatch, capsys, few, shown
):
    monkeypatch.setattr(audio_hashes, "_MIN_FILES_FOR_BAR", few)
    monkeypatch.setattr("ser_lib.utils.progress.on_terminal", lambda: True)
    with_audio_hashes(CORPUS, data, tmp_path / "audio_hashes.csv")
    assert ("hashing audio: 100 %" in capsys.readouterr().err) == shown
