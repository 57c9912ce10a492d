"""Folds: SUPERB's draw, speaker lists, and the checks that catch a leak."""

import csv
import hashlib
import json
from dataclasses import replace

import pytest
import torch

from ser_lib.folds import (
    Fold,
    check_fold,
    chosen_folds,
    speaker_folds,
    superb_folds,
    write_fold,
)
from ser_lib.manifest import Utterance, read_manifest


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
    """The manifest of the real release, in SUPERB's order, without its files."""
    order = json.loads((shared_data / "superb" / "dialog_order.json").read_text())
    rank = {dialog: n for n, dialog in enumerate(sum(order.values(), []))}
    with open(shared_data / "iemocap_index.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    rows.sort(
        key=lambda row: (rank[row["utterance"].rsplit("_", 1)[0]], row["utterance"])
    )
    return [
        Utterance(
            id=row["utterance"],
            path="",
            label=row["label"].replace("exc", "hap"),
            speaker=row["utterance"][:5] + row["utterance"][-4],
            duration_s=float(row["duration_s"]),
            session=row["utterance"][4],
        )
        for row in rows
    ]


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


def test_superbs_folds_pass_the_check_of_their_protocol_only(release):
    for fold in superb_folds(release):
        check_fold(fold, share_speakers_with_valid=True)
        with pytest.raises(ValueError, match="train and valid parts .* share 8 values"):
            check_fold(fold, share_speakers_with_valid=False)


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
        check_fold(fold, share_speakers_with_valid=False)


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


def _sound_fold() -> Fold:
    return speaker_folds(CORPUS, ROWS)[0]


@pytest.mark.parametrize("part", ["train", "valid"])
def test_a_test_utterance_seen_before_is_an_error(part):
    fold = _sound_fold()
    leaky = replace(fold, **{part: [*fold.parts[part], fold.test[0]]})
    with pytest.raises(
        ValueError,
        match=rf"{part} and test parts of fold 1 share 1 .* id: \['A_calm0'\]",
    ):
        check_fold(leaky, share_speakers_with_valid=True)


@pytest.mark.parametrize("part", ["train", "valid"])
def test_a_test_speaker_seen_before_is_an_error(part):
    fold = _sound_fold()
    other = _utterance("A", "calm", number=7)
    leaky = replace(fold, **{part: [*fold.parts[part], other]})
    with pytest.raises(ValueError, match=rf"{part} and test .* speaker: \['A'\]"):
        check_fold(leaky, share_speakers_with_valid=True)


def test_a_validation_utterance_that_trains_is_always_an_error():
    fold = _sound_fold()
    leaky = replace(fold, train=[*fold.train, fold.valid[1]])
    with pytest.raises(ValueError, match=r"train and valid .* id: \['B_angry0'\]"):
        check_fold(leaky, share_speakers_with_valid=True)


def test_a_validation_speaker_may_train_only_where_the_protocol_says_so():
    fold = _sound_fold()
    sharing = replace(fold, train=[*fold.train, _utterance("B", "calm", number=7)])
    check_fold(sharing, share_speakers_with_valid=True)
    with pytest.raises(ValueError, match=r"train and valid .* speaker: \['B'\]"):
        check_fold(sharing, share_speakers_with_valid=False)


@pytest.mark.parametrize("part", ["train", "valid", "test"])
def test_a_part_without_one_of_the_labels_is_an_error(part):
    fold = _sound_fold()
    calm_only = [u for u in fold.parts[part] if u.label == "calm"]
    with pytest.raises(ValueError, match=rf"{part} part of fold 1 .* \['angry'\]"):
        check_fold(replace(fold, **{part: calm_only}), share_speakers_with_valid=False)


def test_a_written_fold_reads_back_the_same(tmp_path):
    fold = _sound_fold()
    write_fold(fold, tmp_path / "fold1")
    assert sorted(p.name for p in (tmp_path / "fold1").iterdir()) == [
        "test.csv",
        "train.csv",
        "valid.csv",
    ]
    parts = {
        name: read_manifest(tmp_path / "fold1" / f"{name}.csv") for name in fold.parts
    }
    assert Fold(1, **parts) == fold


FOLDS = [Fold(n, [], [], []) for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("choice", "numbers"), [("all", [1, 2, 3]), (2, [2]), ("1,3", [1, 3]), ([3], [3])]
)
def test_folds_are_chosen_by_number(choice, numbers):
    assert [fold.number for fold in chosen_folds(FOLDS, choice)] == numbers


def test_an_unknown_fold_is_refused_with_those_there_are():
    with pytest.raises(
        ValueError, match=r"no fold \['4'\]; choose from \['1', '2', '3'"
    ):
        chosen_folds(FOLDS, "1,4")
