"""What binds settings, code, READMEs and results together."""

import filecmp
import importlib.util
import re
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
import readme_parts

from ser_lib.evaluation.compare import update_readme as update_comparisons
from ser_lib.evaluation.readme_table import update_readme
from ser_lib.settings import Settings
from ser_lib.training import WITHOUT_EFFECT, finetuning_settings

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ROOT / "recipes"
EXPERIMENTS = sorted(
    path
    for path in RECIPES.glob("*/hparams/*.yaml")
    if path.parts[-3] != "Pretraining"  # see test_pretraining_run.py
)
TRACKED = [
    path
    for pattern in ("*.md", "*.toml", "recipes/**/*", "ser_lib/**/*", "pretrained/**/*")
    for path in ROOT.glob(pattern)
    if path.suffix in {".py", ".yaml", ".md", ".sh", ".toml"}
    and "results" not in path.relative_to(ROOT).parts
]


def test_there_are_experiments_and_they_are_all_looked_at():
    corpora = {path.parts[-3] for path in EXPERIMENTS}
    assert corpora == {path.parent.name for path in RECIPES.glob("*/corpus.yaml")}
    assert len(corpora) >= 9


OF_THE_EMOTION = ("label_smoothing", "class_weights", "focal_gamma")  # see tasks.py


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: f"{p.parts[-3]}-{p.stem}")
def test_every_setting_is_referred_to_or_read_by_the_code(path):
    settings = Settings.from_file(path)
    code = "".join(p.read_text() for p in (ROOT / "ser_lib").rglob("*.py"))
    code += (RECIPES / "IEMOCAP" / "train.py").read_text()
    for key in settings:
        assert (
            f"<{key}" in settings.text
            or f'["{key}"]' in code
            or f"hparams.{key}" in code
            or key in OF_THE_EMOTION
        ), f"{key} of {path} is never used"


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: f"{p.parts[-3]}-{p.stem}")
def test_an_experiment_is_named_after_its_file_and_its_stages_exist(path, tmp_path):
    given = {"data_folder": "DATA"}
    if path.parts[-3] == "Custom":
        given["csv"] = str(tmp_path / "my.csv")
        Path(given["csv"]).write_text("path,label,speaker\na,sad,A\nb,calm,B\n")
    if path.parts[-3] == "Multi":
        given["corpora"] = {"RAVDESS": "DATA", "nEMO": "DATA"}
    settings = Settings.from_file(path, given)
    assert settings["experiment"] == path.stem
    for upstream in settings["finetuned"]:
        assert finetuning_settings(settings, upstream)["data_folder"] == "DATA"


def test_settings_without_effect_exist():
    base = Settings.from_file(RECIPES / "hparams" / "base.yaml")
    own = [RECIPES / name / "corpus.yaml" for name in ("Custom", "Multi")]
    known = {*base, *(key for path in own for key in Settings(path.read_text()))}
    assert [key for key in WITHOUT_EFFECT if key not in known] == []


def test_every_train_py_of_a_corpus_is_the_same_file():
    scripts = sorted({path.parents[1] / "train.py" for path in EXPERIMENTS})
    first, *others = scripts
    assert others
    assert all(filecmp.cmp(first, other, shallow=False) for other in others)


def test_there_are_no_links_and_no_notebooks():
    found = [p for p in RECIPES.rglob("*") if p.is_symlink() or p.suffix == ".ipynb"]
    assert found == []


@pytest.mark.parametrize("path", TRACKED, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_holds_a_path_of_somebodys_machine(path):
    found = re.findall(
        r"(?<![\w.])/(?:home|root|mnt|tmp|work|Users)/\S*", path.read_text()
    )
    assert found == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "ser_lib").rglob("*.py")), ids=lambda p: p.name
)
def test_no_module_is_longer_than_about_three_hundred_lines(path):
    assert len(path.read_text().splitlines()) <= 320


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*/results.csv")), ids=str)
def test_the_table_of_a_readme_is_that_of_its_results_file(path, tmp_path):
    copy = tmp_path / "README.md"
    copy.write_text((path.parent / "README.md").read_text())
    assert not update_readme(copy, path), (
        f"run: python -m ser_lib.evaluation.readme_table {path}"
    )


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*/comparisons.csv")), ids=str)
def test_the_comparisons_of_a_readme_are_those_of_its_file(path, tmp_path):
    readme = (path.parent / "README.md").read_text()
    copy = tmp_path / "README.md"
    copy.write_text(readme)
    update_comparisons(copy, pd.read_csv(path))
    assert copy.read_text() == readme


def test_the_table_of_the_top_readme_is_that_of_ravdess(tmp_path):
    copy = tmp_path / "README.md"
    copy.write_text((ROOT / "README.md").read_text())
    assert not update_readme(copy, RECIPES / "RAVDESS" / "results.csv", False)


READMES = [
    path
    for pattern in (
        "README.md",
        "CONTRIBUTING.md",
        "recipes/*.md",
        "recipes/*/README.md",
        "pretrained/README.md",
        "pretrained/*/README.md",
    )
    for path in sorted(ROOT.glob(pattern))
]


@pytest.mark.parametrize("readme", READMES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_of_a_readme_lead_somewhere(readme):
    text = readme.read_text()
    for link in readme_parts.links(text):
        name, _, anchor = link.partition("#")
        target = readme.parent / name if name else readme
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in readme_parts.anchors(target.read_text()), link


@pytest.mark.parametrize("readme", READMES, ids=lambda p: str(p.relative_to(ROOT)))
def test_code_of_a_readme_is_fenced_and_its_language_is_named(readme):
    text = readme.read_text()
    assert re.findall(r"^(?: {4}|\t).*", readme_parts.prose(text), re.MULTILINE) == []
    fences = re.findall(r"^ *(?:```|~~~).*", text, re.MULTILINE)
    assert len(fences) % 2 == 0
    assert all(re.fullmatch(r"```\w+", fence) for fence in fences[::2])
    assert {*fences[1::2]} <= {"```"}


@pytest.mark.parametrize("readme", READMES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_modules_in_the_commands_of_a_readme_exist(readme):
    start = readme.parent if RECIPES in readme.parents else ROOT
    for folder, words in readme_parts.commands(readme.read_text(), start, ROOT):
        assert folder.is_dir(), folder
        for word in words:
            if not word.startswith(("/", "results/")) and re.fullmatch(
                r".+\.(py|sh)|(.*/)?hparams/\w+\.yaml", word
            ):
                assert (folder / word).is_file(), f"{word} in {folder}"
        for option, module in pairwise(words):
            if option == "-m" and module.startswith("ser_lib"):
                assert _can_be_run(module), module


def _can_be_run(module: str) -> bool:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.submodule_search_locations is None:
        return spec is not None
    return importlib.util.find_spec(f"{module}.__main__") is not None


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: f"{p.parts[-3]}-{p.stem}")
def test_the_figures_of_a_header_are_those_of_the_settings(path):
    paper = Settings.from_file(path).unresolved()["paper"]
    header = re.search(r"# Paper: WA (\d+\.\d+), UA (\d+\.\d+)", path.read_text())
    if paper is None:
        assert header is None
    else:
        assert [float(x) for x in header.groups()] == [paper["WA"], paper["UA"]]
