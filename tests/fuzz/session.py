"""Chooses inputs of all kinds, tries them, and prints what was found."""

import importlib
import math
import random
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fuzz import (
    audio,
    encoders,
    lines,
    models,
    names,
    processes,
    runs,
    settings,
    tables,
)
from fuzz.case import Case, Common
from fuzz.common import common_in, make
from fuzz.forked import run_all
from fuzz.verdict import findings_of, told

# What gives the cases of each kind, and its share of them.
KINDS = {
    "audio": (audio.cases, 0.16),
    "tables": (tables.cases, 0.16),
    "settings": (settings.cases, 0.16),
    "models": (models.cases, 0.15),
    "names": (names.cases, 0.12),
    "runs": (runs.cases, 0.10),
    "lines": (lines.cases, 0.10),
    "encoders": (encoders.cases, 0.02),
    "processes": (processes.cases, 0.03),
}
# What the commands import; they are forked with all of it.
_IMPORTED = (
    "matplotlib.pyplot",
    "transformers",
    "ser_lib.paper_table.run",
    "ser_lib.inference.recognizer",
    "ser_lib.predict.results",
    "ser_lib.export.run",
    "ser_lib.pretraining.probe",
    "ser_lib.upstreams.huggingface",
)


@dataclass(frozen=True)
class Choice:
    """Which inputs are tried.

    Arguments
    ---------
    kinds : Sequence[str]
        Of :data:`KINDS`.
    n : int
        How many if all kinds are tried.
    seed : int
        Chooses and draws them.
    index : int | None
        The number of one, to try it alone.
    """

    kinds: Sequence[str]
    n: int
    seed: int
    index: int | None = None

    def cases(self, kind: str, common: Common) -> list[tuple[int, Case]]:
        """Number the cases of a kind, and choose as many as its share is."""
        cases_of, share = KINDS[kind]
        n = math.ceil(share * self.n)
        cases = list(enumerate(cases_of(common, n, self.seed)))
        if self.index is not None:
            return [cases[self.index]]
        chosen = random.Random(self.seed).sample(cases, min(n, len(cases)))
        return sorted(chosen, key=lambda pair: pair[0])


def try_all(root: Path, choice: Choice) -> tuple[Counter, Counter]:
    """Try inputs, and print a line for each that broke a promise.

    Arguments
    ---------
    root : Path
        An empty folder, below which everything is written.
    choice : Choice
        Which inputs.

    Returns
    -------
    tuple[Counter, Counter]
        How many were tried and how many broke a promise, by kind.
    """
    common = common_in(root)
    # Drawn before the imports: hypothesis looks at what is imported.
    chosen = {kind: choice.cases(kind, common) for kind in choice.kinds}
    for name in _IMPORTED:
        importlib.import_module(name)
    make(common, root)
    n_tried, n_found = Counter(), Counter()
    for kind, cases in chosen.items():
        (root / kind).mkdir()
        for index, case, folder, outcome in run_all(cases, root / kind):
            n_tried[kind] += 1
            if found := findings_of(case, folder, outcome):
                n_found[kind] += 1
                text = told(case, outcome, found).replace(str(root), "...")
                print(f"{kind} {index}: {text}", flush=True)
            if choice.index is not None:
                print(f"{outcome.stdout}\n{outcome.stderr}\n{outcome}")
            shutil.rmtree(folder)
    return n_tried, n_found
