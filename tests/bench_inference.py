"""The speed of classifying files, as ratios within one run. Run by hand:

    python tests/bench_inference.py            (some minutes on two cores)
    python tests/bench_inference.py --quick    (no base-sized encoder, few files)
    python tests/bench_inference.py --models shipped --files 500

Four ways, on files of synthetic speech of 1 to 10 s, reading included:

1. a loop over ``classify_file`` of a model loaded by SpeechBrain's ``foreign_class``;
2. ``EmotionRecognizer.classify_files``;
3. onnxruntime. The graph takes no padding, so it gets one file at a time;
4. ``classify_files`` with the linear layers in int8, quantised dynamically. Their
   scales are computed over a batch, so results depend slightly on the batch.

Three models: HuBERT in a tiny and in the base size, with random weights (which do not
affect the time, but affect where int8 labels agree), and the one in ``pretrained``,
whose layers are convolutions except for the last. "Same labels" compares with the loop.

Expected on two cores: a ratio of 2 for the small models. A base-sized encoder already
keeps both cores busy with one file, so there is little to gain.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile
import torch
from helpers.model_folders import hubert_definition, of_upstream, write_folder
from speechbrain.inference.interfaces import foreign_class
from torch import nn
from torch.ao.quantization import quantize_dynamic
from transformers import HubertConfig, Wav2Vec2FeatureExtractor

from ser_lib.export.onnx import write_onnx
from ser_lib.inference import EmotionRecognizer
from ser_lib.synthetic.speech import (
    SAMPLE_RATE_HZ,
    VOICES,
    make_speaker,
    speak,
)
from ser_lib.upstreams.encoder_description import describe_encoder

SHIPPED = Path(__file__).resolve().parents[1] / "pretrained" / "ravdess_fbank_ecapa"
WARM_UP_FILES = 4
Way = Callable[[list[Path]], list[str]]  # from files to labels


# ---- models and files


def write_model(name: str, folder: Path) -> Path:
    """Return the folder of a model, writing it unless it is the shipped one."""
    if name == "shipped":
        return SHIPPED
    if name == "tiny":
        definition = hubert_definition(folder / "encoder", "group")
    else:
        parts = HubertConfig(), Wav2Vec2FeatureExtractor()
        source = describe_encoder(*(part.to_dict() for part in parts))
        definition = of_upstream("HuggingFaceUpstream", source=source)
    return write_folder(folder / "model", definition)


def write_files(folder: Path, durations_s: np.ndarray) -> list[Path]:
    """Write synthetic speech: four speakers, all emotions, concatenated."""
    rng = np.random.default_rng(0)
    speakers = [make_speaker(gender, rng) for gender in "FMFM"]
    paths = []
    for number, duration_s in enumerate(durations_s):
        speaker, emotion = speakers[number % 4], list(VOICES)[number % len(VOICES)]
        n_samples = round(duration_s * SAMPLE_RATE_HZ)
        wav = np.empty(0)
        while len(wav) < n_samples:
            wav = np.append(wav, speak(emotion, speaker, rng))
        paths.append(folder / f"{number:04d}.wav")
        soundfile.write(paths[-1], wav[:n_samples], SAMPLE_RATE_HZ, subtype="PCM_16")
    return paths


# ---- ways


def ways_of(model: Path, folder: Path, files: list[Path]) -> dict[str, Way]:
    """Return the four ways by name, the loop first; models are adapted to the files."""
    plain = foreign_class(
        source=str(model),
        pymodule_file="custom_interface.py",
        classname="EmotionRecognizer",
        run_opts={"device": "cpu"},
    )
    ours, int8 = (
        EmotionRecognizer.from_hparams(model, run_opts={"device": "cpu"})
        for _ in range(2)
    )
    if model != SHIPPED:
        spread_labels([plain, ours, int8], files)
    n_linear = sum(isinstance(module, nn.Linear) for module in int8.mods.modules())
    int8.mods = quantize_dynamic(int8.mods, {nn.Linear}, dtype=torch.qint8)
    return {
        "loop over classify_file": lambda paths: [
            plain.classify_file(path)[3][0] for path in paths
        ],
        "classify_files": in_batches(ours),
        "onnxruntime, one file at a time": with_onnx(ours, folder / "model.onnx"),
        f"classify_files, int8 ({n_linear} linear layers)": in_batches(int8),
    }


def spread_labels(recognizers: list[EmotionRecognizer], files: list[Path]) -> None:
    """Center the classifier on the embeddings, so that files get different labels."""
    first = recognizers[0]
    wavs = [first.load_audio(path) for path in files]
    mean = torch.cat([first.encode_batch(wav) for wav in wavs]).mean(0)
    for recognizer in recognizers:
        classifier = recognizer.mods["fold_1"].downstream.classifier
        classifier.bias.data = -classifier.weight @ mean


def in_batches(recognizer: EmotionRecognizer) -> Way:
    """Return the way that uses our batches."""
    return lambda paths: [
        labels[0] for *_, labels in recognizer.classify_files(paths, progressbar=False)
    ]


def with_onnx(recognizer: EmotionRecognizer, path: Path) -> Way:
    """Return the way that uses onnxruntime; files are read as for the others."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        write_onnx(recognizer, path), options, providers=["CPUExecutionProvider"]
    )

    def classify(wav_path: Path) -> str:
        wavs = recognizer.load_audio(wav_path)[None].numpy()
        (probabilities,) = session.run(["probabilities"], {"wavs": wavs})
        return recognizer.labels[probabilities[0].argmax()]

    return lambda paths: [classify(path) for path in paths]


