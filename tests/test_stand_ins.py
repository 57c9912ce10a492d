"""Stand-ins: the official names, read by the parsers, no recording twice."""

from collections import Counter
from hashlib import sha256
from pathlib import Path

import soundfile
from hyperpyyaml import load_hyperpyyaml

from ser_lib.corpora import ravdess, savee, validate
from ser_lib.synthetic.corpora import (
    savee_counts,
    write_ravdess,
    write_savee,
    write_table,
)

RECIPES = Path(__file__).parents[1] / "recipes"


def _corpus(corpus: str) -> dict:
    text = (RECIPES / corpus / "corpus.yaml").read_text(encoding="utf-8")
    return load_hyperpyyaml(f"data_folder: none\n{text}")["corpus"]


def _contents(folder: Path) -> list[str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [sha256(path.read_bytes()).hexdigest() for path in files]


def test_a_stand_in_for_ravdess_is_read_like_the_release(tmp_path):
    corpus = _corpus("RAVDESS")
    utterances = ravdess.read_corpus(write_ravdess(tmp_path, small=True), corpus)
    validate(utterances, corpus, tmp_path)
    assert len(set(_contents(tmp_path))) == 1440


def test_a_stand_in_for_savee_is_read_with_its_counts(tmp_path):
    corpus = _corpus("SAVEE") | {"counts": savee_counts(1)}
    utterances = savee.read_corpus(write_savee(tmp_path, 1), corpus)
    validate(utterances, corpus, tmp_path)
    assert len(set(_contents(tmp_path))) == len(utterances) == 32


def test_the_seed_alone_decides(tmp_path):
    first = _contents(write_savee(tmp_path / "first", 1))
    assert _contents(write_savee(tmp_path / "again", 1)) == first
    other = _contents(write_savee(tmp_path / "other", 1, seed=1))
    assert not set(other) & set(first)


def test_a_table_has_files_of_all_kinds_that_do_not_give_the_label_away(tmp_path):
    table = write_table(tmp_path, speakers=2, utterances=4)
    files = [path for path in tmp_path.rglob("*") if path != table and path.is_file()]
    assert Counter(path.suffix for path in files) == dict.fromkeys(
        (".wav", ".flac", ".ogg", ".mp3"), 6
    )
    kinds = Counter()
    for path in files:
        info = soundfile.info(path)
        label = next(x for x in ("angry", "happy", "sad") if x in path.name)
        kinds[label, info.samplerate, info.channels] += 1
        assert 0.6 < info.duration < 1.5
    assert kinds == {
        (label, *kind): 4
        for label in ("angry", "happy", "sad")
        for kind in ((16000, 1), (48000, 2))
    }
