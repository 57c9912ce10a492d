"""Find the finished runs in a folder, and the command that repeats each."""

import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from ser_lib.evaluation import FoldResult, collect, left_out_folds, read_report_info
from ser_lib.folds import CORPUS_FILE
from ser_lib.settings import RECIPES, Settings, options_of
from ser_lib.training import HOW_IT_RUNS

SETTINGS_FILE = "hyperparams.yaml"
# Tables and folders of this machine; the command has a placeholder for them.
_NOT_IN_THE_COMMAND = HOW_IT_RUNS | {"csv", "corpora"}
# What the settings of an experiment build.
_BUILT_FROM = ("ser_lib.", "speechbrain.", "torch.")
_CALLED = ("operator.getitem", "os.path.basename")


@dataclass(frozen=True)
class Run:
    """A run, in the results folder or in a pack.

    Its settings are never built, because those of a pack could name any function.
    """

    folder: Path

    @cached_property
    def settings(self) -> Settings:
        """The flattened settings, which must not be built."""
        path = self.folder / SETTINGS_FILE
        return Settings(path.read_text(encoding="utf-8"), path)

    @cached_property
    def corpus(self) -> dict:
        """The block ``corpus`` of ``corpus.yaml``."""
        path = self.folder / CORPUS_FILE
        content = YAML(typ="safe").load(path)
        block = content.get("corpus") if isinstance(content, dict) else None
        if not isinstance(block, dict) or not isinstance(block.get("name"), str):
            raise ValueError(f"{path} has no block 'corpus' with a name.")
        return block

    @cached_property
    def report(self) -> dict:
        """The content of ``report.json``."""
        return read_report_info(self.folder)

    @cached_property
    def results(self) -> list[FoldResult]:
        """The finished folds, with scores computed from their predictions."""
        return collect(self.folder, self.report["labels"], self.report["settings_key"])

    @property
    def name(self) -> str:
        """Its folder in a pack: ``<experiment>/seed_<n>``."""
        return f"{self.experiment}/seed_{self.seed}"

    @property
    def experiment(self) -> str:
        """The name of its experiment."""
        return self.results[0].experiment

    @property
    def seed(self) -> int:
        """Its seed."""
        return self.results[0].seed

    def check_finished(self) -> None:
        """Raise ValueError, naming the folds, if a fold is not finished."""
        left_out = left_out_folds(self.folder, self.report["settings_key"])
        if left_out or not self.results:
            reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
            raise ValueError(
                f"{self.folder} is not finished ({reasons or 'no folds'}). Run its "
                f"train.py with --folds all, then publish it."
            )
        reported = pd.read_csv(
            self.folder / "report" / "results.csv", dtype={"fold": str}
        )["fold"].tolist()
        folds = [str(result.fold) for result in self.results]
        if reported != [*folds, "pooled"]:
            raise ValueError(
                f"The report of {self.folder} has the folds {reported[:-1]}, but "
                f"{folds} are finished. Write it again: python -m "
                f"ser_lib.evaluation.report {self.folder}"
            )


def find_runs(folder: str | Path) -> list[Run]:
    """Return the run in a folder, or the runs below it, sorted by name.

    Arguments
    ---------
    folder : str | Path
        ``<results>/<experiment>/seed_<n>``, or a folder above several such.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    folder = Path(folder)
    paths = [folder] if _is_run(folder) else []
    paths = paths or sorted({*folder.glob("seed_*"), *folder.glob("*/seed_*")})
    runs = [Run(path) for path in paths if _is_run(path)]
    if not runs:
        raise FileNotFoundError(
            f"{folder} has no results to publish. Expected the output folder of a "
            f"run, such as results/fbank_ecapa/seed_1986, or a folder with several."
        )
    return runs


def _is_run(folder: Path) -> bool:
    return (folder / SETTINGS_FILE).is_file() and (folder / "folds.json").is_file()


def repeating_commands(run: Run) -> list[str]:
    """Return the shell commands that repeat a run, in a clone of the repository."""
    recipe = _recipe(run.corpus["name"])
    file = RECIPES / recipe / "hparams" / f"{run.experiment}.yaml"
    data = _data_options(run.corpus["name"], recipe)
    if "/" in run.experiment or not file.is_file():  # not of the repository
        path = shlex.quote(f"PACK/{run.name}/{SETTINGS_FILE}")
        return [f"cd recipes/{recipe}", f"python train.py {path} {data}"]
    defaults = Settings.from_file(file).unresolved()
    options = options_of(run.settings.unresolved(), defaults, _NOT_IN_THE_COMMAND)
    command = shlex.join(["python", "train.py", f"hparams/{file.name}"])
    return [f"cd recipes/{recipe}", " ".join([command, data, *options])]


def _recipe(corpus: str) -> str:
    """Return the folder of the recipe that has the corpus."""
    if " + " in corpus:
        return "Multi"
    known = {path.parent.name for path in RECIPES.glob("*/hparams")}
    return corpus if corpus in known else "Custom"


def _data_options(corpus: str, recipe: str) -> str:
    if recipe == "Multi":
        folders = ", ".join(f"{name}: DIR" for name in corpus.split(" + "))
        return shlex.join(["--corpora", f"{{{folders}}}"])
    return "--csv TABLE.csv" if recipe == "Custom" else "--data_folder DATA"


def foreign_objects(settings: Settings) -> list[str]:
    """Return what settings would build or call from outside the recipes' libraries."""
    return [
        f"{name} in {where}"
        for where, name in _objects(settings.unresolved(), "settings")
        if not name.partition(":")[2].startswith(_BUILT_FROM)
        and name.partition(":")[2] not in _CALLED
    ]


def _objects(tree: Any, where: str) -> Iterator[tuple[str, str]]:
    """Yield the tags of a tree with the settings that they are in."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            is_tag = isinstance(key, str) and key.startswith("!")
            if is_tag and key.startswith(("!new:", "!name:", "!apply:", "!module:")):
                yield where, key
            yield from _objects(value, where if is_tag else str(key))
    elif isinstance(tree, list):
        for value in tree:
            yield from _objects(value, where)


def same_names(runs: Collection[Run]) -> None:
    """Raise ValueError if two runs would have the same folder in a pack."""
    names = [run.name for run in runs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        folders = [str(run.folder) for run in runs if run.name in twice]
        raise ValueError(
            f"Several runs are {', '.join(twice)}: {', '.join(folders)}. Publish them "
            f"one by one."
        )
