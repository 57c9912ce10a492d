"""IEMOCAP with all utterances: those without a majority label are for training."""

import pytest

from ser_lib.corpora import Utterance, protocol, read_utterances
from ser_lib.corpora.without_majority import most_voted
from ser_lib.experiment import prepare
from ser_lib.folds import audit_folds, with_training_only
from ser_lib.settings import RECIPES, Settings
from ser_lib.synthetic.iemocap import miniature_counts, write_miniature_iemocap

SOFT = {"emotion": {"kind": "distribution"}}
COUNTS = miniature_counts(4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_miniature_iemocap(tmp_path_factory.mktemp("miniature"), 4)


def settings_of(folder, results=None, counts=COUNTS, **given):
    files = [RECIPES / "hparams" / "base.yaml", RECIPES / "IEMOCAP" / "corpus.yaml"]
    given |= {"corpus": {"counts": counts, "part_digests": None}}
    given |= {"data_folder": str(folder), "experiment": "x"}
    given |= {"results_folder": str(results)} if results else {}
    return Settings.from_files(files, given)


def ids(part):
    return [u.id for u in part]


def test_the_label_is_the_one_with_most_votes_after_the_label_map():
    labels = ["neu", "hap", "exc", "fru", "xxx"]
    label_map = {"exc": "hap", "fru": None, "xxx": None}

    def found(label, **votes):
        attributes = {f"votes_{name}": n for name, n in votes.items()}
        row = Utterance("a", "", label, "1", 1.5, attributes=attributes)
        return [u.label for u in most_voted([row], labels, label_map)]

    assert found("xxx", neu="1", hap="0.5", exc="1") == ["hap"]  # 1.5 against 1
    assert found("xxx", hap="1", neu="1", fru="1") == ["neu"]  # the first of two
    assert found("fru", fru="2", neu="0.5") == ["neu"]
    assert found("fru", fru="3", neu="0") == []  # no vote for a label that is left
    assert found("xxx") == []
    assert found("neu", hap="3") == []  # has a label of its own


def test_all_utterances_train_and_the_other_parts_stay_as_they_are(folder, capsys):
    labelled = settings_of(folder, tasks=SOFT)
    usual = labelled["make_folds"](read_utterances(labelled))
    settings = settings_of(folder, tasks=SOFT, utterances="all")
    utterances = read_utterances(settings)
    # 16 of each session have a label of the protocol; there are two of six others.
    n_added, n_left_out = len(utterances) - 5 * 16, 5 * 12
    said = capsys.readouterr().out
    assert f"{n_added} of those left out have a vote for neu, hap, ang, sad" in said
    assert f"training parts; {n_left_out - n_added} have none" in said
    assert 10 <= n_added < n_left_out
    folds = with_training_only(utterances, settings["make_folds"])
    audit_folds(folds, protocol(settings)).check()
    n_more = 0
    for fold, before in zip(folds, usual, strict=True):
        assert ids(fold.valid) == ids(before.valid)
        assert ids(fold.test) == ids(before.test)
        n = len(before.train)
        assert ids(fold.train)[:n] == ids(before.train)
        added = {u.session for u in fold.train[n:]}
        assert added == set("12345") - {str(fold.number)}
        n_more += len(fold.train) - n
    assert n_more == 4 * n_added  # each is added to all folds but one
    assert all(u.duration_s > 0.2 for u in utterances)


def test_added_utterances_have_votes_and_their_folds_can_be_written(folder, tmp_path):
    settings = settings_of(folder, tmp_path, tasks=SOFT, utterances="all")
    for fold in prepare(settings):
        for u in fold.train:
            votes = {name: float(n) for name, n in u.attributes.items()}
            assert len(votes) == 4
            assert votes[f"votes_{u.label}"] == max(votes.values()) > 0
    columns = next(tmp_path.rglob("fold_1/train.csv")).read_text().splitlines()[0]
    assert columns.endswith("corpus,votes_neu,votes_hap,votes_ang,votes_sad")


def test_all_official_labels_are_counted(folder):
    counts = COUNTS | {"xxx": 11}
    settings = settings_of(folder, counts=counts, tasks=SOFT, utterances="all")
    with pytest.raises(ValueError, match="expected 141 .xxx: expected 11, found 10"):
        read_utterances(settings)
    read_utterances(settings_of(folder, counts=counts))  # not needed by four classes


def test_hard_labels_cannot_use_all_utterances(folder):
    with pytest.raises(ValueError, match="--tasks .{emotion: {kind: distribution}}"):
        read_utterances(settings_of(folder, utterances="all"))
    with pytest.raises(ValueError, match="'some'; expected one of labelled, all"):
        read_utterances(settings_of(folder, utterances="some"))
