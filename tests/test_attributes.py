"""Attributes: kept if a task asks for them, and without tasks nothing changes."""

from dataclasses import replace

import pytest

from ser_lib.corpora import (
    Utterance,
    asked_attributes,
    keep_attributes,
    map_labels,
    read_manifest,
    write_manifest,
)
from ser_lib.dataio import with_degraded_copies
from ser_lib.folds import Fold, fold_digest

PLAIN = [
    Utterance("a01", "DC/a01.wav", "anger", "DC", 2.5),
    Utterance("b", "b.wav", "sad", "1", 1.5, text="Hm, $"),
]
RICH = [
    replace(PLAIN[0], attributes={"gender": "male", "age": "23"}),
    replace(PLAIN[1], attributes={"arousal": "2.5", "gender": ""}),
]


def digest_of(utterances):
    return fold_digest(Fold(1, utterances[:1], [], utterances[1:]))


def test_the_digest_of_a_fold_without_attributes_is_what_it_always_was():
    # Computed before utterances had attributes
    assert digest_of(PLAIN) == "bcd3308bde49"
    assert digest_of(keep_attributes(RICH, [])) == "bcd3308bde49"


def test_the_digest_of_a_fold_depends_on_the_attributes_that_are_kept():
    kept = keep_attributes(RICH, ["age"])
    older = [replace(kept[0], attributes={"age": "24"}), kept[1]]
    assert len({digest_of(PLAIN), digest_of(kept), digest_of(older)}) == 3


def test_attributes_are_columns_after_those_of_every_manifest(tmp_path):
    write_manifest(tmp_path / "m.csv", RICH)
    assert (tmp_path / "m.csv").read_text().splitlines() == [
        "id,path,label,speaker,duration_s,session,dialog,text,audio_hash,corpus,"
        "gender,age,arousal",
        "a01,DC/a01.wav,anger,DC,2.5,,,,,,male,23,",
        'b,b.wav,sad,1,1.5,,,"Hm, $",,,,,2.5',
    ]
    first, second = read_manifest(tmp_path / "m.csv")
    assert first == RICH[0]
    assert second.attributes == {"arousal": "2.5"}  # an empty value is an absent one
    assert digest_of([first, second]) == digest_of(RICH)


def test_a_manifest_without_attributes_has_the_columns_that_it_always_had(tmp_path):
    write_manifest(tmp_path / "m.csv", PLAIN)
    first = (tmp_path / "m.csv").read_text().splitlines()[0]
    assert first.endswith("text,audio_hash,corpus")


def test_tasks_name_their_attributes():
    tasks = {
        "emotion": {"kind": "classes"},
        "arousal": {"kind": "value", "range": [1, 5]},
        "sex": {"kind": "classes", "column": "gender"},
    }
    assert asked_attributes(tasks, ["sad", "anger"]) == ["arousal", "gender"]
    assert asked_attributes({}, ["sad", "anger"]) == []
    votes = {"emotion": {"kind": "distribution"}}
    assert asked_attributes(votes, ["sad", "anger"]) == ["votes_sad", "votes_anger"]


def test_degraded_copies_have_the_attributes_of_their_utterances():
    copies = with_degraded_copies(RICH, 1)[2:]
    assert [u.id for u in copies] == ["a01~1", "b~1"]
    assert [u.attributes for u in copies] == [u.attributes for u in RICH]
    assert len({*copies, *RICH}) == 4  # hashable, as before


def voted(**votes):
    attributes = {f"votes_{label}": n for label, n in votes.items()}
    return Utterance("a", "", "happy", "1", 1.5, attributes=attributes)


def test_votes_are_merged_and_left_out_as_labels_are():
    rows = [voted(happy="1", excited="0.5", bored="1.5"), voted(bored="2"), PLAIN[0]]
    labels = ["happy", "excited", "bored", "anger"]
    new = {"excited": "happy", "bored": None}
    mapped = keep_attributes(
        map_labels(rows, labels, new), ["votes_happy", "votes_anger"]
    )
    assert [u.attributes for u in mapped] == [
        {"votes_happy": "1.5", "votes_anger": "0"},
        {},  # all its votes are for a label that is left out
        {},
    ]


@pytest.mark.parametrize("value", ["many", "-1", "nan", "inf"])
def test_votes_that_are_no_numbers_are_named(value):
    rows = [voted(happy="1", excited=value)]
    with pytest.raises(ValueError, match=f"a has votes_excited = '{value}'; expected"):
        map_labels(rows, ["happy", "excited", "sad"], {"excited": "happy"})
    with pytest.raises(ValueError, match="a has votes_excited"):
        keep_attributes(rows, ["votes_excited"])
