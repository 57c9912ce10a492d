"""The speed, start-up and memory of classifying files. Run by hand:

    python tests/bench_inference.py
    python tests/bench_inference.py MODEL --audio FOLDER --files 60

Four ways, each on one core and on all, each in a new process; reading is included:

1. a loop over ``classify_file``;
2. ``classify_files``;
3. onnxruntime, without SpeechBrain. The graph takes no padding, so it gets one file at
   a time;
4. ``classify_files`` with the linear layers in int8, quantised dynamically. Their
   scales are computed over a batch, so results depend slightly on the batch.

Prints a table. Start-up is the time from the start of the process to the first label.
Speed is then measured in the faster of two passes over all files. The ratio of
a way is its speed divided by that of the loop on as many cores, in the same run. "Same
labels" compares with the loop on one core, which shows how far int8 drifts. Memory is
the peak of the process; importing PyTorch alone takes about 480 MB.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "pretrained" / "ser_whisper_tiny"
EXAMPLES = ROOT / "pretrained" / "examples"
ONNX_FILE = "model.onnx"
Classify = Callable[[list[str]], list[str]]  # from files to labels


# ---- ways; each imports what it needs, which counts as start-up


def loop(model: str, _folder: Path) -> Classify:
    """Classify one file after the other."""
    recognizer = _load(model)
    return lambda paths: [recognizer.classify_file(path)[3][0] for path in paths]


def batches(model: str, _folder: Path) -> Classify:
    """Classify by ``classify_files``."""
    return _in_batches(_load(model))


def int8(model: str, _folder: Path) -> Classify:
    """Classify by ``classify_files``, with linear layers in int8."""
    import torch
    from torch.ao.quantization import quantize_dynamic

    recognizer = _load(model)
    layers = {torch.nn.Linear}
    recognizer.mods = quantize_dynamic(recognizer.mods, layers, dtype=torch.qint8)
    return _in_batches(recognizer)


def onnx(_model: str, folder: Path) -> Classify:
    """Classify one file after the other by the graph in a folder."""
    import onnxruntime
    import torch

    from ser_lib.audio import read_audio, usable_wav

    # Threads that PyTorch, which reads, keeps waiting would halve onnxruntime's speed.
    torch.set_num_threads(1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
    session = onnxruntime.InferenceSession(
        folder / ONNX_FILE, options, providers=["CPUExecutionProvider"]
    )
    metadata = session.get_modelmeta().custom_metadata_map
    info = {key: json.loads(value) for key, value in metadata.items()}
    rate_hz = info["sample_rate_hz"]
    limits = info["min_duration_s"], info["trim_silence_db"]

    def label_of(path: str) -> str:
        wav = usable_wav(read_audio(path, rate_hz), rate_hz, path, *limits)
        (probabilities,) = session.run(["probabilities"], {"wavs": wav[None].numpy()})
        return info["labels"][probabilities[0].argmax()]

    return lambda paths: [label_of(path) for path in paths]


def _load(model: str):
    from ser_lib.inference import EmotionRecognizer

    return EmotionRecognizer.from_hparams(model, run_opts={"device": "cpu"})


def _in_batches(recognizer) -> Classify:
    return lambda paths: [
        labels[0] for *_, labels in recognizer.classify_files(paths, progressbar=False)
    ]


WAYS = {
    "loop over classify_file": loop,
    "classify_files": batches,
    "onnxruntime, one file at a time": onnx,
    "classify_files, int8": int8,
}


# ---- what runs in a process of its own


def prepare(model: str, audio: str, n_files: int, folder: str) -> dict:
    """Choose the files and write the ONNX file, or say why there is none."""
    from ser_lib.audio import audio_duration_s, find_audio
    from ser_lib.export.onnx import write_onnx

    found = find_audio(audio)
    step = max(len(found) // n_files, 1)  # from all over the folder
    paths = [str(path) for path in found[::step][:n_files]]
    recognizer, reason = _load(model), ""
    try:
        write_onnx(recognizer, Path(folder) / ONNX_FILE)
    except (ModuleNotFoundError, TypeError) as error:
        reason = f"No row for onnxruntime: {error}"
    rate_hz = recognizer.sample_rate_hz
    audio_s = sum(audio_duration_s(path, rate_hz) for path in paths)
    return {"paths": paths, "audio_s": audio_s, "reason": reason}


def measure(way: str, model: str, folder: str, paths: list[str]) -> dict:
    """Start one way and time it."""
    classify = WAYS[way](model, Path(folder))
    classify(paths[:1])
    ready_at = time.time()
    passes_s = []
    for _ in range(2):
        start = time.perf_counter()
        labels = classify(paths)
        passes_s.append(time.perf_counter() - start)
    return {
        "ready_at": ready_at,
        "taken_s": min(passes_s),
        "peak_mb": getrusage(RUSAGE_SELF).ru_maxrss / 1024,
        "labels": labels,
    }


def in_new_process(function: Callable, cores: int, *arguments: object) -> dict:
    """Call a function of this file in a new interpreter on some cores."""
    code = "import bench_inference, json, sys\n"
    code += f"result = bench_inference.{function.__name__}(*json.loads(sys.argv[1]))\n"
    code += "print(json.dumps(result))"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "OMP_NUM_THREADS": str(cores),
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, json.dumps(arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


# ---- the table; this process imports little, as its memory counts as its children's


def print_table(model: str, folder: str, prepared: dict) -> None:
    """Measure each way on one core and on all, and print a row for each."""
    paths, audio_s = prepared["paths"], prepared["audio_s"]
    n_files = len(paths)
    print(f"{Path(model).name}: {n_files} files, {audio_s:.0f} s of audio\n")
    print("| way | cores | files/s | real-time factor | ratio ", end="")
    print("| same labels | start-up, s | peak memory, MB |")
    print("|:---|---:|---:|---:|---:|---:|---:|---:|")
    expected: list[str] = []
    for cores in dict.fromkeys((1, os.cpu_count() or 1)):
        loop_s = None
        for way in [w for w in WAYS if WAYS[w] is not onnx or not prepared["reason"]]:
            begun_at = time.time()
            row = in_new_process(measure, cores, way, model, folder, paths)
            taken_s = row["taken_s"]
            loop_s, expected = loop_s or taken_s, expected or row["labels"]
            pairs = zip(row["labels"], expected, strict=True)
            same = sum(label == other for label, other in pairs) / n_files
            print(
                f"| {way} | {cores} | {n_files / taken_s:.2f} "
                f"| {taken_s / audio_s:.4f} | {loop_s / taken_s:.2f} "
                f"| {100 * same:.1f} % | {row['ready_at'] - begun_at:.2f} "
                f"| {row['peak_mb']:.0f} |",
                flush=True,
            )
    if prepared["reason"]:
        print(f"\n{prepared['reason']}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("model", nargs="?", default=str(SHIPPED), metavar="MODEL")
    parser.add_argument("--audio", default=str(EXAMPLES), metavar="FOLDER")
    parser.add_argument("--files", type=int, default=60, help="at most (default: 60)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        arguments = options.model, options.audio, options.files, folder
        print_table(options.model, folder, in_new_process(prepare, 1, *arguments))


if __name__ == "__main__":
    main()