# ---- times


def print_times(ways: dict[str, Way], warm_up: list[Path], paths: list[Path]) -> None:
    """Time each way on all files, and compare it with the first."""
    audio_s = sum(soundfile.info(path).duration for path in paths)
    print(
        f"{'':36}{'files/s':>9}{'real-time factor':>18}{'ratio':>8}{'same labels':>13}"
    )
    expected, loop_s = None, None
    for name, classify in ways.items():
        classify(warm_up)
        start = time.perf_counter()
        labels = classify(paths)
        taken_s = time.perf_counter() - start
        expected, loop_s = expected or labels, loop_s or taken_s
        same = np.mean([a == b for a, b in zip(labels, expected, strict=True)])
        print(
            f"{name:36}{len(paths) / taken_s:9.2f}{taken_s / audio_s:18.4f}"
            f"{loop_s / taken_s:8.2f}{100 * same:11.1f} %",
            flush=True,
        )


def main() -> None:
    """Print one table per model."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--models", nargs="+", choices=["tiny", "base", "shipped"])
    parser.add_argument("--files", type=int, help="how many (base: an eighth of them)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # deprecations in torch
    torch.manual_seed(0)
    models = options.models or ["tiny", "shipped"] + ["base"] * (not options.quick)
    n_files = options.files or (16 if options.quick else 128)
    # Median 3.5 s, as in IEMOCAP.
    durations_s = np.random.default_rng(0).lognormal(1.26, 0.6, n_files + WARM_UP_FILES)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_files(Path(folder), durations_s.clip(1, 10))
        warm_up, paths = paths[:WARM_UP_FILES], paths[WARM_UP_FILES:]
        for name in models:
            used = paths[: -(-n_files // 8)] if name == "base" else paths
            model_folder = Path(folder) / name
            model_folder.mkdir()
            ways = ways_of(write_model(name, model_folder), model_folder, warm_up)
            audio_s = sum(soundfile.info(path).duration for path in used)
            print(
                f"\n{name}: {len(used)} files, {audio_s:.0f} s of audio, "
                f"{torch.get_num_threads()} threads"
            )
            print_times(ways, warm_up, used)


if __name__ == "__main__":
    main()
