"""A table of experiments: its plan, its figures and its claims, without training."""

import io
import json
import shutil
from collections import namedtuple
from contextlib import redirect_stdout
from pathlib import Path

import pandas as pd
import pytest
import torch
from toy_table import (
    OPTIONS,
    RECIPES,
    finish,
    given,
    read_settings_once,
    toy_folds,
    write_half_finished,
    write_toy_table,
)

from ser_lib.corpora import read_manifest
from ser_lib.dataio import write_frames
from ser_lib.paper_table import plan as experiment_plan
from ser_lib.paper_table import run as experiment_table
from ser_lib.paper_table import run_table
from ser_lib.paper_table.figure import table_figure
from ser_lib.paper_table.plan import (
    check_disk,
    disk_text,
    make_plan,
    plan_table,
)
from ser_lib.paper_table.rows import read_rows
from ser_lib.paper_table.run import finished_results
from ser_lib.settings import Settings
from ser_lib.synthetic.encoders import write_tiny_bert, write_tiny_hubert

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _settings_read_once():
    with pytest.MonkeyPatch.context() as patch:
        read_settings_once(patch)
        yield


@pytest.fixture
def corpora_read(monkeypatch) -> list:
    """Put the toy folds in place of a corpus on disk; note how often it is read."""
    read = []

    def prepare(settings: Settings) -> list:
        read.append(settings["experiment"])
        return toy_folds()

    monkeypatch.setattr(experiment_plan, "prepare", prepare)
    return read


# ---- the plan


@pytest.fixture(scope="module")
def hubert(tmp_path_factory) -> str:
    return str(write_tiny_hubert(tmp_path_factory.mktemp("hubert")))


def plan_of(folder: Path, hubert: str, only: str, more: str = "") -> list:
    """Plan rows of the real table on the toy folds."""
    more = f"only: {only}\nhubert_source: {hubert}\n{more}"
    _, rows = read_rows(RECIPES / "IEMOCAP" / "table1.yaml", given(folder, more))
    return make_plan(rows, OPTIONS)


def counts(plans: list) -> list[list[int]]:
    """Folds to fine-tune, to compute frames of and to train, for each row."""
    return plan_table(plans)[["fine-tune", "frames", "train"]].to_numpy().tolist()


def test_what_rows_share_is_planned_once_for_the_first_that_needs_it(
    tmp_path, hubert, corpora_read
):
    only = "hubert_finetune,hubert_mean,hubert_ecapa"
    more = "ecapa_channels: [16, 16, 16, 16, 48]"
    plans = plan_of(tmp_path, hubert, only, more)
    assert counts(plans) == [[0, 0, 3], [0, 3, 3], [0, 0, 3], [0, 3, 9]]
    assert corpora_read == ["hubert_finetune"]
    alone = plan_of(tmp_path, hubert, "hubert_mean", "folds: 1,3")
    assert counts(alone) == [[2, 2, 2], [2, 2, 2]]
    assert plan_table(alone).loc["4", "to do"] == "1, 3"


def test_the_disk_of_a_plan_can_be_recomputed(tmp_path, hubert, corpora_read):
    (plan,) = plan_of(tmp_path, hubert, "hubert_mean", "folds: 1")
    # 12 utterances of 1 s, 50 frames a second, 64 numbers of 2 bytes.
    assert list(plan.encode.values()) == [12 * 50 * 64 * 2]
    # A linear layer from 64 to 4: weights and two moments, in 5 + 1 checkpoints; with
    # what torch adds to 2 tensors of the model, 6 of Adam and a checkpoint.
    more = 2 * 512 + 6 * 352 + 6144
    assert list(plan.train.values()) == [6 * (3 * 4 * (64 * 4 + 4) + more)]
    encoder_bytes = sum(p.stat().st_size for p in Path(hubert).glob("*.safetensors"))
    (finetune_bytes,) = plan.finetune.values()
    assert 12 * encoder_bytes < finetune_bytes < 19 * encoder_bytes


