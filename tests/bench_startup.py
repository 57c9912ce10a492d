"""The cost of classifying one file, relative to importing PyTorch. Run by hand:

    python tests/bench_startup.py
    python tests/bench_startup.py --runs 10 --model my_model

Each command runs in a new interpreter on one thread. Commands take turns, after one run
of each that warms the disk cache. Prints the median CPU time (user and system) of each,
and the ratio of the medians. The aim for the filter-bank model in ``pretrained`` is at
most 2.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median

from bench_inference import ROOT, SHIPPED
from helpers.stub_recognizer import write_wave


def cpu_s(*arguments: str) -> float:
    """Measure the CPU time of a Python command."""
    before = getrusage(RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=True,
    )
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--model", type=Path, default=SHIPPED)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wav = write_wave(Path(folder) / "speech.wav", (3, 0.5))
        commands = {
            "import torch": ["-c", "import torch"],
            "import speechbrain": ["-c", "import speechbrain"],
            "predict": ["-m", "ser_lib.predict", str(options.model), str(wav)],
        }
        turns = [
            {name: cpu_s(*command) for name, command in commands.items()}
            for _ in range(options.runs + 1)
        ][1:]
    medians_s = {name: median(turn[name] for turn in turns) for name in commands}
    for name, value_s in medians_s.items():
        times = value_s / medians_s["import torch"]
        print(f"{name}: {value_s:.2f} s of CPU, {times:.2f} times import torch")


if __name__ == "__main__":
    main()
