"""What an epoch of fine-tuning costs on a GPU. Run by hand where there is one:

    python tests/bench_finetuning.py                        (base and large)
    python tests/bench_finetuning.py --utterances 200       (a part of the epoch)

Encoders in the shapes of HuBERT-base and -large with random weights (time does not
depend on them), in bf16, on made-up audio whose durations are drawn like those of
IEMOCAP's fold 1 (3,556 training utterances). Prints seconds an epoch, utterances a
second, peak memory, and the share of the chip's rate of matrix products, which is
measured in the same run. SpeechBrain's own recipe reports 194 s an epoch for the base
size on a V100.
"""

import argparse
import tempfile
import time

import numpy as np
import torch
from torch import nn
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from ser_lib.aggregators import MeanPooling
from ser_lib.dataset import LengthBucketSampler
from ser_lib.model import EmotionModel
from ser_lib.upstreams import HuggingFaceUpstream

RATE_HZ = 16000
SHAPES = {
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


def matrix_rate(device: str, size: int = 8192) -> float:
    """Measure multiply-adds a second of a square bf16 product."""
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
    """Count those of the transformer's linear layers, forward and backward."""
    weights = sum(
        m.weight.numel()
        for m in upstream.model.encoder.modules()
        if isinstance(m, nn.Linear)
    )
    return 3 * weights * seconds * RATE_HZ / upstream.hop_samples


def time_epoch(model: EmotionModel, durations_s: np.ndarray, device: str) -> float:
    """Time fine-tuning over all batches."""
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


def main() -> None:
    """Print a line for each shape."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--utterances", type=int, default=3556)
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=SHAPES)
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit(
            "No GPU was found; --device cpu times a few utterances on one."
        )
    torch.manual_seed(0)
    rate = matrix_rate(options.device, 8192 if options.device == "cuda" else 1024)
    durations_s = np.random.default_rng(0).lognormal(1.26, 0.6, options.utterances)
    durations_s = durations_s.clip(0.6, 34.1)
    for shape in options.shapes:
        with tempfile.TemporaryDirectory() as folder:
            HubertModel(SHAPES[shape]).save_pretrained(folder)
            Wav2Vec2FeatureExtractor(
                do_normalize=shape == "large", return_attention_mask=shape == "large"
            ).save_pretrained(folder)
            upstream = HuggingFaceUpstream(folder)
        branch = {"upstreams": ["upstream"], "aggregator": MeanPooling}
        model = EmotionModel(list("abcd"), {"upstream": upstream}, [branch])
        time_epoch(model, durations_s[:32], options.device)  # warm-up
        if options.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        epoch_s = time_epoch(model, durations_s, options.device)
        share = multiply_adds(upstream, durations_s.sum()) / epoch_s / rate
        memory = (
            f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB"
            if options.device == "cuda"
            else "not measured"
        )
        print(
            f"HuBERT-{shape}: {epoch_s:.1f} s an epoch of {len(durations_s)} "
            f"utterances, {len(durations_s) / epoch_s:.1f} a second, "
            f"peak memory {memory}, "
            f"{100 * share:.0f} % of the measured rate of matrix products"
        )


if __name__ == "__main__":
    main()