def test_work_that_is_done_is_not_planned_again(tmp_path, hubert, corpora_read):
    (plan,) = plan_of(tmp_path, hubert, "hubert_mean", "folds: 1")
    (frames,), (tuned,), (trained,) = plan.encode, plan.finetune, plan.train
    trained.mkdir(parents=True)
    (trained / "written").write_bytes(b"0" * 1000)
    (later,) = plan_of(tmp_path, hubert, "hubert_mean", "folds: 1")
    assert later.train[trained] == plan.train[trained] - 1000
    tuned.mkdir(parents=True)
    (tuned / "finished").touch()
    assert counts(plan_of(tmp_path, hubert, "hubert_mean", "folds: 1"))[0] == [0, 1, 1]
    write_frames(frames, 64, [("1-0", torch.zeros(1, 64))])
    (trained / "finished").touch()
    (last,) = plan_of(tmp_path, hubert, "hubert_mean", "folds: 1")
    assert (last.to_do, last.n_bytes) == ([1], 0)  # it is yet to be tested


def test_a_missing_encoder_is_an_error_of_the_plan(tmp_path, corpora_read):
    nowhere = str(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="hubert_mean: There is no encoder"):
        plan_of(tmp_path, nowhere, "fbank_ecapa,hubert_mean")


def test_a_corpus_without_transcripts_is_an_error_of_the_plan(
    tmp_path, hubert, corpora_read
):
    bert = write_tiny_bert(tmp_path / "bert", ["so it is"])
    with pytest.raises(ValueError, match="bert_ecapa reads transcripts, and 12 of 12"):
        plan_of(tmp_path, hubert, "hubert_mean,bert_ecapa", f"bert_source: {bert}")


def test_a_plan_that_does_not_fit_is_refused_with_the_numbers(
    tmp_path, monkeypatch, corpora_read
):
    table = write_toy_table(tmp_path)
    _, rows = read_rows(table, given(tmp_path, "only: absent"))
    plans = make_plan(rows, OPTIONS)
    needed = plans[0].n_bytes
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(needed))
    check_disk(plans)  # it just fits
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2e8))
    assert "0.2 GB are free" in disk_text(plans)
    with pytest.raises(OSError, match=r"needs 1\.3 GB in .* 200\.0 MB is free"):
        check_disk(plans)


# ---- the table


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Path, str]:
    """The folder of the table and the console's text; nothing is trained."""
    folder = tmp_path_factory.mktemp("table")
    table = write_half_finished(folder)
    more = "plan_only: True\nnote: says nothing about real speech"
    console = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(console):
        patch.setattr(experiment_plan, "prepare", lambda _: toy_folds())
        run_table(table, given(folder, more), OPTIONS)
    return folder / "results" / "toy", console.getvalue()


def test_the_figures_of_whole_partial_and_missing_rows(written):
    table = pd.read_csv(written[0] / "toy.csv").set_index("experiment")
    assert table["folds"].tolist() == [3, 2, 0]
    assert table["of_folds"].tolist() == [3, 3, 3]
    assert table["averaged"].tolist() == ["yes", "no", "no"]
    columns = ["n", "WA_mean", "WA_sd", "UA_mean", "UA_sd", "UA", "UA_low", "UA_high"]
    assert table.loc["whole", columns].tolist() == [12, 100, 0, 100, 0, 100, 100, 100]
    # 0 and 50 %: the mean is 25, the sd 50 / sqrt(2). All four "sad" are wrong, and
    # two of four "angry"; draws of fold 1 or of fold 2 alone give 0 and 50 %.
    assert table.loc["part", columns].tolist() == [8, 25, 35.36, 25, 35.36, 25, 0, 50]
    assert table.loc["absent", columns].isna().all()
    assert table["paper_UA"].tolist() == [90, 90, 90]
    assert table["difference_UA"].dropna().tolist() == [10, -65]
    assert table["difference_WA"].dropna().tolist() == [20, -55]


def test_claims_are_supported_contrary_not_supported_or_missing(written):
    claims = pd.read_csv(written[0] / "claims.csv").set_index("claim")
    assert claims["verdict"].to_dict() == {
        "the known": "supported",
        "the opposite": "contrary",
        "the same": "not supported",
        "the unknown": "missing",
    }
    assert claims["folds"].tolist() == [2, 2, 3, 0]  # those that both have
    columns = ["UA_difference", "low", "high"]
    assert claims.loc["the known", columns].tolist() == [75, 50, 100]
    assert claims.loc["the opposite", columns].tolist() == [-75, -100, -50]
    # Of 2000 draws none is on the far side, and the observed figures count as one.
    assert claims["p_value"].dropna().tolist() == [0.001, 0.001, 1.0]
    assert claims.loc["the unknown", columns].isna().all()


