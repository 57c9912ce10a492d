"""Several corpora as one: joint labels, names, folds, balanced draws and the matrix."""

import runpy
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from speechbrain.utils.run_opts import RunOptions

from ser_lib.corpora import Utterance, read_utterances
from ser_lib.corpora.joined import common_folder, joint_labels, read_corpora
from ser_lib.cross_corpus import run_cross_corpus
from ser_lib.cross_corpus.__main__ import main, with_table
from ser_lib.cross_corpus.figure import heat_maps
from ser_lib.cross_corpus.rows import COLUMNS, matrix_rows, merge_rows, read_rows
from ser_lib.dataio import with_degraded_copies
from ser_lib.dataio.loaders import balanced_weights
from ser_lib.dataio.samplers import LengthBucketSampler
from ser_lib.evaluation import FoldResult, compute_scores
from ser_lib.evaluation.report_sections import corpus_table
from ser_lib.folds import audit_folds, trained_on
from ser_lib.folds.across_corpora import make_folds, speaker_overlap
from ser_lib.settings import RECIPES, Settings
from ser_lib.synthetic.corpora import write_ravdess, write_table

MULTI = RECIPES / "Multi"


def rows_of(corpus, speakers, labels=("angry", "sad"), n=2, session=""):
    return [
        Utterance(
            f"{corpus}/{s}{label}{k}",
            f"{corpus}/{s}{label}{k}.wav",
            label,
            f"{corpus}/{s}",
            1.0,
            session=f"{corpus}/{session}{s[0]}" if session else "",
            corpus=corpus,
        )
        for s in speakers
        for label in labels
        for k in range(n)
    ]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """RAVDESS and a table with a speaker of the same name, as stand-ins."""
    folder = tmp_path_factory.mktemp("corpora")
    write_ravdess(folder / "RAVDESS", small=True)
    table = write_table(folder / "mine", speakers=3, utterances=1)
    table.write_text(table.read_text().replace("speaker 1\n", "01\n"))
    return {"RAVDESS": str(folder / "RAVDESS"), "mine": str(table)}


def test_equal_names_of_two_corpora_stay_apart(corpora):
    utterances = read_corpora(corpora, "speaker")
    speakers = {u.speaker for u in utterances}
    assert {"RAVDESS/01", "mine/01"} <= speakers
    assert len(speakers) == 24 + 3
    assert Counter(u.corpus for u in utterances) == {"RAVDESS": 1440, "mine": 9}
    folder = Path(common_folder(corpora))
    assert all((folder / u.path).is_file() for u in utterances)
    assert len({u.id for u in utterances}) == 1449


def test_calm_counts_as_neutral_and_labels_of_one_corpus_are_left_out(corpora, capsys):
    utterances = read_corpora(corpora, "corpus")
    assert {u.label for u in utterances} == {"angry", "happy", "sad"}
    said = capsys.readouterr().out
    assert "576 of 1440 utterances are used." in said
    assert "Label map: 192 calm count as neutral." in said
    assert (
        "too few corpora have the label: 288 neutral, 192 fearful, 192 disgust" in said
    )


def test_joint_labels_depend_on_the_folds():
    names = {"RAVDESS": "R", "nEMO": "N", "EmoDB": "E"}
    everything = ["angry", "happy", "sad", "neutral", "fearful", "disgust", "surprised"]
    assert joint_labels(names, "speaker") == everything
    assert joint_labels(names, "corpus") == everything  # two have disgust, surprised
    shared = ["angry", "happy", "sad", "neutral", "fearful"]
    assert joint_labels(names, "matrix") == shared


@pytest.mark.parametrize(
    ("names", "folds_by", "message"),
    [
        ({"RAVDES": "DIR"}, "speaker", "RAVDES, which is not a recipe; .*RAVDESS"),
        ({"RAVDESS": "DIR"}, "corpus", "one corpus: RAVDESS. Give at least two"),
        (
            {"RAVDESS": "D", "nEMO": "E"},
            "actor",
            "folds_by is 'actor'; expected one of",
        ),
        ("RAVDESS", "speaker", "corpora is 'RAVDESS'; expected recipes"),
        ({"RAVDESS": None}, "speaker", "corpora has RAVDESS: None; expected the path"),
        ({"RAVDESS": 3}, "speaker", "corpora has RAVDESS: 3; expected the path"),
    ],
)
def test_wrong_corpora_are_named(names, folds_by, message):
    with pytest.raises(ValueError, match=message):
        joint_labels(names, folds_by)


