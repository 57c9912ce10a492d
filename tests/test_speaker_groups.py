"""Folds made from speakers: nobody is tested who was trained on, labels are even."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from ser_lib.corpora import Utterance
from ser_lib.folds import Fold, describe, leave_one_speaker_out
from ser_lib.folds.by_speaker import (
    balanced_groups,
    draw_validation,
    group_folds,
    too_few_speakers,
)


def _corpus(counts: dict[str, dict[str, int]]) -> list[Utterance]:
    """Speaker -> label -> number of utterances, of half a second each."""
    return [
        Utterance(f"{speaker}_{label}{k}", "", label, speaker, 0.5)
        for speaker, labels in counts.items()
        for label, n in labels.items()
        for k in range(n)
    ]


def _even(n_speakers: int, n: int = 4) -> list[Utterance]:
    return _corpus({f"s{k:02}": {"calm": n, "angry": n} for k in range(n_speakers)})


def _speakers(part: list[Utterance]) -> set[str]:
    return {u.speaker for u in part}


def test_each_speaker_is_left_out_once_and_a_fifth_of_each_cell_validates():
    folds = leave_one_speaker_out(_even(4, n=10), valid_share=0.2, seed=0)
    assert [_speakers(f.test) for f in folds] == [{"s00"}, {"s01"}, {"s02"}, {"s03"}]
    for fold in folds:
        assert not _speakers(fold.test) & _speakers([*fold.train, *fold.valid])
        cells = Counter((u.speaker, u.label) for u in fold.valid)
        assert len(cells) == 6  # three speakers, two labels
        assert set(cells.values()) == {2}
        assert len(fold.train) == 48


def test_the_draw_depends_on_its_seed_alone_and_leaves_the_random_state_alone():
    corpus = _even(3, n=10)
    before = np.random.get_state()[1].copy()
    first = draw_validation(corpus, 0.2, seed=0)
    assert (np.random.get_state()[1] == before).all()
    assert draw_validation(corpus, 0.2, seed=0) == first
    assert draw_validation(corpus, 0.2, seed=1) != first
    train, valid = first
    assert sorted([*train, *valid], key=corpus.index) == corpus


def test_of_two_utterances_one_validates_and_a_single_one_trains():
    corpus = _corpus({"A": {"calm": 2, "angry": 1}})
    train, valid = draw_validation(corpus, share=0.1)
    assert [u.label for u in valid] == ["calm"]
    assert sorted(u.label for u in train) == ["angry", "calm"]


def test_copies_of_a_recording_are_in_one_part():
    corpus = _corpus({"A": {"calm": 10}})
    same = [
        replace(u, audio_hash="ab" if i < 2 else f"{i}") for i, u in enumerate(corpus)
    ]
    for seed in range(10):
        train, valid = draw_validation(same, share=0.1, seed=seed)
        assert not {u.audio_hash for u in train} & {u.audio_hash for u in valid}
        assert len(valid) == (2 if same[0] in valid else 1)


def test_groups_hold_every_speaker_once_and_a_like_share_of_a_rare_label():
    rare = {"s0": 6, "s1": 6, "s2": 6}  # nobody else is ever afraid
    counts = {f"s{k}": {"calm": 10, "fear": rare.get(f"s{k}", 0)} for k in range(9)}
    groups = balanced_groups(_corpus(counts), 3)
    assert sorted(sum(groups, [])) == sorted(counts)
    assert [len(group) for group in groups] == [3, 3, 3]
    assert [len({"s0", "s1", "s2"} & set(group)) for group in groups] == [1, 1, 1]


def test_groups_do_not_depend_on_the_order_of_the_utterances():
    corpus = _corpus(
        {f"s{k}": {"calm": 3 + k % 4, "angry": 2 + k % 3} for k in range(11)}
    )
    assert balanced_groups(corpus[::-1], 4) == balanced_groups(corpus, 4)


def test_no_group_is_empty_even_if_one_speaker_has_nearly_everything():
    corpus = _corpus({"A": {"sad": 100}, "B": {"sad": 1}, "C": {"sad": 1}})
    assert balanced_groups(corpus, 3) == [["A"], ["B"], ["C"]]


@pytest.mark.parametrize("n_groups", [1, 5])
def test_an_impossible_number_of_groups_is_an_error(n_groups):
    with pytest.raises(
        ValueError, match=f"cannot .* {n_groups} groups; expected 2 to 4"
    ):
        balanced_groups(_even(4), n_groups)


@pytest.mark.parametrize(("n_speakers", "n_groups"), [(3, 3), (4, 2), (10, 5), (23, 4)])
def test_three_disjoint_parts_where_there_are_enough_speakers(n_speakers, n_groups):
    corpus = _even(n_speakers)
    groups = dict(enumerate(balanced_groups(corpus, n_groups), start=1))
    folds = group_folds(corpus, groups)
    assert [fold.number for fold in folds] == list(range(1, n_groups + 1))
    assert sorted(u.id for fold in folds for u in fold.test) == sorted(
        u.id for u in corpus
    )
    for fold in folds:
        parts = [_speakers(part) for part in fold.parts.values()]
        assert all(parts)
        assert sum(map(len, parts)) == len(set.union(*parts)) == n_speakers
        assert {u.label for u in fold.valid} == {"calm", "angry"}


def test_about_a_fifth_of_the_speakers_that_are_not_tested_validates():
    folds = group_folds(_even(26), {1: ["s00"]})
    assert len(_speakers(folds[0].valid)) == 5


def test_validation_takes_speakers_that_have_the_rare_label_and_leaves_some():
    counts = {f"s{k}": {"calm": 5} for k in range(9)}
    counts["s3"]["fear"] = counts["s7"]["fear"] = 2
    (fold,) = group_folds(_corpus(counts), {1: ["s0"]})
    assert "fear" in {u.label for u in fold.valid}
    assert "fear" in {u.label for u in fold.train}


def test_two_speakers_share_training_and_validation_in_every_fold():
    corpus = _even(2, n=5)
    groups = {1: ["s00"], 2: ["s01"]}
    assert too_few_speakers(corpus, groups)
    for fold in group_folds(corpus, groups):
        assert _speakers(fold.train) == _speakers(fold.valid) != _speakers(fold.test)
        assert (len(fold.train), len(fold.valid), len(fold.test)) == (8, 2, 10)


def test_three_speakers_are_enough_unless_two_of_them_are_tested_together():
    corpus = _even(3)
    assert not too_few_speakers(corpus, {1: ["s00"], 2: ["s01"], 3: ["s02"]})
    assert too_few_speakers(corpus, {1: ["s00", "s01"], 2: ["s02"]})


def test_the_overview_counts_utterances_hours_speakers_and_classes():
    utterances = [
        Utterance("a", "", "sad", "A", 3600.0),
        Utterance("b", "", "calm", "A", 1800.0),
        Utterance("c", "", "sad", "B", 900.0),
    ]
    fold = Fold(2, utterances[:1], utterances[1:2], utterances[2:])
    lines = [line.split() for line in describe(utterances, [fold]).splitlines()]
    assert lines == [
        "fold part utterances hours speakers calm sad".split(),
        "all all 3 1.75 2 1 2".split(),
        "2 train 1 1.00 1 0 1".split(),
        "2 valid 1 0.50 1 1 0".split(),
        "2 test 1 0.25 1 0 1".split(),
    ]