def test_the_table_is_shown_with_the_note_above_it_and_what_is_missing(written):
    folder, console = written
    text = (folder / "toy.md").read_text(encoding="utf-8")
    assert text.startswith(
        "# Toy table: TOY, seed 1986\n\n> says nothing about real speech\n"
    )
    assert console.index("says nothing about real speech") < console.index("± 35.36")
    assert "| 1 | whole | Fbank | yes | 3 | 100.00 ± 0.00 | 100.00 ± 0.00 |" in text
    assert "| 2 | part | Fbank | no | 2 of 3 folds | 25.00 ± 35.36 |" in text
    assert "| 80.00 | 90.00 | -55.00 | -65.00 |" in text
    assert "| 3 | absent | Fbank | no | missing |  |  | 80.00 | 90.00 |  |  |" in text
    assert "| 25.00 [0.00, 50.00] |" in text
    assert "| +75.00 [+50.00, +100.00] | 0.0010 |" in text
    for part in (text, console):
        assert "are not corrected for the number of claims" in part
    assert (folder / "toy.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in folder.iterdir()) == [
        *["claims.csv", "toy.csv", "toy.md", "toy.png"]
    ]


@pytest.mark.parametrize("fact", ["settings_key", "fold_digest"])
def test_a_fold_of_other_settings_or_other_data_is_not_in_the_table(
    tmp_path, corpora_read, fact
):
    table = write_toy_table(tmp_path)
    _, rows = read_rows(table, given(tmp_path, "only: whole"))
    finish(rows[0].settings, 1, "ssaa")
    finish(rows[0].settings, 2, "ssaa", **{fact: "another"})
    (plan,) = make_plan(rows, OPTIONS)
    assert (plan.finished, plan.to_do) == ([1], [2, 3])
    assert [result.fold for result in finished_results(plan, OPTIONS)] == [1]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"experiment": "whole"}'])
def test_a_fold_with_a_damaged_fold_json_is_to_be_done_again(
    tmp_path, corpora_read, content
):
    table = write_toy_table(tmp_path)
    _, rows = read_rows(table, given(tmp_path, "only: whole"))
    finish(rows[0].settings, 1, "ssaa")
    finish(rows[0].settings, 2, "ssaa")
    path = Path(rows[0].settings["output_folder"]) / "fold_2" / "fold.json"
    path.write_text(content)
    (plan,) = make_plan(rows, OPTIONS)
    assert (plan.finished, plan.to_do) == ([1], [2, 3])


def test_folds_of_an_earlier_run_with_more_of_them_are_not_in_the_table(
    tmp_path, corpora_read, capsys, caplog
):
    table = write_toy_table(tmp_path)
    _, rows = read_rows(table, given(tmp_path, "only: whole"))
    settings = rows[0].settings
    for fold in (1, 2, 3):
        finish(settings, fold, "ssaa")
    former = Path(settings["output_folder"]) / "fold_4"
    shutil.copytree(former.with_name("fold_3"), former)
    fold_info = json.loads((former / "fold.json").read_text())
    (former / "fold.json").write_text(json.dumps({**fold_info, "fold": 4}))
    run_table(table, given(tmp_path, "only: whole"), OPTIONS)
    table = pd.read_csv(tmp_path / "results" / "toy" / "toy.csv")
    assert table[["folds", "of_folds", "n"]].values.tolist() == [[3, 3, 12]]
    assert f"{former} is left out: not of this run" in caplog.text


def test_a_table_without_any_finished_fold_is_written_all_the_same(
    tmp_path, corpora_read, capsys
):
    table = write_toy_table(tmp_path)
    run_table(table, given(tmp_path, "plan_only: True\nonly: absent"), OPTIONS)
    assert "missing" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "results" / "toy" / "toy.csv")
    assert table["folds"].tolist() == [0]