def test_a_fold_by_speaker_tests_speakers_of_every_corpus():
    rows = [*rows_of("A", "abcdef"), *rows_of("B", "abc")]
    folds = make_folds(rows, "speaker", n_folds=3)
    assert len(folds) == 3
    for fold in folds:
        tested = {u.speaker for u in fold.test}
        assert Counter(s[0] for s in tested) == {"A": 2, "B": 1}
        seen = {u.speaker for u in [*fold.train, *fold.valid]}
        assert not tested & seen
        assert not {u.speaker for u in fold.train} & {u.speaker for u in fold.valid}
    assert len({u.id for fold in folds for u in fold.test}) == len(rows)


def test_a_fold_of_all_trains_on_every_speaker_and_tests_a_tenth_of_each():
    rows = [*rows_of("A", "abc", n=20), *rows_of("B", "ab", n=20)]
    (fold,) = make_folds(rows, "all", n_folds=5)
    counted = Counter(u.speaker for u in rows)
    assert {u.speaker for u in fold.train} == set(counted)
    assert not fold.valid
    tested = Counter(u.speaker for u in fold.test)
    assert tested == {speaker: n // 10 for speaker, n in counted.items()}
    corpus = {"allowed_overlap": {"speaker": speaker_overlap("all")}}
    corpus["incomplete_parts"] = ["valid"]
    audit_folds([fold], corpus).check()


def test_a_corpus_with_few_speakers_is_not_tested_in_the_last_folds():
    rows = [*rows_of("A", "abcdef"), *rows_of("B", "ab")]
    folds = make_folds(rows, "speaker", n_folds=4)
    assert [{u.corpus for u in fold.test} for fold in folds] == [
        {"A", "B"},
        {"A", "B"},
        {"A"},
        {"A"},
    ]


def test_no_fold_is_without_a_test():
    rows = [*rows_of("A", "abcd"), *rows_of("B", "abc")]
    folds = make_folds(rows, "speaker", n_folds=9)
    assert [len({u.speaker for u in fold.test}) for fold in folds] == [2, 2, 2, 1]


def test_a_session_is_in_one_part_with_all_its_speakers():
    rows = [*rows_of("A", ["1f", "1m", "2f", "2m", "3f", "3m"], session="s")]
    for fold in make_folds(rows, "speaker", n_folds=3):
        parts = [{u.session for u in part} for part in fold.parts.values()]
        assert [len(part) for part in parts] == [1, 1, 1]


def test_leave_one_corpus_out_trains_on_the_others():
    rows = [*rows_of("A", "abc"), *rows_of("B", "ab"), *rows_of("C", "abcd")]
    folds = make_folds(rows, "corpus", n_folds=5)
    assert [trained_on(fold) for fold in folds] == ["B + C", "A + C", "A + B"]
    assert [{u.corpus for u in fold.test} for fold in folds] == [{"A"}, {"B"}, {"C"}]
    for part in (folds[0].train, folds[0].valid):  # every speaker is trained on
        assert {u.speaker for u in part} == {*"B/a B/b C/a C/b C/c C/d".split()}


@pytest.mark.parametrize(
    ("names", "expected"),
    [("AB", ["A", "B"]), ("ABC", ["A", "B", "C", "B + C", "A + C", "A + B"])],
)
def test_the_matrix_trains_on_each_corpus_and_on_all_but_one(names, expected):
    rows = [u for name in names for u in rows_of(name, "abc")]
    folds = make_folds(rows, "matrix", n_folds=5)
    assert [trained_on(fold) for fold in folds] == expected
    for fold in folds:
        seen = {u.corpus for u in [*fold.train, *fold.valid]}
        assert {u.corpus for u in fold.test} == set(names) - seen


def test_the_protocol_lets_a_test_part_lack_a_label_but_not_the_training_part():
    rows = [*rows_of("A", "abc"), *rows_of("B", "abc", labels=["angry"])]
    settings = Settings.from_file(
        MULTI / "hparams" / "fbank_ecapa.yaml",
        {"corpora": {"RAVDESS": "D", "nEMO": "D"}, "folds_by": "corpus"},
    )
    corpus = {**settings["corpus"], "labels": ["angry", "sad"], "counts": {}}
    audit_folds(make_folds(rows, "corpus", 5)[1:], corpus).check()  # tests B
    with pytest.raises(ValueError, match="train part has no utterance labelled sad"):
        audit_folds(make_folds(rows, "corpus", 5), corpus).check()


def test_balanced_weights_give_each_group_the_same_share():
    rows = [*rows_of("A", "abcd", n=3), *rows_of("B", "a", ["sad"], n=2)]
    weights = np.array(balanced_weights(rows, ["corpus", "label"]))
    groups = np.array([f"{u.corpus} {u.label}" for u in rows])
    assert weights.sum() == pytest.approx(1)
    shares = {group: weights[groups == group].sum() for group in set(groups)}
    assert shares == pytest.approx({"A angry": 1 / 3, "A sad": 1 / 3, "B sad": 1 / 3})
    assert balanced_weights(rows, []) is None


@pytest.mark.parametrize("balance_by", [[], ["corpus", "label"]])
def test_a_fifth_of_all_draws_are_degraded_copies(balance_by):
    rows = [
        Utterance(f"u{i}", "", label, "A", 1.0, corpus="C")
        for i, label in enumerate("aaab")
    ]
    weights = np.array(balanced_weights(with_degraded_copies(rows, 3), balance_by))
    assert weights[:4].sum() == pytest.approx(0.8)
    assert weights[4:].sum() == pytest.approx(0.2)
    share_of_b = 0.5 if balance_by else 0.25
    assert weights[3] == pytest.approx(0.8 * share_of_b)
    assert weights[7::4] == pytest.approx(0.2 / 3 * share_of_b)


def test_a_balanced_epoch_draws_groups_equally_often_and_anew():
    rows = [*rows_of("A", "a", ["angry"], n=900), *rows_of("B", "a", ["sad"], n=100)]
    weights = balanced_weights(rows, ["label"])
    sampler = LengthBucketSampler([1.0] * 1000, 10, weights=weights)
    first = [i for batch in sampler for i in batch]
    assert len(first) == 1000
    n_sad = sum(i >= 900 for i in first)
    assert abs(n_sad - 500) < 80  # five standard deviations of a binomial draw
    sampler.set_epoch(1)
    assert [i for batch in sampler for i in batch] != first


def test_scores_of_each_corpus_are_over_the_labels_that_it_has():
    table = pd.DataFrame(
        {
            "corpus": ["A"] * 4 + ["B"] * 2,
            "speaker": ["A/1", "A/1", "A/2", "A/2", "B/1", "B/2"],
            "label": ["sad", "sad", "angry", "angry", "sad", "sad"],
            "prediction": ["sad", "angry", "angry", "angry", "sad", "angry"],
        }
    )
    found = corpus_table(table, ["angry", "sad"])
    assert list(found["n"]) == [4, 2]
    assert list(found["labels"]) == [2, 1]
    assert found.loc["A", "UA [95 % interval]"].startswith("75.00 [")
    assert found.loc["B", "UA [95 % interval]"].startswith("50.00 [")


def _result(fold, corpus, predictions):
    table = pd.DataFrame(
        {
            "id": [f"{corpus}/{i}" for i in range(4)],
            "corpus": corpus,
            "speaker": [f"{corpus}/{s}" for s in "aabb"],
            "label": ["sad", "angry"] * 2,
            "prediction": predictions,
        }
    )
    scores = compute_scores(table, ["sad", "angry"])
    run = "probe", "A + B", 1, fold, "key", [], [], "no", []
    return FoldResult(*run, table, pd.DataFrame(), None, scores)


def test_a_cell_of_the_matrix_has_the_scores_of_its_corpus():
    right, half = ["sad", "angry"] * 2, ["sad"] * 4
    results = [_result(1, "B", right), _result(2, "A", half)]
    rows = matrix_rows(results, {1: "A", 2: "B"}, ["sad", "angry"])
    assert list(rows) == COLUMNS
    assert rows[["trained_on", "tested_on", "UA"]].values.tolist() == [
        ["A", "B", 100.0],
        ["B", "A", 50.0],
    ]
    again = merge_rows(rows, rows.assign(UA=1.0))
    assert again["UA"].tolist() == [1.0, 1.0]


def test_a_figure_shows_no_panel_without_an_experiment():
    rows = matrix_rows([_result(1, "B", ["sad"] * 4)], {1: "A"}, ["sad", "angry"])
    four = pd.concat([rows.assign(experiment=name) for name in "abcd"])
    visible = [panel.get_visible() for panel in heat_maps(four).axes]
    assert visible == [True] * 4 + [False] * 2


def test_the_matrix_goes_to_the_results_file_the_readme_and_the_figure(tmp_path):
    half = ["sad"] * 4
    rows = matrix_rows([_result(1, "B", half)], {1: "A"}, ["sad", "angry"])
    (tmp_path / "run").mkdir()
    rows.to_csv(tmp_path / "run" / "matrix.csv", index=False)
    readme = tmp_path / "README.md"
    begin = (
        "<!-- cross-corpus: begin (python -m ser_lib.cross_corpus recipes/Multi) -->"
    )
    readme.write_text(f"# Multi\n\n{begin}\n<!-- cross-corpus: end -->\nThe end.\n")
    main([str(tmp_path), str(tmp_path / "run")])
    assert read_rows(tmp_path / "cross_corpus.csv")["UA"].tolist() == [50.0]
    text = readme.read_text()
    assert "| probe | 2 | no | 1 | A | B | 4 | 50.00 [50.00, 50.00]" in text
    assert text.endswith("<!-- cross-corpus: end -->\nThe end.\n")
    assert (tmp_path / "figures" / "cross_corpus.png").read_bytes()[1:4] == b"PNG"
    with pytest.raises(FileNotFoundError, match=r"no matrix\.csv"):
        main([str(tmp_path), str(tmp_path)])


def test_the_table_of_the_readme_is_that_of_its_results_file():
    readme = (MULTI / "README.md").read_text()
    rows = read_rows(MULTI / "cross_corpus.csv")
    assert with_table(readme, rows) == readme, "run: python -m ser_lib.cross_corpus ..."


SMALL = [
    "--number_of_epochs=1",
    "--averaged_checkpoints=1",
    "--noprogressbar",
]


@pytest.mark.slow
def test_two_corpora_are_trained_and_reported_by_corpus(corpora, tmp_path, monkeypatch):
    monkeypatch.chdir(MULTI)
    given = f"--corpora={{RAVDESS: {corpora['RAVDESS']}, mine: {corpora['mine']}}}"
    arguments = ["hparams/fbank_frozen.yaml", given, "--n_folds=3", "--folds=1"]
    arguments += [f"--results_folder={tmp_path}", *SMALL]
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    runpy.run_path("train.py", run_name="__main__")
    folder = tmp_path / "fbank_frozen" / "seed_1986"
    table = pd.read_csv(folder / "fold_1" / "predictions.csv")
    assert set(table["corpus"]) == {"RAVDESS", "mine"}
    assert list(table.columns[:4]) == ["id", "corpus", "speaker", "label"]
    assert "## Scores by corpus" in (folder / "report" / "report.md").read_text()


@pytest.mark.parametrize("corpora", ["RAVDESS", ["RAVDESS", "nEMO"], 3])
def test_corpora_that_are_no_mapping_are_refused(corpora):
    with pytest.raises(ValueError, match="corpora .* expected recipes and their data"):
        Settings.from_file(
            MULTI / "hparams" / "fbank_frozen.yaml", {"corpora": corpora}
        )


def test_without_corpora_the_option_is_named():
    settings = Settings.from_file(MULTI / "hparams" / "fbank_frozen.yaml")
    with pytest.raises(ValueError, match="needs a value for .*: give --corpora"):
        settings["corpora"]


def test_the_matrix_needs_its_own_folds(corpora):
    settings = Settings.from_file(
        MULTI / "hparams" / "fbank_frozen.yaml", {"corpora": corpora}
    )
    with pytest.raises(ValueError, match="folds_by is speaker; cross_corpus.py needs"):
        run_cross_corpus(settings, RunOptions())


@pytest.mark.slow
def test_the_matrix_of_two_stand_ins_is_made_and_resumes(
    corpora, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(MULTI)
    given = f"--corpora={{RAVDESS: {corpora['RAVDESS']}, mine: {corpora['mine']}}}"
    arguments = ["hparams/fbank_frozen.yaml", given, f"--results_folder={tmp_path}"]
    monkeypatch.setattr(sys, "argv", ["cross_corpus.py", *arguments, *SMALL])
    for _ in range(2):
        runpy.run_path("cross_corpus.py", run_name="__main__")
    rows = read_rows(tmp_path / "fbank_frozen" / "seed_1986" / "matrix.csv")
    assert rows[["trained_on", "tested_on", "n"]].values.tolist() == [
        ["RAVDESS", "mine", 9],
        ["mine", "RAVDESS", 576],
    ]
    assert "Labels: angry, happy, sad." in capsys.readouterr().out


def test_each_corpus_of_one_run_is_standardised_by_itself():
    settings = Settings.from_file(
        MULTI / "hparams" / "whisper_frozen_adapted.yaml",
        {"corpora": {"RAVDESS": "D", "nEMO": "E"}, "standardise_by": "corpus"},
    )
    assert settings["standardise_by"] == "corpus"
    assert settings["balance_by"] == ["corpus", "label"]
    assert settings["corpus"]["licence"] == "CC BY-NC-SA 4.0"  # of both


def test_several_corpora_are_read_through_the_settings(corpora, capsys):
    settings = Settings.from_file(
        MULTI / "hparams" / "fbank_ecapa.yaml",
        {"corpora": corpora, "label_map": {"surprised": None, "disgust": None}},
    )
    corpus = settings["corpus"]
    assert corpus["name"] == "RAVDESS + mine"
    assert corpus["licence"] == "RAVDESS: CC BY-NC-SA 4.0; mine: your own"
    utterances = read_utterances(settings)
    assert len(utterances) == 1449 - 2 * 192
    assert "Left out: 192 disgust, 192 surprised." in capsys.readouterr().out
