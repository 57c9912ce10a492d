"""The speed and memory of ``predict``, plain and with ``--ray``. Run by hand:

    python tests/bench_bulk.py
    python tests/bench_bulk.py MODEL --audio FOLDER --files 1000 --rounds 2

Classifies a folder of links to the recordings of FOLDER, by both commands in turn. The
time is that of the whole command; a run on one file is subtracted for the speed without
start-up. The ratio divides this speed by that of the plain command in the same round.
Memory is the proportional set size (PSS) of the command and all processes it started,
sampled every half second: the peaks in each third of its time. Prints a table.
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from ser_lib.audio import find_audio

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "pretrained" / "ser_whisper_tiny"
EXAMPLES = ROOT / "pretrained" / "examples"
WAYS = {"predict": [], "predict --ray": ["--ray"]}


def link(audio: Path, folder: Path, n_files: int) -> Path:
    """Fill a folder with links to recordings, each repeated as often as needed."""
    folder.mkdir()
    found = itertools.cycle(find_audio(audio))
    for i, path in enumerate(itertools.islice(found, n_files)):
        (folder / f"{i:07d}{path.suffix}").symlink_to(path.resolve())
    return folder


def measure(model: str, folder: Path, out: Path, options: list[str]) -> dict:
    """Run a command; return its time, and its memory by time."""
    command = [sys.executable, "-W", "ignore", "-m", "ser_lib.predict", model]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    start, samples = time.perf_counter(), []
    arguments = [str(folder), "--out", str(out), *options]
    with subprocess.Popen(
        [*command, *arguments], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None:
            samples.append(memory_mb(psutil.Process(process.pid)))
            time.sleep(0.5)
        taken_s = time.perf_counter() - start
        last = process.stderr.read().splitlines()[-1]
    return {"taken_s": taken_s, "samples": samples, "last": last}


def memory_mb(process: psutil.Process) -> float:
    """Return the memory of a process and its descendants."""
    total = 0
    try:
        for member in [process, *process.children(recursive=True)]:
            total += member.memory_full_info().pss
    except (psutil.NoSuchProcess, psutil.ZombieProcess):  # it has just ended
        return 0.0
    return total / 2**20


def peaks_by_third(samples: list[float]) -> str:
    """Return the peak of each third of a run."""
    third = max(-(-len(samples) // 3), 1)
    parts = [samples[i : i + third] for i in range(0, len(samples), third)]
    return ", ".join(f"{max(part):.0f}" for part in parts)


def print_table(model: str, audio: Path, n_files: int, n_rounds: int) -> None:
    """Measure both ways in turn, and print a row for each run."""
    print(f"{Path(model).name}: {n_files} files on {os.cpu_count()} cores\n")
    print("| command | start-up, s | whole run, s | files/s | ratio ", end="")
    print("| peak memory by thirds, MB | last line |")
    print("|:---|---:|---:|---:|---:|---:|:---|")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        one, all_files = (link(audio, work / f"{n}", n) for n in (1, n_files))
        for k in range(n_rounds):
            plain_speed = None
            for way, options in WAYS.items():
                out = work / f"{way} {k}"
                first = measure(model, one, work / f"{way} {k} one", options)
                row = measure(model, all_files, out, options)
                speed = (n_files - 1) / (row["taken_s"] - first["taken_s"])
                plain_speed = plain_speed or speed
                print(
                    f"| `{way}` | {first['taken_s']:.1f} | {row['taken_s']:.1f} "
                    f"| {speed:.1f} | {speed / plain_speed:.2f} "
                    f"| {peaks_by_third(row['samples'])} | {row['last']} |",
                    flush=True,
                )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("model", nargs="?", default=str(SHIPPED), metavar="MODEL")
    parser.add_argument("--audio", type=Path, default=EXAMPLES, metavar="FOLDER")
    parser.add_argument("--files", type=int, default=200, help="(default: 200)")
    parser.add_argument("--rounds", type=int, default=1, help="(default: 1)")
    options = parser.parse_args()
    print_table(options.model, options.audio, options.files, options.rounds)


if __name__ == "__main__":
    main()
