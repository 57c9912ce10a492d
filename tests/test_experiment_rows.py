"""Which experiments a table has, and which settings reach each of them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from toy_table import OPTIONS, RECIPES, read_settings_once

from ser_lib.paper_table.rows import read_rows
from ser_lib.settings import Settings
from ser_lib.synthetic.encoders import write_tiny_bert, write_tiny_hubert
from ser_lib.training import finetuning_settings, settings_key

pytestmark = pytest.mark.slow

TABLE1 = RECIPES / "IEMOCAP" / "table1.yaml"


@pytest.fixture(scope="module", autouse=True)
def _settings_read_once():
    with pytest.MonkeyPatch.context() as patch:
        read_settings_once(patch)
        yield


def test_the_rows_are_those_of_the_paper_and_the_claims_are_about_them():
    table, rows = read_rows(TABLE1, "")
    assert [row.number for row in rows] == list(range(1, 15))
    papers = rows[:11]
    for row in papers:
        assert row.settings["paper"]["source"].endswith(f"Table 1, row {row.number}")
    named = {name for c in table["claims"] for pair in c["pairs"] for name in pair}
    assert named <= {row.experiment for row in papers}


def test_our_own_rows_are_speech_and_text_and_have_no_score_of_the_paper():
    _, rows = read_rows(TABLE1, "")
    own = {row.experiment: row for row in rows[11:]}
    assert list(own) == [
        *["hubert_bert_late", "whisper_bert_late", "hubert_bert_attentive"]
    ]
    for row in own.values():
        assert row.settings["paper"] is None
        assert row.columns["modality"] == "speech + text"


def test_our_own_rows_share_the_fine_tuned_encoders_of_the_papers_rows(tmp_path):
    hubert = write_tiny_hubert(tmp_path / "hubert")
    bert = write_tiny_bert(tmp_path / "bert", ["so it is"])
    only = "only: hubert_ecapa,bert_ecapa,hubert_bert_late,hubert_bert_attentive"
    sources = f"data_folder: d\nhubert_source: {hubert}\nbert_source: {bert}"
    _, rows = read_rows(TABLE1, f"{only}\n{sources}")
    keys = {"hubert": set(), "bert": set()}
    for row in rows:
        for upstream in row.settings["finetuned"]:
            name = row.experiment.split("_")[0] if upstream == "upstream" else upstream
            stage = finetuning_settings(row.settings, upstream)
            keys[name].add(settings_key(stage, OPTIONS))
    assert len(rows) == 4
    assert [len(found) for found in keys.values()] == [1, 1]


def test_some_experiments_are_chosen_by_name_in_the_order_of_the_table():
    _, rows = read_rows(TABLE1, "only: fbank_ecapa, hubert_ecapa")
    assert [row.experiment for row in rows] == ["hubert_ecapa", "fbank_ecapa"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("only: fbank_ekapa", "Unknown experiment 'fbank_ekapa' in --only. .*_ecapa'"),
        ("number_of_epoch: 2", "'number_of_epoch' on the command.*'number_of_epochs'"),
        ("hubert_source: x", "Unknown setting 'hubert_source' on the command line"),
        ("output_folder: x", "--output_folder .*--changes FILE, or use train.py"),
        ("number_of_epochs: many", "expected a number, such as"),
    ],
)
def test_a_wrong_option_is_refused_with_what_was_expected(options, message):
    only = "" if options.startswith("only") else "only: fbank_ecapa"
    with pytest.raises(ValueError, match=message):
        read_rows(TABLE1, f"{only}\n{options}")


def test_a_setting_holds_for_the_experiments_that_have_it():
    only = "only: hubert_w2v2_late,fbank_ecapa"
    _, rows = read_rows(TABLE1, f"{only}\nhubert_source: x\nseed: 3\nfolds: 2")
    late, fbank = (row.settings for row in rows)
    assert late["hubert_source"] == "x"
    assert late["w2v2_source"] == "facebook/wav2vec2-large-robust"
    assert "hubert_source" not in fbank
    assert [(s["seed"], s["folds"]) for s in (late, fbank)] == [(3, 2), (3, 2)]


# ---- changes


SMALL_TABLE = """
only: all
changes: null
plan_only: False
rows:
  - {row: 1, experiment: hubert_finetune}
  - {row: 2, experiment: hubert_mean}
  - {row: 3, experiment: hubert_w2v2_early}
  - {row: 4, experiment: bert_ecapa}
