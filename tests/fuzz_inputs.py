"""Try inputs that nobody should send on the commands, and say which break a promise:

    python tests/fuzz_inputs.py                             600 inputs, seed 0
    python tests/fuzz_inputs.py --seed 1 --only audio,tables
    python tests/fuzz_inputs.py --only audio --index 17     one of them, with its output
    python tests/fuzz_inputs.py --n 2000                    all that are written down

Some inputs are written down in tests/fuzz, others are drawn by hypothesis; the seed
chooses among the former and draws the latter. An index goes with its seed and --n.

Promised is: no traceback, the exit code that belongs to the input, a message where that
is not 0, an end within 10 s, at most 2 GB of memory, and nothing of the input run. Each
finding is a line; the exit code is 1 if there is one. Everything is written below one
temporary folder, which is removed at the end. pytest runs nothing of this.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
ENVIRONMENT = {
    "PYTHONPATH": str(REPOSITORY),
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "MPLBACKEND": "agg",
}


def main() -> int:
    """Try inputs; give the exit code."""
    parser = _parser()
    options = parser.parse_args()
    os.environ |= ENVIRONMENT
    sys.path.insert(1, str(REPOSITORY))
    # After the environment is set, since numpy reads it and may start threads.
    from fuzz import session

    kinds = options.only.split(",") if options.only else list(session.KINDS)
    if unknown := [kind for kind in kinds if kind not in session.KINDS]:
        parser.error(f"--only: there is no kind {unknown}, only {[*session.KINDS]}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Ended by a signal."))
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz_inputs_") as root:
        chosen = session.Choice(kinds, options.n, options.seed, options.index)
        n_tried, n_found = session.try_all(Path(root), chosen)
    print("\nkind          inputs  with findings")
    for kind, n in n_tried.items():
        print(f"{kind:12} {n:7} {n_found[kind]:14}")
    took_s = time.monotonic() - begun
    print(f"{'all':12} {n_tried.total():7} {n_found.total():14}   in {took_s:.0f} s")
    return 1 if n_found else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n", type=int, default=600, help="number of inputs")
    parser.add_argument("--only", help="kinds, such as audio,tables (default: all)")
    parser.add_argument("--index", type=int, help="this one alone, of one kind")
    return parser


if __name__ == "__main__":
    sys.exit(main())
