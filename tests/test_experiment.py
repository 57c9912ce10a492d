"""The main path: a whole experiment through the recipe, and again."""

import runpy
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hyperpyyaml import load_hyperpyyaml
from miniature_run import LABELS, RECIPE, miniature_options, predictions_of, train
from speechbrain.utils.run_opts import RunOptions

from ser_lib.evaluation import compute_scores, read_predictions
from ser_lib.settings import Settings
from ser_lib.synthetic.encoders import write_tiny_hubert
from ser_lib.training import settings_key

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def options(tmp_path_factory) -> list[str]:
    return miniature_options(tmp_path_factory.mktemp("with a space"))


@pytest.fixture(scope="module")
def finished(options, tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess]:
    """The results of fold 1, trained without interruption."""
    results = tmp_path_factory.mktemp("finished")
    done = train(*options, f"--results_folder={results}")
    assert done.returncode == 0, done.stdout + done.stderr
    return results, done


def test_a_run_gives_predictions_history_report_and_settings(finished, options):
    results, done = finished
    folder = results / "quickstart" / "seed_1986"
    predictions = read_predictions(predictions_of(results), LABELS)
    test = pd.read_csv(folder / "fold_1" / "test.csv")
    assert sorted(predictions["id"]) == sorted(test["id"])
    assert compute_scores(predictions, LABELS).n == 16
    assert len(pd.read_csv(folder / "fold_1" / "history.csv")) == 2
    for name in ("report.md", "results.csv", "confusion.png", "learning_curves.png"):
        assert (folder / "report" / name).stat().st_size > 0
    assert "they say nothing about real speech" in (
        (folder / "report" / "report.md").read_text().replace("\n", " ")
    )
    assert "they say nothing about real speech" in done.stdout.replace("\n", " ")
    assert "The report is in" in done.stdout
    saved = load_hyperpyyaml((folder / "hyperparams.yaml").read_text())
    assert saved["number_of_epochs"] == 2


def test_a_finished_run_started_again_trains_nothing_and_prints_the_same_table(
    finished, options
):
    results, first = finished
    before = {p: p.stat().st_mtime_ns for p in results.glob("work/trained/*/save/*")}
    again = train(*options, f"--results_folder={results}")
    assert "Going into epoch" not in again.stdout + again.stderr
    assert before == {
        p: p.stat().st_mtime_ns for p in results.glob("work/trained/*/save/*")
    }
    assert table_of(first) == table_of(again)


def table_of(done: subprocess.CompletedProcess) -> list[str]:
    lines = done.stdout.splitlines()
    first = next(i for i, line in enumerate(lines) if line.split()[:2] == ["fold", "n"])
    last = next(i for i, line in enumerate(lines) if line.split()[:1] == ["pooled"])
    return lines[first : last + 1]


def test_stage_b_alone_is_trained_again_when_only_its_settings_change(
    finished, options
):
    results, _ = finished
    done = train(
        *options,
        f"--results_folder={results}",
        f"--output_folder={results / 'other'}",
        "--lr_downstream=0.002",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    trained = [p.name.split("-")[0] for p in (results / "work" / "trained").iterdir()]
    assert sorted(trained) == ["hubert_finetune", "quickstart", "quickstart"]
    assert len(list((results / "work" / "frames").iterdir())) == 1


def test_a_damaged_frame_store_is_computed_again_with_a_message(finished, options):
    results, _ = finished
    (frames,) = results.glob("work/frames/*/frames.f16")
    whole = frames.read_bytes()
    frames.write_bytes(whole[:1000])
    done = train(
        *options,
        f"--results_folder={results}",
        f"--output_folder={results / 'damaged'}",
        "--seed=1986",
        "--label_smoothing=0.1",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "was truncated or overwritten" in done.stdout + done.stderr
    assert frames.read_bytes() == whole


def run_here(monkeypatch, *arguments: str) -> None:
    """Run train.py in this process: for what takes no training."""
    monkeypatch.chdir(RECIPE)
    monkeypatch.setattr(sys, "argv", ["train.py", *map(str, arguments)])
    runpy.run_path("train.py", run_name="__main__")


def test_preparing_only_writes_the_parts_of_every_fold_and_stops(
    options, tmp_path, monkeypatch
):
    run_here(
        monkeypatch, *options, f"--results_folder={tmp_path}", "--prepare_only=True"
    )
    folder = tmp_path / "quickstart" / "seed_1986"
    for k in range(1, 6):
        rows = [
            pd.read_csv(folder / f"fold_{k}" / f"{part}.csv")
            for part in ("train", "valid", "test")
        ]
        assert [len(part) for part in rows] == [51, 13, 16]
        assert rows[0].columns[0] == "id"
    assert [p.name for p in (tmp_path / "work").iterdir()] == ["audio_hashes.csv"]


def test_flattened_settings_are_shown_without_a_data_folder(monkeypatch, capsys):
    run_here(monkeypatch, "hparams/hubert_ecapa.yaml", "--show_hparams=True")
    shown = capsys.readouterr().out
    assert "extends" not in Settings(shown)
    assert Settings(shown)["hubert_source"] == "facebook/hubert-large-ll60k"


@pytest.fixture
def settings(options) -> Settings:
    given = (option.removeprefix("--") for option in options[1:] if "=" in option)
    values = dict(option.split("=", 1) for option in given)
    text = "\n".join(f"{key}: {value}" for key, value in values.items())
    return Settings.from_file(RECIPE / options[0], text)


def changed(settings: Settings, **values) -> Settings:
    return Settings.from_file(settings.path, settings_overrides(settings) | values)


def settings_overrides(settings: Settings) -> dict:
    keys = ("data_folder", "hubert_source", "corpus", "finetuned", "number_of_epochs")
    return {key: settings[key] for key in keys}


@pytest.mark.parametrize(
    "values",
    [
        {"seed": 2},
        {"lr_downstream": 0.5},
        {"finetuned": {"upstream": {"averaged_checkpoints": 3}}},
        {"finetuned": {"upstream": {"overrides": {"number_of_epochs": 3}}}},
        {"label_smoothing": 0.2},
    ],
)
def test_a_setting_that_can_change_a_result_changes_the_key(settings, values):
    base = changed(settings)
    assert settings_key(base, RunOptions()) != settings_key(
        changed(settings, **values), RunOptions()
    )


@pytest.mark.parametrize(
    "values",
    [
        {"num_workers": 3},
        {"tensorboard": "no"},
        {"results_folder": "elsewhere"},
        {"folds": "3"},
        {"averaged_checkpoints": 1},  # acts when checkpoints are read
        {"note": "hello"},
    ],
)
def test_a_setting_that_cannot_change_a_result_keeps_the_key(settings, values):
    base = changed(settings)
    assert settings_key(base, RunOptions()) == settings_key(
        changed(settings, **values), RunOptions()
    )


def test_the_key_depends_on_the_weights_of_the_encoder_and_not_on_its_place(
    settings, tmp_path
):
    base = changed(settings)
    moved = changed(settings, hubert_source=str(write_tiny_hubert(tmp_path / "a")))
    other = write_tiny_hubert(tmp_path / "b", seed=1)
    assert settings_key(base, RunOptions()) == settings_key(moved, RunOptions())
    assert settings_key(base, RunOptions()) != settings_key(
        changed(settings, hubert_source=str(other)), RunOptions()
    )


def test_the_precision_belongs_to_the_key(settings):
    fp32, bf16 = RunOptions(), RunOptions(precision="bf16")
    assert settings_key(settings, fp32) != settings_key(settings, bf16)