"""


@pytest.fixture(scope="module")
def small_table(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    (folder / "hparams").symlink_to(TABLE1.parent / "hparams")
    (folder / "small.yaml").write_text(SMALL_TABLE)
    return folder / "small.yaml"


@pytest.fixture
def changed(small_table, tmp_path) -> Callable[..., dict[str, Settings]]:
    """Give the settings of some of the recipe's experiments, with a file of changes."""

    def read(text: str, more: str = "") -> dict[str, Settings]:
        (tmp_path / "changes.yaml").write_text(text)
        more = f"changes: {tmp_path / 'changes.yaml'}\n{more}"
        _, rows = read_rows(small_table, more)
        return {row.experiment: row.settings for row in rows}

    return read


def test_the_command_line_comes_before_an_experiment_and_that_before_all(changed):
    settings = changed(
        "all: {seed: 1, corpus: {counts: {neu: 5}}}\n"
        "bert_ecapa: {seed: 2, embedding_size: 7}\n",
        "embedding_size: 8",
    )
    assert settings["hubert_mean"]["seed"] == 1
    assert settings["bert_ecapa"]["seed"] == 2
    assert settings["bert_ecapa"]["embedding_size"] == 8
    assert settings["bert_ecapa"]["corpus"]["counts"]["neu"] == 5
    assert settings["bert_ecapa"]["corpus"]["counts"]["hap"] == 595


def test_a_changed_fine_tuning_is_shared_by_its_row_and_the_rows_that_build_on_it(
    changed, tmp_path
):
    encoder = write_tiny_hubert(tmp_path / "hubert")
    settings = changed(
        "all: {batch_size: 4, num_workers: 0}\n"
        "hubert_finetune: {number_of_epochs: 3, freeze_feature_extractor: False}\n",
        f"data_folder: d\nseed: 5\nhubert_source: {encoder}\nw2v2_source: {encoder}",
    )
    key = settings_key(settings["hubert_finetune"], OPTIONS)
    stages = {"hubert_mean": "upstream", "hubert_w2v2_early": "hubert"}
    for name, upstream in stages.items():
        stage = finetuning_settings(settings[name], upstream)
        assert (stage["number_of_epochs"], stage["batch_size"]) == (3, 4)
        assert settings_key(stage, OPTIONS) == key, name
    assert settings["hubert_mean"]["number_of_epochs"] == 20
    w2v2 = finetuning_settings(settings["hubert_w2v2_early"], "w2v2")
    assert w2v2["number_of_epochs"] == 15


def test_what_cannot_change_a_result_does_not_reach_the_stage(changed):
    settings = changed("all: {num_workers: 0, note: hello}", "seed: 2")
    block = settings["hubert_mean"]["finetuned"]["upstream"]
    assert block["overrides"] == {}


def test_a_stage_that_is_no_row_can_be_changed(changed):
    settings = changed("bert_finetune: {number_of_epochs: 3}", "seed: 2")
    overrides = settings["bert_ecapa"]["finetuned"]["upstream"]["overrides"]
    assert overrides == {"number_of_epochs": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hubert_maen: {seed: 1}", "Unknown experiment 'hubert_maen'.*'hubert_mean'"),
        ("all: {sed: 1}", "Unknown setting 'sed' in .*changes.yaml, all. .*'seed'"),
        ("bert_ecapa: {hubert_source: x}", "'hubert_source' in .*, bert_ecapa"),
        ("all: 3", "expected settings .* found {'all': 3}"),
    ],
)
def test_an_unsound_file_of_changes_is_refused(changed, text, message):
    with pytest.raises(ValueError, match=message):
        changed(text)


def test_a_missing_file_of_changes_is_named():
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yaml"):
        read_rows(TABLE1, "changes: nowhere.yaml")
