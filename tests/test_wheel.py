"""An installation from the wheel alone: its files, and its commands from any folder.

The package is built and installed without its dependencies, which are those of the
environment of the tests.
"""

import csv
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from miniature_run import miniature_options, miniature_table_options

from ser_lib.settings import RECIPES, Settings, find_settings
from ser_lib.synthetic.corpora import write_table
from ser_lib.training import finetuning_settings
from ser_lib.utils.packages import pins_of

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
SHIPPED = sorted(
    path.relative_to(ROOT).as_posix()
    for path in RECIPES.rglob("*.yaml")
    if "results" not in path.parts
)
SMALL = ["--number_of_epochs=1", "--ecapa_channels=[16,16,16,16,48]", "--num_workers=0"]


def pip(*arguments) -> None:
    command = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    if int(version("setuptools").split(".")[0]) < 77:
        pytest.skip("building the wheel needs the setuptools of tests/requirements.txt")
    copy = tmp_path_factory.mktemp("source") / "a copy"
    ignored = shutil.ignore_patterns("__pycache__", "results")
    for name in ("ser_lib", "recipes"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "requirements.txt", "README.md"):
        shutil.copy(ROOT / name, copy)
    shutil.copy(ROOT / "LICENSE", copy)
    (copy / "recipes/SAVEE/results/work").mkdir(parents=True)
    (copy / "recipes/SAVEE/results/corpus.yaml").write_text("of a run")
    pip("wheel", copy, "--no-deps", "--no-build-isolation", "-w", copy / "dist")
    (path,) = (copy / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def run(wheel, tmp_path_factory):
    """Give a function that calls a command of the installed wheel in a folder."""
    target = tmp_path_factory.mktemp("installed") / "site packages"
    pip("install", "--no-deps", "--target", target, wheel)
    others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    others = [path for path in others if path and Path(path).resolve() != ROOT]

    def call(command: str, *arguments, folder: Path) -> subprocess.CompletedProcess:
        script = ["-c", arguments[0]] if command == "-c" else [target / "bin" / command]
        arguments = arguments[1:] if command == "-c" else arguments
        return subprocess.run(
            [sys.executable, "-P", *map(str, [*script, *arguments])],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(target), *others])},
            capture_output=True,
            text=True,
        )

    return call


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "my folder").mkdir()
    return tmp_path / "my folder"


# ---- what is in the wheel


