"""Label maps: what is merged, what is left out, and what is refused."""

import pytest

from ser_lib.corpora import Utterance, protocol, read_utterances
from ser_lib.corpora.label_map import (
    describe_map,
    map_labels,
    mapped_counts,
    mapped_labels,
    new_labels,
    shared_label_map,
    shared_vocabulary,
)
from ser_lib.settings import RECIPES, Settings
from ser_lib.synthetic.corpora import write_table

LABELS = ["neutral", "calm", "happy", "boredom"]
MAP = {"calm": "neutral", "boredom": None}
ROWS = [
    Utterance(f"{label}{i}", "a.wav", label, "A", 1.0)
    for i, label in enumerate(["calm", "neutral", "boredom", "happy", "calm"])
]


def test_labels_keep_the_order_of_the_corpus():
    assert mapped_labels(LABELS, MAP) == ["neutral", "happy"]
    assert mapped_labels(LABELS, {"neutral": "calm"}) == ["calm", "happy", "boredom"]
    assert mapped_labels(LABELS, {}) == LABELS


def test_merged_and_left_out_utterances_are_counted():
    kept = map_labels(ROWS, LABELS, MAP)
    assert [u.id for u in kept] == ["calm0", "neutral1", "happy3", "calm4"]
    assert [u.label for u in kept] == ["neutral", "neutral", "happy", "neutral"]
    expected = "Label map: 2 calm count as neutral. Left out: 1 boredom."
    assert describe_map(ROWS, LABELS, MAP) == expected
    assert describe_map(ROWS, LABELS, {}) == ""


def test_expected_counts_are_added_up():
    counts = {"neutral": 10, "calm": 5, "happy": 7, "boredom": 3}
    assert mapped_counts(counts, LABELS, MAP) == {"neutral": 15, "happy": 7}
    assert mapped_counts({}, LABELS, MAP) == {}


def test_a_label_of_the_shared_vocabulary_may_be_left_out_of_a_corpus_without_it():
    assert mapped_labels(LABELS, {"disgust": None}) == LABELS
    with pytest.raises(ValueError, match="names disgust"):
        mapped_labels(LABELS, {"disgust": "happy"})
    with pytest.raises(ValueError, match="names glad"):
        mapped_labels(LABELS, {"glad": None})


@pytest.mark.parametrize(
    ("label_map", "message"),
    [
        ({"glad": "happy"}, "names glad, which the corpus does not have; its labels"),
        ({"calm": 3}, "new label 3; expected text, or null"),
        ({"calm": " "}, "new label ' '; expected text"),
        (dict.fromkeys(LABELS[1:]), r"leaves the labels \['neutral'\]; expected at"),
    ],
)
def test_a_wrong_map_is_refused_with_what_is_wrong(label_map, message):
    with pytest.raises(ValueError, match=message):
        mapped_labels(LABELS, label_map)


def test_the_shared_vocabulary_has_the_seven_labels():
    assert shared_vocabulary() == [
        "angry",
        "happy",
        "sad",
        "neutral",
        "fearful",
        "disgust",
        "surprised",
    ]


def test_the_shared_vocabulary_maps_every_corpus():
    for path in sorted(RECIPES.glob("*/corpus.yaml")):
        if path.parent.name in ("Custom", "Multi"):
            continue
        settings = Settings.from_files([RECIPES / "hparams" / "base.yaml", path])
        left = set(mapped_labels(settings["labels"], "shared"))
        assert left <= set(shared_vocabulary()), path
        assert {"angry", "happy", "sad", "neutral"} <= left, path


def test_a_label_without_an_entry_in_the_vocabulary_is_named():
    with pytest.raises(
        ValueError, match="no entry for stressed; expected one of angry"
    ):
        shared_label_map(["angry", "stressed"])
    assert new_labels(["joy", "boredom"], "shared") == {"joy": "happy", "boredom": None}


def test_a_table_is_mapped_before_its_folds_are_made(tmp_path, capsys):
    table = write_table(tmp_path, speakers=4, utterances=1)  # angry, happy, sad
    path = RECIPES / "Custom" / "hparams" / "fbank_ecapa.yaml"
    given = {"csv": str(table), "label_map": {"happy": "sad"}}
    settings = Settings.from_file(path, given)
    utterances = read_utterances(settings)
    assert capsys.readouterr().out == "Label map: 4 happy count as sad.\n"
    assert settings["labels"] == ["angry", "sad"]
    assert protocol(settings)["labels"] == ["angry", "sad"]
    folds = settings["make_folds"](utterances)
    assert len(folds) == 4
    assert sorted(u.label for u in folds[0].test) == ["angry", "sad", "sad"]


def test_a_label_of_a_table_can_be_left_out(tmp_path):
    table = write_table(tmp_path, speakers=4, utterances=1)
    path = RECIPES / "Custom" / "hparams" / "fbank_ecapa.yaml"
    given = {"csv": str(table), "label_map": {"happy": None}}
    settings = Settings.from_file(path, given)
    folds = settings["make_folds"](read_utterances(settings))
    assert {u.label for fold in folds for u in fold.test} == {"angry", "sad"}


def test_four_classes_of_ravdess_have_the_counts_of_the_protocol():
    path = RECIPES / "RAVDESS" / "hparams" / "fbank_ecapa_4.yaml"
    corpus = protocol(Settings.from_file(path, {"data_folder": "DATA"}))
    assert corpus["labels"] == ["neutral", "happy", "sad", "angry"]
    assert corpus["counts"] == {"neutral": 288, "happy": 192, "sad": 192, "angry": 192}


def test_four_classes_of_iemocap_have_the_counts_of_the_protocol():
    path = RECIPES / "IEMOCAP" / "hparams" / "hubert_ecapa.yaml"
    settings = Settings.from_file(path, {"data_folder": "DATA"})
    assert settings["labels"] == ["neu", "hap", "ang", "sad"]
    expected = {"neu": 1708, "hap": 1636, "ang": 1103, "sad": 1084}  # Morais et al.
    assert protocol(settings)["counts"] == expected
    assert sum(settings["corpus"]["counts"].values()) == 10039  # the whole release
