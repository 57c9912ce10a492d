"""The files of a new corpus pass their tests at once, and nothing is overwritten."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ser_lib.corpora.skeleton import PARSER, write_skeleton

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def checkout(tmp_path):
    """A copy of what a checkout needs."""
    for name in ("ser_lib", "recipes", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "tests")
    shutil.copytree(ROOT / "tests" / "helpers", tmp_path / "tests" / "helpers")
    for name in ("test_recipes.py", "test_label_map.py"):
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests")
    return tmp_path


@pytest.mark.slow
def test_a_new_corpus_passes_the_tests_at_once(checkout):
    files = write_skeleton(checkout, "My-Corpus")
    assert {path.name for path in files} >= {"my_corpus.py", "corpus.yaml", "train.py"}
    tests = ["ser_lib/corpora/my_corpus.py", "tests/test_corpora_my_corpus.py"]
    chosen = "My-Corpus or vocabulary or same_file or looked_at"
    for arguments in (tests, ["tests/test_recipes.py", "tests", "-k", chosen]):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                *arguments,
            ],
            cwd=checkout,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(checkout), "HOME": "/none"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-3000:]
    for tool in (["ruff", "check"], ["ruff", "format", "--check"]):
        new = [str(path) for path in files if path.suffix == ".py"]
        done = subprocess.run(
            [sys.executable, "-m", *tool, *new], cwd=checkout, capture_output=True
        )
        assert done.returncode == 0, done.stdout


def test_a_parser_of_the_skeleton_has_under_forty_lines_of_code():
    code = PARSER[PARSER.index("_NAME =") :]  # after docstring and imports
    assert len([line for line in code.splitlines() if line.strip()]) < 40


def test_a_corpus_that_exists_is_not_overwritten(checkout):
    before = (checkout / "recipes" / "EmoDB" / "corpus.yaml").read_text()
    with pytest.raises(FileExistsError, match=r"EmoDB exists; choose another"):
        write_skeleton(checkout, "EmoDB")
    assert (checkout / "recipes" / "EmoDB" / "corpus.yaml").read_text() == before
    assert not (checkout / "tests" / "test_corpora_emodb.py").exists()


@pytest.mark.parametrize("name", ["", "../x", "my corpus", "1st", "a_b"])
def test_a_name_that_cannot_name_a_folder_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="cannot name a corpus; expected letters"):
        write_skeleton(tmp_path, name)
