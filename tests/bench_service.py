"""A load test of the service, on this machine. Run by hand; it takes about a minute:

    python tests/bench_service.py
    python tests/bench_service.py MODEL --audio FOLDER --clients 8 --seconds 45

Clients send recordings, one after the other, each as fast as it is answered, to a
service with half as many places; a busy answer is waited out for as long as it says.
Each answer is compared with that of ``classify_file``. One of the clients follows a
recording over /stream, over and over.

Prints how many were answered and busy, how many answers were wrong (there must be
none), how long answers took, and the memory of the service over time.
"""

import argparse
import contextlib
import itertools
import json
import random
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import psutil
import soundfile
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from ser_lib.inference import EmotionRecognizer

ROOT = Path(__file__).resolve().parents[1]
TOLERANCE = 1e-4
END = '{"end": true}'


class Counts:
    """What all clients have seen."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.times_s: list[float] = []
        self.n_busy = self.n_wrong = self.n_other = self.n_streams = self.n_windows = 0

    def add(self, **numbers: int) -> None:
        with self.lock:
            for name, number in numbers.items():
                setattr(self, name, getattr(self, name) + number)


def send_files(
    url: str, expected: dict, end_s: float, seed: int, counts: Counts
) -> None:
    """Send recordings until the time is over."""
    paths = list(expected)
    drawn = random.Random(seed)
    with httpx.Client(base_url=url, timeout=60) as client:
        while time.monotonic() < end_s:
            path = drawn.choice(paths)
            start_s = time.monotonic()
            files = {"files": (path.name, path.read_bytes())}
            answer = client.post("/classify", files=files)
            if answer.status_code == 503:
                counts.add(n_busy=1)
                time.sleep(float(answer.headers["Retry-After"]) * drawn.random())
                continue
            if answer.status_code != 200:
                counts.add(n_other=1)
                continue
            (row,) = answer.json()
            found = [v for k, v in row.items() if k.startswith("p_")]
            is_right = np.allclose(found, expected[path], rtol=0, atol=TOLERANCE)
            counts.add(n_wrong=not is_right)
            with counts.lock:
                counts.times_s.append(time.monotonic() - start_s)


def follow(url: str, path: Path, expected: list, end_s: float, counts: Counts) -> None:
    """Stream a recording until the time is over."""
    samples, rate_hz = soundfile.read(path, dtype="int16")
    blocks = [
        samples[i : i + rate_hz].tobytes() for i in range(0, len(samples), rate_hz)
    ]
    while time.monotonic() < end_s:
        answers = []
        with (
            connect(url.replace("http", "ws") + "/stream") as client,
            contextlib.suppress(ConnectionClosed),
        ):
            for message in [json.dumps({"sample_rate_hz": rate_hz}), *blocks, END]:
                client.send(message)
            answers = [json.loads(text) for text in client]
        if not answers or "error" in answers[-1]:  # busy
            counts.add(n_busy=1)
            time.sleep(0.5)
            continue
        rows = answers[:-1]
        found = [(row["label"], row["score"] or 0) for row in rows]
        is_right = len(found) == len(expected) and all(
            a == b and abs(p - q) < TOLERANCE
            for (a, p), (b, q) in zip(found, expected, strict=True)
        )
        counts.add(n_streams=1, n_windows=len(rows), n_wrong=not is_right)


def main() -> None:
    """Run the test."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "model", nargs="?", default=ROOT / "pretrained/ser_whisper_tiny"
    )
    parser.add_argument("--audio", type=Path, default=ROOT / "pretrained/examples")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=45)
    options = parser.parse_args()
    recognizer = EmotionRecognizer.from_hparams(options.model)
    paths = [
        p for p in sorted(options.audio.glob("*.flac")) if p.stem != "conversation"
    ]
    expected = {p: recognizer.classify_file(p)[0][0].tolist() for p in paths}
    long = max(paths, key=lambda p: p.stat().st_size)
    samples, rate_hz = soundfile.read(long, dtype="int16")
    windows = [(w.label, w.score or 0) for w in recognizer.stream([samples], rate_hz)]
    places = max(options.clients // 2, 1)
    command = [sys.executable, "-m", "ser_lib.serve", str(options.model), "--port", "0"]
    service = subprocess.Popen(
        [*command, "--max_concurrency", str(places)], stdout=subprocess.PIPE, text=True
    )
    url = re.search(r"http://\S+\d", service.stdout.readline()).group()
    counts, memory_mb = Counts(), []
    end_s = time.monotonic() + options.seconds
    shared = end_s, counts
    threads = [
        threading.Thread(target=send_files, args=(url, expected, end_s, seed, counts))
        for seed in range(options.clients - 1)
    ]
    threads.append(threading.Thread(target=follow, args=(url, long, windows, *shared)))
    for thread in threads:
        thread.start()
    for _ in itertools.takewhile(lambda _: time.monotonic() < end_s, itertools.count()):
        memory_mb.append(psutil.Process(service.pid).memory_info().rss / 1e6)
        time.sleep(1)
    for thread in threads:
        thread.join()
    service.terminate()
    service.wait(60)
    report(options, places, counts, memory_mb, service.returncode)


def report(
    options: argparse.Namespace,
    places: int,
    counts: Counts,
    memory_mb: list[float],
    code: int,
) -> None:
    """Print the figures."""
    times_ms = 1000 * np.array(counts.times_s)
    thirds = [np.mean(part) for part in np.array_split(memory_mb, 3)]
    n_answered = len(times_ms)
    print(f"{options.clients} clients, {places} places, {options.seconds:.0f} s")
    print(
        f"answered          {n_answered} ({n_answered / options.seconds:.1f} a second)"
    )
    print(f"streams           {counts.n_streams} ({counts.n_windows} windows)")
    print(f"busy (503)        {counts.n_busy}")
    print(f"wrong answers     {counts.n_wrong}")
    print(f"other answers     {counts.n_other}")
    middle, most = np.percentile(times_ms, [50, 95])
    print(f"time of an answer {middle:.0f} ms (median), {most:.0f} ms (95 %)")
    shown = ", ".join(f"{mb:.0f}" for mb in thirds)
    print(f"memory            {shown} MB (mean of each third of the time)")
    print(f"exit code         {code}")


if __name__ == "__main__":
    main()