@pytest.mark.slow
def test_the_wheel_has_the_settings_of_the_recipes_and_the_licence(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    settings = [name for name in names if name.endswith(".yaml")]
    assert sorted(settings) == [f"ser_lib/{name}" for name in SHIPPED]
    assert len(settings) > 150
    assert any(name.endswith("licenses/LICENSE") for name in names)
    modules = {f"ser_lib/{p.relative_to(ROOT / 'ser_lib')}" for p in MODULES}
    assert {name for name in names if name.endswith(".py")} == modules


MODULES = [*(ROOT / "ser_lib").rglob("*.py")]


@pytest.mark.slow
def test_an_installation_knows_the_same_pins_as_the_checkout(run, folder):
    code = "import ser_lib, sys; from ser_lib.utils.packages import pins_of\n"
    code += "print(ser_lib.__file__, *map(pins_of, sys.argv[1:]), sep='\\n')"
    done = run("-c", code, "", *EXTRAS, folder=folder)
    file, *pins = done.stdout.splitlines()
    assert "site packages" in file
    assert pins == [str(pins_of(extra)) for extra in ("", *EXTRAS)]


def test_every_pin_is_exact_and_written_once():
    files = ("requirements.txt", "tests/requirements.txt")
    pins = [pin for name in files for pin in (ROOT / name).read_text().split()]
    pins += [pin for extra in EXTRAS.values() for pin in extra]
    names = [pin.partition("==")[0] for pin in pins]
    assert all("==" in pin for pin in pins)
    assert len({*names}) == len(names)


# ---- its commands


@pytest.mark.slow
def test_predict_classifies_a_file_from_any_folder(run, folder):
    shutil.copy(ROOT / "pretrained/examples/ravdess_01_angry.flac", folder / "a b.flac")
    model = ROOT / "pretrained" / "ser_whisper_tiny"
    done = run("ser-predict", model, "a b.flac", folder=folder)
    assert done.returncode == 0, done.stderr
    (row,) = csv.DictReader(done.stdout.splitlines())
    assert (row["path"], row["label"]) == ("a b.flac", "angry")
    assert float(row["score"]) == pytest.approx(0.844, abs=0.01)  # as in README.md


@pytest.mark.slow
def test_train_runs_an_experiment_by_its_name(run, folder):
    write_table(folder / "my data", utterances=2)
    table = next((folder / "my data").glob("*.csv"))
    options = ["--csv", table, "--fold_by=speaker", "--folds=1", *SMALL]
    done = run("ser-train", "Custom/fbank_ecapa", *options, folder=folder)
    assert done.returncode == 0, done.stderr
    report = folder / "results/fbank_ecapa/seed_1986/report/report.md"
    assert report.is_file()


@pytest.mark.slow
def test_train_runs_both_stages_of_settings_that_extend_an_experiment(run, folder):
    (folder / "mine.yaml").write_text(
        "extends: IEMOCAP/quickstart\nexperiment: mine\nnumber_of_epochs: 1\n"
    )
    _, *options = miniature_options(folder)
    options.remove("--number_of_epochs=2")
    done = run("ser-train", "mine.yaml", *options, folder=folder)
    assert done.returncode == 0, done.stderr
    predictions = folder / "results/mine/seed_1986/fold_1/predictions.csv"
    assert len(predictions.read_text().splitlines()) > 1
    assert {path.name for path in (folder / "results").iterdir()} == {"mine", "work"}


@pytest.mark.slow
def test_the_table_of_a_corpus_is_planned_from_any_folder(run, folder):
    options = [*miniature_table_options(folder), "--plan_only=True"]
    done = run("ser-table", "IEMOCAP", *options, folder=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "results/table1/table1.md").is_file()
    done = run("ser-table", "SAVEE", folder=folder)
    assert done.returncode == 2
    assert "no table SAVEE; expected a file, or one of IEMOCAP, RAVDESS" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", ["ser-predict", "ser-demo"])
def test_a_command_is_named_as_it_was_called(run, folder, command):
    usage = run(command, folder=folder)
    assert usage.returncode == 2
    assert usage.stderr.startswith(f"usage: {command} ")
    shown = run(command, "--help", folder=folder).stdout
    assert f"    {command} MODEL" in shown
    assert f"python -m ser_lib.{command.removeprefix('ser-')}" not in shown


@pytest.mark.slow
def test_a_new_corpus_is_not_written_into_an_installation(run, folder):
    code = "import sys; from ser_lib.corpora.__main__ import main; main(sys.argv[1:])"
    done = run("-c", code, "new", "Mine", folder=folder)
    assert "ValueError: A new corpus is written into a checkout" in done.stderr


# ---- names of settings


def test_a_file_of_the_folder_comes_before_an_experiment(tmp_path, monkeypatch):
    shipped = find_settings("SAVEE/fbank_ecapa")
    assert shipped == RECIPES / "SAVEE" / "hparams" / "fbank_ecapa.yaml"
    monkeypatch.chdir(tmp_path)
    Path("SAVEE").mkdir()
    Path("SAVEE/fbank_ecapa").write_text("seed: 1")
    assert find_settings("SAVEE/fbank_ecapa") == Path("SAVEE/fbank_ecapa")
    assert find_settings("SAVEE/corpus.yaml") == RECIPES / "SAVEE" / "corpus.yaml"
    assert find_settings("none.yaml") == Path("none.yaml")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("SAVEE/fbank_ecpa", "Did you mean SAVEE/fbank_ecapa"),
        ("superb", r"Did you mean .*IEMOCAP/superb"),
        ("zzz", "the corpora are CREMA-D, Custom, EmoDB"),
    ],
)
def test_a_wrong_name_lists_the_nearest_ones(name, near):
    with pytest.raises(FileNotFoundError, match=f"{name} is neither .*{near}"):
        find_settings(name)


def test_the_fine_tuning_of_extended_settings_is_beside_those(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: SAVEE/hubert_ecapa\nseed: 7\n")
    stage = finetuning_settings(
        Settings.from_file(mine, {"data_folder": "D"}), "upstream"
    )
    assert stage.path == RECIPES / "SAVEE" / "hparams" / "hubert_finetune.yaml"
    assert (stage["experiment"], stage["seed"]) == ("hubert_finetune", 7)


def test_a_fine_tuning_beside_the_own_settings_comes_first(tmp_path):
    (tmp_path / "hubert_finetune.yaml").write_text(
        "extends: SAVEE/hubert_finetune\nlr_upstream: 0.5\n"
    )
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: SAVEE/hubert_ecapa\n")
    stage = finetuning_settings(
        Settings.from_file(mine, {"data_folder": "D"}), "upstream"
    )
    assert (stage.path.parent, stage["lr_upstream"]) == (tmp_path, 0.5)
