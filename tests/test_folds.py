"""Folds: SUPERB's draw, speaker lists, and the files they are written to."""

import hashlib
import json
from dataclasses import replace

import pytest
import torch
from real_index import superb_release

from ser_lib.corpora import Utterance
from ser_lib.folds import (
    Fold,
    chosen_folds,
    speaker_folds,
    superb_folds,
)
from ser_lib.folds.files import FOLDS_FILE, read_folds, write_folds


def _utterance(speaker: str, label: str, number: int = 0) -> Utterance:
    return Utterance(f"{speaker}_{label}{number}", "a.wav", label, speaker, 1.0)


CORPUS = [
    _utterance(speaker, label) for speaker in "ABCD" for label in ("calm", "angry")
]
ROWS = [
    {"test": ["A"], "valid": ["B"]},
    {"test": ["B", "C"], "valid": ["D"]},
    {"test": ["D"], "valid": ["A"]},
]


@pytest.fixture
def release(shared_data):
    return superb_release(shared_data)


def test_superbs_folds_have_the_published_members(release, shared_data):
    digests = json.loads((shared_data / "superb" / "fold_digests.json").read_text())
    found = {
        f"fold{fold.number}": {
            name: {
                "n": len(part),
                "sha256_of_sorted_ids": hashlib.sha256(
                    "\n".join(sorted(u.id for u in part)).encode()
                ).hexdigest(),
            }
            for name, part in fold.parts.items()
        }
        for fold in superb_folds(release)
    }
    assert found == digests


def test_drawing_folds_leaves_the_random_state_alone():
    corpus = [replace(u, session="1" if u.speaker in "AB" else "2") for u in CORPUS]
    before = torch.random.get_rng_state()
    first = superb_folds(corpus)
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(12345)
    assert superb_folds(corpus) == first


def test_speaker_lists_divide_the_corpus():
    folds = speaker_folds(CORPUS, ROWS)
    assert [fold.number for fold in folds] == [1, 2, 3]
    assert [[u.speaker for u in fold.test] for fold in folds] == [
        ["A", "A"],
        ["B", "B", "C", "C"],
        ["D", "D"],
    ]
    assert [u.id for u in folds[0].train] == [
        "C_calm0",
        "C_angry0",
        "D_calm0",
        "D_angry0",
    ]
    for fold in folds:
        assert sorted(sum(fold.parts.values(), []), key=CORPUS.index) == CORPUS


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"test": ["A"], "valid": ["E"]}], r"Fold 1 lists the speakers \['E'\]"),
        ([{"test": ["A", "B"], "valid": ["B"]}], r"Fold 1 has the speakers \['B'\] in"),
        (ROWS[:2], r"tested once .* \{'D': 0\}"),
        ([*ROWS, {"test": ["A"], "valid": ["B"]}], r"tested once .* \{'A': 2\}"),
        ([{"test": ["A", "B", "C", "D"], "valid": []}], "Fold 1 has no .* train part"),
        ([{"test": ["A", "B", "C"], "valid": []}, ROWS[2]], "Fold 1 .* valid part"),
        ([*ROWS, {"test": [], "valid": ["A"]}], "Fold 4 has no speaker in its test"),
    ],
    ids=[
        "unknown",
        "two parts",
        "untested",
        "twice",
        "no train",
        "no valid",
        "no test",
    ],
)
def test_a_faulty_list_of_speakers_is_an_error(rows, message):
    with pytest.raises(ValueError, match=message):
        speaker_folds(CORPUS, rows)


def test_written_folds_read_back_the_same_in_the_order_of_their_numbers(tmp_path):
    one, two, three = speaker_folds(CORPUS, ROWS)
    folds = [one, replace(two, number=2), replace(three, number=10)]
    write_folds(folds[::-1], {}, tmp_path)
    (tmp_path / FOLDS_FILE).unlink()
    (tmp_path / "fold_plots").mkdir()
    assert sorted(p.name for p in (tmp_path / "fold_10").iterdir()) == [
        "test.csv",
        "train.csv",
        "valid.csv",
    ]
    assert read_folds(tmp_path) == folds


def test_a_folder_without_folds_and_a_fold_without_a_part_are_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=f"fold_1, fold_2 ... in {tmp_path}; found none"
    ):
        read_folds(tmp_path)
    write_folds(speaker_folds(CORPUS, ROWS)[:1], {}, tmp_path)
    (tmp_path / "fold_1" / "valid.csv").unlink()
    with pytest.raises(FileNotFoundError, match="fold_1/valid.csv"):
        read_folds(tmp_path)


FOLDS = [Fold(n, [], [], []) for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("choice", "numbers"), [("all", [1, 2, 3]), (2, [2]), ("1,3", [1, 3]), ([3], [3])]
)
def test_folds_are_chosen_by_number(choice, numbers):
    assert [fold.number for fold in chosen_folds(FOLDS, choice)] == numbers


@pytest.mark.parametrize(
    "choice",
    ["1,4", 0, "1,1", "1-3", "1,,3", "", "none", None, True, 1.5, [], [1, [2]]],
)
def test_a_wrong_choice_of_folds_is_refused_with_those_there_are(choice):
    with pytest.raises(ValueError, match="expected all, or some of 1, 2, 3, each once"):
        chosen_folds(FOLDS, choice)
