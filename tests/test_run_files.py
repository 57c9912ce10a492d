"""SpeechBrain's conventions in a run: train_log.txt, the script, labels, skip_prep."""

import runpy
import shutil
import sys

import pandas as pd
import pytest
from miniature_run import LABELS, RECIPE, miniature_options
from speechbrain.dataio.encoder import CategoricalEncoder

from ser_lib.training import History, create_run_folder
from ser_lib.training.history import log_test


def run_here(monkeypatch, *arguments) -> None:
    monkeypatch.chdir(RECIPE)
    monkeypatch.setattr(sys, "argv", ["train.py", *map(str, arguments)])
    runpy.run_path("train.py", run_name="__main__")


def test_the_train_log_has_a_line_for_each_epoch_and_one_for_the_test(tmp_path):
    history = History(tmp_path / "history.csv")
    history.append(epoch=1, train_loss=1.5, valid_loss=0.5, valid_accuracy=0.25, lr=0.1)
    history.write()
    history.append(epoch=2, train_loss=1.0, valid_loss=0.4, valid_accuracy=0.5, lr=0.2)
    history.write()
    log_test(tmp_path / "train_log.txt", {"epochs averaged": "2"}, accuracy=0.75)
    assert (tmp_path / "train_log.txt").read_text().splitlines() == [
        "epoch: 1, lr: 1.00e-01 - train loss: 1.50 - "
        "valid loss: 5.00e-01, valid accuracy: 2.50e-01",
        "epoch: 2, lr: 2.00e-01 - train loss: 1.00e+00 - "
        "valid loss: 4.00e-01, valid accuracy: 5.00e-01",
        "epochs averaged: 2 - test accuracy: 7.50e-01",
    ]


def test_the_script_of_a_run_is_copied_by_its_own_name(tmp_path, monkeypatch):
    script = tmp_path / "train_it.py"
    script.write_text(
        "from ser_lib.training import create_run_folder\ncreate_run_folder('run')\n"
    )
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script), run_name="__main__")
    copied = [path.name for path in (tmp_path / "run").glob("*.py")]
    assert copied == ["train_it.py"]
    assert (tmp_path / "run" / "train_it.py").read_text() == script.read_text()


def test_a_module_that_is_run_by_name_is_not_copied(tmp_path):
    create_run_folder(tmp_path / "run")  # by python -m pytest, or pytest
    names = {path.name for path in (tmp_path / "run").glob("*.py")}
    assert "run_folder.py" not in names
    assert "experiment.py" not in names


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The options of a miniature run, and the results folder with its folds."""
    folder = tmp_path_factory.mktemp("prepared in a folder")
    options = miniature_options(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        results = f"--results_folder={folder / 'results'}"
        run_here(patch, *options, results, "--prepare_only=True")
    return options, folder


@pytest.fixture
def skip(prepared, tmp_path, monkeypatch, capsys):
    """Prepare again with skip_prep in a copy; return the output and the exit code."""
    options, folder = prepared
    shutil.copytree(folder / "results", tmp_path / "results")

    def run(*more: str) -> tuple[str, int]:
        code = 0
        try:
            run_here(
                monkeypatch,
                *options,
                f"--results_folder={tmp_path / 'results'}",
                "--prepare_only=True",
                "--skip_prep=True",
                *more,
            )
        except SystemExit as end:
            code = end.code
        shown = capsys.readouterr()
        return shown.out + shown.err, code

    run.folder = tmp_path / "results" / "quickstart" / "seed_1986"
    return run


@pytest.mark.slow
def test_prepared_folds_are_reused_without_reading_the_corpus(skip, prepared):
    _, folder = prepared
    before = (skip.folder / "fold_1" / "test.csv").stat().st_mtime_ns
    moved = folder / "data" / "IEMOCAP" / "Session1" / "dialog" / "EmoEvaluation"
    moved.rename(folder / "without labels")
    try:
        output, code = skip()
    finally:
        (folder / "without labels").rename(moved)
    assert code == 0, output
    assert "skip_prep: the folds are those in" in output
    assert (skip.folder / "fold_1" / "test.csv").stat().st_mtime_ns == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("missing", "has no prepared folds to reuse: prepared.json is missing"),
        ("part", "fold_2 was changed after it was prepared"),
        ("no part", "train.csv: No such file"),
        ("damaged", "prepared.json is damaged"),
    ],
)
def test_folds_that_are_not_as_prepared_are_refused_in_one_line(skip, change, expected):
    part = skip.folder / "fold_2" / "train.csv"
    if change == "missing":
        (skip.folder / "prepared.json").unlink()
    elif change == "damaged":
        (skip.folder / "prepared.json").write_text("[]")
    elif change == "no part":
        part.unlink()
    else:
        rows = pd.read_csv(part, dtype=str, keep_default_na=False)
        rows[1:].to_csv(part, index=False)
    output, code = skip()
    assert code == 2, output
    assert expected in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_folds_of_other_settings_of_the_corpus_are_refused(skip):
    output, code = skip("--label_map={hap: null}")
    assert code == 2
    assert "were prepared with other settings of the corpus" in output
    output, code = skip("--lr_downstream=0.5")  # not of the corpus
    assert code == 0, output


@pytest.mark.slow
def test_audio_that_has_changed_since_is_noticed(skip, prepared):
    _, folder = prepared
    path = pd.read_csv(skip.folder / "fold_1" / "test.csv")["path"][0]
    wav = folder / "data" / "IEMOCAP" / path
    whole = wav.read_bytes()
    wav.write_bytes(whole[:-2] + b"\x11\x22")
    try:
        output, code = skip()
    finally:
        wav.write_bytes(whole)
    assert code == 2
    assert f"since the folds were prepared: 1, the first is {path}" in output


def test_speechbrain_reads_the_label_encoder_in_the_order_of_the_outputs(tmp_path):
    from ser_lib.dataio import write_label_encoder

    write_label_encoder(tmp_path / "label_encoder.txt", LABELS)
    encoder = CategoricalEncoder()
    encoder.load(tmp_path / "label_encoder.txt")
    encoder.expect_len(4)
    assert encoder.encode_sequence(LABELS) == [0, 1, 2, 3]
