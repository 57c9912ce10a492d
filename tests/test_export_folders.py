"""Where an export writes: what it replaces, what it leaves alone, what it refuses."""

import fnmatch
import json
import os
import shutil

import pytest
from model_folders import RATE_HZ, run_experiment, speech, write_corpus, write_folder
from safetensors.torch import load

import ser_lib.export.run
from ser_lib.export import export_run
from ser_lib.export.__main__ import main
from ser_lib.export.run import UNFINISHED
from ser_lib.inference import EmotionRecognizer
from ser_lib.model_folder.description import read_model_info

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two folds of a tiny run."""
    corpus = write_corpus(tmp_path_factory.mktemp("corpus"))
    options = {"n_mels": 20, "embedding_size": 6, "number_of_epochs": 1}
    return run_experiment(corpus, "fbank_ecapa", folds=(1, 2), **options)


@pytest.fixture(scope="module")
def models(run, tmp_path_factory):
    """The models of both folds, exported apart, and both as an ensemble."""
    folder = tmp_path_factory.mktemp("models")
    for name, folds in {"first": [1], "second": [2], "both": [1, 2]}.items():
        export_run(run, folder / name, folds)
    return folder


def content_of(folder) -> dict:
    """Read all files; weights are told by their values, since headers have no order."""
    content = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    for name in fnmatch.filter(content, "fold_[0-9].safetensors"):
        weights = load(content[name])
        content[name] = {key: weights[key].tolist() for key in sorted(weights)}
    if b"sha256" in content.get("model.json", b""):
        info = json.loads(content["model.json"])
        for member in info["members"].values():
            del member["sha256"]
        content["model.json"] = info
    return content


def probabilities(folder):
    recognizer = EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})
    return recognizer.classify_array(speech(1.0), RATE_HZ)[0]


# ---- which fold


@pytest.mark.parametrize("fold", ["0", "3", "-1"])
def test_a_fold_that_the_run_has_not_finished_is_refused_with_those_it_has(
    run, tmp_path, fold
):
    message = rf"Fold {fold} of .* cannot be used.*Finished folds: \[1, 2\]"
    with pytest.raises(FileNotFoundError, match=message):
        main([str(run), str(tmp_path / "out"), f"--fold={fold}"])
    assert list(tmp_path.iterdir()) == []


def test_a_copy_of_a_fold_is_not_of_the_run_and_an_empty_fold_json_is_named(
    run, tmp_path
):
    copy = shutil.copytree(run, tmp_path / "run")
    shutil.copytree(copy / "fold_2", copy / "fold_2 copy")
    (copy / "fold_1" / "fold.json").write_text("")
    main([str(copy), str(tmp_path / "out"), "--ensemble"])
    assert list(read_model_info(tmp_path / "out")["members"]) == ["fold_2"]
    with pytest.raises(FileNotFoundError, match=r"fold\.json is damaged"):
        main([str(copy), str(tmp_path / "other"), "--fold=1"])


def test_a_model_folder_in_place_of_a_run_is_named_as_such(models, tmp_path):
    with pytest.raises(FileNotFoundError, match="first is a model folder.*of a run"):
        main([str(models / "first"), str(tmp_path / "out")])


# ---- what else is in the folder


def test_only_files_of_an_export_are_replaced(run, models, tmp_path):
    out = shutil.copytree(models / "both", tmp_path / "model")
    (out / "model.onnx").write_text("of the ensemble")
    (out / "my_notes.txt").write_text("mine")
    (out / "fold_notes.safetensors").write_text("mine, too")
    (out / ".git").mkdir()
    (out / ".git" / "HEAD").write_text("ref: refs/heads/main")
    export_run(run, out, [1])
    own = content_of(models / "first")
    mine = {"my_notes.txt": b"mine", "fold_notes.safetensors": b"mine, too"}
    assert content_of(out) == own | mine
    assert (out / ".git" / "HEAD").read_text() == "ref: refs/heads/main"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_the_current_folder_can_be_exported_to(run, models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main([str(run), "."])
    assert content_of(tmp_path) == content_of(models / "first")
    main([str(run), ".", "--fold=2"])
    assert content_of(tmp_path) == content_of(models / "second")


@pytest.mark.parametrize("text", ["{}", "[1]", "{", '{"format": "tfjs"}'])
def test_a_folder_with_a_model_json_of_something_else_is_left_alone(
    run, tmp_path, text
):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(FileExistsError, match="is not a model folder.*nothing was"):
        export_run(run, tmp_path)
    assert content_of(tmp_path) == {"model.json": text.encode()}


def test_a_file_in_the_place_of_the_folder_is_left_alone(run, tmp_path):
    (tmp_path / "model").write_text("mine")
    with pytest.raises(FileExistsError, match="is not a model folder"):
        export_run(run, tmp_path / "model")
    assert (tmp_path / "model").read_text() == "mine"


def test_an_older_format_is_replaced(run, models, tmp_path):
    out = write_folder(tmp_path / "model")
    (out / "model.json").write_text('{"format": 2, "members": {"fold_1": {}}}')
    with pytest.raises(ValueError, match="format 2; .*ser_lib.export RUN_FOLDER .*mod"):
        EmotionRecognizer.from_hparams(out)
    export_run(run, out)
    assert content_of(out) == content_of(models / "first")


# ---- stopped on the way


class Killed(BaseException):
    """Stands in for a kill; nothing may clean up after it but the next export."""


def stop_at(monkeypatch, n_steps: int) -> None:
    """Let an export be killed before its n-th step of putting files in place."""
    steps = iter(range(n_steps))
    change = {"replace": os.replace, "unlink": type(ser_lib.export.run.Path()).unlink}

    def counted(name):
        def step(*arguments, **options):
            if next(steps, None) is None:
                raise Killed
            return change[name](*arguments, **options)

        return step

    monkeypatch.setattr(ser_lib.export.run.os, "replace", counted("replace"))
    monkeypatch.setattr(ser_lib.export.run.Path, "unlink", counted("unlink"))


@pytest.mark.parametrize(("old", "folds"), [("both", [2]), ("first", [2]), (None, [2])])
def test_after_a_kill_the_old_model_loads_or_none_until_it_is_exported_again(
    run, models, tmp_path, monkeypatch, old, folds
):
    loaded = ser_lib.export.run.load_trained(run, *folds)
    monkeypatch.setattr(ser_lib.export.run, "load_trained", lambda *_, **__: loaded)
    allowed = [probabilities(models / name) for name in (old or "second", "second")]
    new, n_refused = content_of(models / "second"), 0
    for n_steps in range(20):
        out = tmp_path / f"model_{n_steps}"
        if old:
            shutil.copytree(models / old, out)
        with pytest.MonkeyPatch.context() as patch:
            stop_at(patch, n_steps)
            try:
                export_run(run, out, folds)
                break
            except Killed:
                pass
        assert (out / UNFINISHED).is_dir()
        try:
            found = probabilities(out)
            assert any(found.equal(expected) for expected in allowed)
        except (FileNotFoundError, ValueError) as error:
            n_refused += 1
            assert "xport" in str(error)  # it again
        export_run(run, out, folds)
        assert content_of(out) == new
        assert not (out / UNFINISHED).exists()
    assert content_of(out) == new
    assert 0 < n_refused <= n_steps <= 7