def test_rows_without_a_score_of_the_paper_are_shown_below_as_our_own(
    tmp_path, corpora_read, capsys
):
    table = write_half_finished(tmp_path)
    own = tmp_path / "hparams" / "part.yaml"
    text = own.read_text().splitlines()
    own.write_text("\n".join(line for line in text if not line.startswith("paper:")))
    # Another note, so that the changed file is read.
    run_table(table, given(tmp_path, "plan_only: True\nnote: changed"), OPTIONS)
    shown = (tmp_path / "results" / "toy" / "toy.md").read_text(encoding="utf-8")
    papers, ours = shown.split("## Rows of our own, which the paper does not have")
    assert "| 1 | whole |" in papers and "| 3 | absent |" in papers
    assert "| 2 | part |" not in papers
    ours = ours.split("## ")[0]
    assert "| 2 | part | Fbank | no | 2 of 3 folds | 25.00 ± 35.36 |" in ours
    assert "paper" not in ours and "| 1 |" not in ours
    console = capsys.readouterr().out
    heading = console.index("Rows of our own, which the paper does not have\n")
    assert console.index("paper WA") < heading < console.index("pooled WA")
    scores = pd.read_csv(tmp_path / "results" / "toy" / "toy.csv")
    assert scores["experiment"].tolist() == ["whole", "part", "absent"]
    assert scores["paper_UA"].isna().tolist() == [False, True, False]


# ---- running what is missing


def test_only_what_is_missing_is_run_and_a_second_run_gives_the_same_table(
    tmp_path, monkeypatch, capsys, corpora_read
):
    table = write_half_finished(tmp_path)
    ran, reported = [], []

    def run_folds(settings: Settings, folds: list, options: object, said: str) -> None:
        print(said + settings["experiment"])
        ran.append(settings["experiment"])
        for fold in folds:
            finish(settings, fold.number, "ssaa")

    def report(settings: Settings, run_opts: object) -> None:
        reported.append(settings["experiment"])

    monkeypatch.setattr(experiment_table, "run_folds", run_folds)
    monkeypatch.setattr(experiment_table, "report", report)
    run_table(table, given(tmp_path), OPTIONS)
    assert ran == reported == ["part", "absent"]
    assert corpora_read == ["whole"]
    out = capsys.readouterr().out
    assert out.index("[2/3] part") < out.index("[3/3] absent")
    written = tmp_path / "results" / "absent" / "seed_1986" / "fold_2" / "test.csv"
    assert read_manifest(written) == toy_folds()[1].test
    tables = tmp_path / "results" / "toy"
    before = {path.name: path.read_bytes() for path in tables.iterdir()}
    run_table(table, given(tmp_path), OPTIONS)
    assert ran == ["part", "absent"]
    assert {path.name: path.read_bytes() for path in tables.iterdir()} == before


# ---- the figure


def test_the_figure_has_a_line_for_each_row_and_nothing_is_cut_off():
    lines = [
        {"row": k, "experiment": "hubert_w2v2_early", "folds": min(k, 5), "of_folds": 5}
        for k in range(11)
    ]
    figures = pd.DataFrame(lines)
    figures[["UA", "UA_low", "UA_high", "paper_UA"]] = [75.0, 73.0, 77.0, 74.0]
    figure = table_figure(figures, "A long title of a table " * 5, "A long note. " * 12)
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels[0] == "(missing)  hubert_w2v2_early  0"
    assert labels[4] == "(4 of 5 folds)  hubert_w2v2_early  4"
    assert labels[10] == "hubert_w2v2_early  10"
    figures.loc[10, "paper_UA"] = float("nan")
    ours = table_figure(figures, "A title").axes[0].get_yticklabels()[10].get_text()
    assert ours == "(ours alone)  hubert_w2v2_early  10"
    intervals = [x for x in figure.axes[0].lines if len(x.get_xdata()) == 2]
    assert [list(x.get_xdata()) for x in intervals] == [[73.0, 77.0]] * 10
    figure.draw_without_rendering()
    drawn, whole = figure.get_tightbbox(), figure.bbox_inches
    assert drawn.x0 >= 0 and drawn.y0 >= 0
    assert drawn.x1 <= whole.x1 and drawn.y1 <= whole.y1
