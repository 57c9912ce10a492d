"""Try inputs that nobody should send on the commands, and say which break a promise:

    python tests/fuzz_inputs.py                             400 inputs, seed 0
    python tests/fuzz_inputs.py --seed 1 --only audio,tables
    python tests/fuzz_inputs.py --only audio --index 17     one of them, with its output
    python tests/fuzz_inputs.py --n 2000                    all that are written down

Some inputs are written down in tests/fuzz, others are drawn by hypothesis; the seed
chooses among the former and draws the latter. --index goes with the same --seed and --n.

Promised is: no traceback, the exit code that belongs to the input, a message where that
is not 0, an end within 10 s, at most 2 GB of memory, and nothing of the input run. Each
finding is a line; the exit code is 1 if there is one. Everything is written below one
temporary folder, which is removed at the end. pytest runs nothing of this.
"""

import argparse
import importlib
import math
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(1, str(REPOSITORY))
os.environ |= {
    "PYTHONPATH": str(REPOSITORY),
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "MPLBACKEND": "agg",
}

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
    "ser_lib.experiment_table",
    "ser_lib.inference",
    "ser_lib.predict",
    "ser_lib.pretraining.probe",
    "ser_lib.upstreams",
)


def main() -> int:
    """Try inputs; give the exit code."""
    options = _parse_options()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz_inputs_") as root:
        n_tried, n_found = _try_all(Path(root), options)
    print("\nkind          inputs  with findings")
    for kind, n in n_tried.items():
        print(f"{kind:12} {n:7} {n_found[kind]:14}")
    took_s = time.monotonic() - begun
    print(f"{'all':12} {n_tried.total():7} {n_found.total():14}   in {took_s:.0f} s")
    return 1 if n_found else 0


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n", type=int, default=400, help="number of inputs")
    parser.add_argument(
        "--only", default=",".join(KINDS), help=f"of {', '.join(KINDS)}"
    )
    parser.add_argument("--index", type=int, help="this one alone, of one kind")
    options = parser.parse_args()
    options.kinds = options.only.split(",")
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"--only: there is no kind {sorted(unknown)}")
    return options


def _cases_of(
    kind: str, common: Common, options: argparse.Namespace
) -> list[tuple[int, Case]]:
    """Number the cases of a kind, and choose as many as its share is."""
    cases_of, share = KINDS[kind]
    n = math.ceil(share * options.n)
    cases = list(enumerate(cases_of(common, n, options.seed)))
    if options.index is not None:
        return [cases[options.index]]
    chosen = random.Random(options.seed).sample(cases, min(n, len(cases)))
    return sorted(chosen, key=lambda pair: pair[0])


def _try_all(root: Path, options: argparse.Namespace) -> tuple[Counter, Counter]:
    common = common_in(root)
    # Drawn before the imports: hypothesis looks at what is imported.
    chosen = {kind: _cases_of(kind, common, options) for kind in options.kinds}
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
            if options.index is not None:
                print(f"{outcome.stdout}\n{outcome.stderr}\n{outcome}")
            shutil.rmtree(folder)
    return n_tried, n_found


if __name__ == "__main__":
    sys.exit(main())
