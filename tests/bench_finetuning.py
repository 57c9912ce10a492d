"""The cost of an epoch of fine-tuning. Run by hand, on a GPU:

    python tests/bench_finetuning.py                        (base and large)
    python tests/bench_finetuning.py --utterances 200       (part of an epoch)

Encoders in the shapes of HuBERT-base and -large with random weights (which do not
affect the time), in bf16, on synthetic audio with durations like those of IEMOCAP's
fold 1 (3,556 training utterances). Prints seconds per epoch, utterances per second,
peak memory, and the share of the chip's matrix product rate, which is measured in the
same run. SpeechBrain's own recipe reports 194 s per epoch for the base size on a V100.

Against that recipe, on a GPU or a CPU, from a checkout of SpeechBrain
(https://github.com/speechbrain/speechbrain):

    python tests/bench_finetuning.py --speechbrain_script \\
        speechbrain/recipes/IEMOCAP/emotion_recognition/train_with_wav2vec2.py
    ... --durations manifest.csv                            (column duration_s)
    ... --batch_size 4                                      (like theirs, not 16)
    ... --frozen_cache_gb 4                                (frozen convolutions once)
    ... --precision bf16                                    (ours; theirs stays fp32)

Both train the same encoder on the same noise, each with its own settings; on a CPU,
with one thread and with two. Epochs alternate, after an untimed one of each. Without
``--durations``, durations are drawn as above. Prints utterances per second and the
ratio of ours to theirs, in wall-clock time and in CPU time (including workers), which
other programs on the machine disturb less.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

import numpy as np
import pandas as pd
import torch
from helpers.speechbrain_recipe import ours, theirs, write_noise
from speechbrain.utils.run_opts import RunOptions
from torch import nn
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from ser_lib.aggregators import MeanPooling
from ser_lib.dataio import LengthBucketSampler
from ser_lib.model import EmotionModel
from ser_lib.synthetic import tiny_speech_settings
from ser_lib.upstreams import HuggingFaceUpstream

RATE_HZ = 16000
_COMPARED = {"cpu": ["tiny", "base_4_layers"], "cuda": ["base"]}
SHAPES = {
    "tiny": HubertConfig(**tiny_speech_settings()),
    "base_4_layers": HubertConfig(num_hidden_layers=4),
    "base": HubertConfig(),
    "large": HubertConfig(
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        conv_bias=True,
    ),
}


@contextmanager
def encoder_folder(shape: str) -> Iterator[Path]:
    """Write an encoder with random weights, and delete it at the end."""
    is_large = SHAPES[shape].feat_extract_norm == "layer"
    with tempfile.TemporaryDirectory() as folder:
        HubertModel(SHAPES[shape]).save_pretrained(folder)
        Wav2Vec2FeatureExtractor(
            do_normalize=is_large, return_attention_mask=is_large
        ).save_pretrained(folder)
        yield Path(folder)


def matrix_rate(device: str, size: int = 8192) -> float:
    """Measure multiply-adds per second of a square bf16 product."""
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    for _ in range(3):
        a @ a
    _wait(device)
    start = time.perf_counter()
    for _ in range(10):
        a @ a
    _wait(device)
    return 10 * size**3 / (time.perf_counter() - start)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def multiply_adds(upstream: HuggingFaceUpstream, seconds: float) -> float:
    """Count multiply-adds of the transformer's linear layers, forward and backward."""
    weights = sum(
        m.weight.numel()
        for m in upstream.model.encoder.modules()
        if isinstance(m, nn.Linear)
    )
    return 3 * weights * seconds * RATE_HZ / upstream.hop_samples


def time_epoch(model: EmotionModel, durations_s: np.ndarray, device: str) -> float:
    """Time fine-tuning on all batches."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5)
    model.train().to(device)
    _wait(device)
    start = time.perf_counter()
    for batch in LengthBucketSampler(durations_s, 16, 160):
        n_samples = (durations_s[batch] * RATE_HZ).astype(int)
        wavs = torch.randn(len(batch), n_samples.max(), device=device)
        wav_lens = torch.tensor(n_samples / n_samples.max(), device=device)
        with torch.autocast(device, dtype=torch.bfloat16):
            logits = model(wavs, wav_lens)
        targets = torch.randint(4, (len(batch),), device=device)
        nn.functional.cross_entropy(logits.float(), targets).backward()
        nn.utils.clip_grad_norm_(trained, 5.0)
        optimizer.step()
        optimizer.zero_grad()
    _wait(device)
    return time.perf_counter() - start


def time_on_gpu(shape: str, durations_s: np.ndarray, device: str, rate: float) -> None:
    """Print the cost of an epoch."""
    with encoder_folder(shape) as folder:
        upstream = HuggingFaceUpstream(str(folder))
    branch = {"upstreams": ["upstream"], "aggregator": MeanPooling}
    model = EmotionModel(list("abcd"), {"upstream": upstream}, [branch])
    time_epoch(model, durations_s[:32], device)  # warm-up
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    epoch_s = time_epoch(model, durations_s, device)
    share = multiply_adds(upstream, durations_s.sum()) / epoch_s / rate
    memory = (
        f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB"
        if device == "cuda"
        else "not measured"
    )
    print(
        f"HuBERT-{shape}: {epoch_s:.1f} s an epoch of {len(durations_s)} "
        f"utterances, {len(durations_s) / epoch_s:.1f} a second, "
        f"peak memory {memory}, "
        f"{100 * share:.0f} % of the measured rate of matrix products"
    )


def clock_and_cpu_s() -> np.ndarray:
    """Return wall-clock time, and CPU time of this process and its past workers."""
    used = [getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN)]
    cpu_s = sum(u.ru_utime + u.ru_stime for u in used)
    return np.array([time.perf_counter(), cpu_s])


def compare(
    shape: str, durations_s: np.ndarray, n_threads: int, options: argparse.Namespace
) -> None:
    """Print the throughput of both recipes and its ratio."""
    torch.set_num_threads(n_threads)
    names = "batch_size", "frozen_cache_gb"
    given = {name: getattr(options, name) for name in names}
    settings = {name: value for name, value in given.items() if value is not None}
    run_opts = [
        RunOptions(device=options.device, precision=precision)
        for precision in (options.precision, "fp32")
    ]
    with encoder_folder(shape) as encoder, tempfile.TemporaryDirectory() as folder:
        utterances = write_noise(Path(folder), durations_s)
        data = Path(folder), encoder, utterances
        trainings = [
            ours(*data, run_opts[0], **settings),
            theirs(options.speechbrain_script, *data, run_opts[1]),
        ]
        spent_s = np.zeros((1 + options.epochs, 2, 2))  # epoch, training, kind of time
        for epoch in range(1 + options.epochs):
            for i, training in enumerate(trainings):
                start = clock_and_cpu_s()
                training.train_epoch()
                _wait(options.device)
                spent_s[epoch, i] = clock_and_cpu_s() - start
    our_s, their_s = np.median(spent_s[1:], axis=0)
    rates = len(durations_s) / np.array([our_s[0], their_s[0]])
    print(
        f"HuBERT-{shape}, {options.device}, {n_threads} thread(s), "
        f"{len(durations_s)} utterances of {durations_s.sum():.0f} s: "
        f"ours {rates[0]:.2f} a second, SpeechBrain's {rates[1]:.2f}, "
        f"ratio {rates[0] / rates[1]:.2f} by the clock, "
        f"{their_s[1] / our_s[1]:.2f} by CPU time",
        flush=True,
    )


def drawn_durations_s(options: argparse.Namespace, n: int) -> np.ndarray:
    """Draw durations from a file or, without one, from a distribution like IEMOCAP's.

    It is lognormal, with a median of 3.5 s, a mean of 4.2 s and limits of 0.6 s and
    34.1 s.
    """
    generator = np.random.default_rng(0)
    if options.durations is not None:
        known_s = pd.read_csv(options.durations)["duration_s"].to_numpy()
        return generator.choice(known_s, n, replace=n > len(known_s))
    return generator.lognormal(1.26, 0.6, n).clip(0.6, 34.1)


def main() -> None:
    """Print one line per shape."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--utterances", type=int, help="default: 3556, or 256 on a CPU")
    parser.add_argument("--durations", type=Path, help="CSV with a column duration_s")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--precision", default="fp32", help="of ours, beside theirs")
    parser.add_argument("--speechbrain_script", type=Path, metavar="PATH")
    parser.add_argument("--batch_size", type=int, help="ours, beside SpeechBrain's")
    parser.add_argument("--frozen_cache_gb", type=float, help="ours, default: none")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--epochs", type=int, default=3, help="of which the median")
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit(
            "No GPU was found; --device cpu times a few utterances on one."
        )
    if options.speechbrain_script is not None:
        durations_s = drawn_durations_s(options, options.utterances or 256)
        for shape in options.shapes or _COMPARED[options.device]:
            for n_threads in options.threads if options.device == "cpu" else [1]:
                compare(shape, durations_s, n_threads, options)
        return
    rate = matrix_rate(options.device, 8192 if options.device == "cuda" else 1024)
    durations_s = drawn_durations_s(options, options.utterances or 3556)
    for shape in options.shapes or ["base", "large"]:
        time_on_gpu(shape, durations_s, options.device, rate)


if __name__ == "__main__":
    main()
