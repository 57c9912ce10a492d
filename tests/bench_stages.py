"""The cost of the two stages, as ratios within one run. Run by hand:

    python tests/bench_stages.py            (some minutes on two cores)
    python tests/bench_stages.py --quick    (smaller encoder and fewer utterances)
    python tests/bench_stages.py --durations manifest.csv    (column duration_s)

1. An epoch of the downstream model on stored frames against one through the frozen
   encoder (random weights in the shape of HuBERT-base, which do not affect the time).
2. Padding of length-bucketed batches against random ones.
3. Encoder passes over a fold for the eleven rows of Table 1, with shared stages against
   each row on its own.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from ser_lib.aggregators import EcapaTdnn
from ser_lib.dataio import FrameStore, LengthBucketSampler, encode_all, write_frames
from ser_lib.model import EmotionModel
from ser_lib.settings import Settings
from ser_lib.synthetic.encoders import write_tiny_hubert
from ser_lib.training import finetuning_settings
from ser_lib.upstreams import Frames, HuggingFaceUpstream

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "IEMOCAP"
RATE_HZ = 16000


class Batch:
    """Ids and padded waveforms, like a batch of a loader."""

    def __init__(self, indices: list[int], durations_s: np.ndarray) -> None:
        n_samples = (durations_s[indices] * RATE_HZ).astype(int)
        self.id = [str(i) for i in indices]
        self.label = torch.tensor(indices) % 4
        lens = torch.tensor(n_samples / n_samples.max())
        self.wav = torch.randn(len(indices), n_samples.max()), lens


def downstream_epoch_s(model: EmotionModel, batches: list, frames_of) -> float:
    """Time one epoch of training the downstream model."""
    optimizer = torch.optim.AdamW(model.downstream.parameters())
    model.downstream.train()
    start = time.perf_counter()
    for batch in batches:
        loss = torch.nn.functional.cross_entropy(
            model.downstream({"upstream": frames_of(batch)}), batch.label
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.perf_counter() - start


def stored_against_frozen(durations_s: np.ndarray, quick: bool) -> float:
    """Return how many times faster an epoch is on stored frames."""
    with tempfile.TemporaryDirectory() as folder:
        if quick:
            write_tiny_hubert(folder)
        else:
            HubertModel(HubertConfig()).save_pretrained(folder)
            Wav2Vec2FeatureExtractor().save_pretrained(folder)
        upstream = HuggingFaceUpstream(folder, freeze=True).eval()
        sizes = {"channels": [64] * 4 + [192], "attention_channels": 32}
        branch = {
            "upstreams": ["upstream"],
            "aggregator": lambda input_size: EcapaTdnn(input_size, **sizes),
        }
        model = EmotionModel(list("abcd"), {"upstream": upstream}, [branch])
        sampler = LengthBucketSampler(durations_s, 8)
        batches = [Batch(indices, durations_s) for indices in sampler]
        store_folder = Path(folder) / "frames"
        store_folder.mkdir()
        frames = encode_all(batches, upstream, "", "cpu", progressbar=False)
        write_frames(store_folder, upstream.dim, frames)
        store = FrameStore(store_folder)

        def stored(batch: Batch) -> Frames:
            values = [store(i) for i in batch.id]
            counts = torch.tensor([len(v) for v in values])
            padded = torch.nn.utils.rnn.pad_sequence(values, batch_first=True)
            return Frames(padded, counts)

        def frozen(batch: Batch) -> Frames:
            with torch.no_grad():
                return upstream(*batch.wav)

        downstream_epoch_s(model, batches, stored)  # warm-up
        return downstream_epoch_s(model, batches, frozen) / downstream_epoch_s(
            model, batches, stored
        )


def padding_share(durations_s: np.ndarray, batches: list[list[int]]) -> float:
    """Return the share of the padded seconds that is padding."""
    padded_s = sum(len(b) * durations_s[b].max() for b in batches)
    return 1 - sum(durations_s[b].sum() for b in batches) / padded_s


def encoder_passes(shared: bool) -> int:
    """Count the encoder passes over a fold for the rows of Table 1.

    A fine-tuning epoch counts as one pass, and so does a downstream epoch through a
    frozen encoder; early stopping is ignored. If shared, each encoder is fine-tuned
    once and its frames are computed once.
    """
    passes: dict[str, int] = {}
    for row in _rows():
        for upstream in row["finetuned"]:
            stage = finetuning_settings(row, upstream)
            name = stage["experiment"]
            if shared:
                passes[name] = stage["number_of_epochs"] + 1
            else:
                both = stage["number_of_epochs"] + row["number_of_epochs"]
                passes[f"{row['experiment']} {name}"] = both
        if row["experiment"].endswith("_finetune"):  # rows 1 and 2
            passes.setdefault(row["experiment"], row["number_of_epochs"])
    return sum(passes.values())


def _rows() -> list[Settings]:
    paths = sorted(RECIPE.glob("hparams/*.yaml"))
    experiments = [Settings.from_file(path, {"data_folder": "none"}) for path in paths]
    return [settings for settings in experiments if settings["paper"] is not None]


def main() -> None:
    """Print the three ratios."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--durations", type=Path, help="CSV with a column duration_s")
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.durations:
        durations_s = pd.read_csv(options.durations)["duration_s"].to_numpy()
        source = str(options.durations)
    else:  # median 3.5 s, mean 4.2 s
        durations_s = np.random.default_rng(0).lognormal(1.26, 0.6, 5531)
        source = "5,531 draws from a lognormal like IEMOCAP's"
    few = np.random.default_rng(0).choice(
        durations_s.clip(1, 8), 8 if options.quick else 32
    )
    shape = "tiny" if options.quick else "base-shaped"
    ratio = stored_against_frozen(few, options.quick)
    print(
        f"downstream epoch: stored frames {ratio:.1f} times quicker ({shape} encoder)"
    )
    n = len(durations_s)
    order = np.random.default_rng(0).permutation(n)
    random = [b.tolist() for b in np.array_split(order, -(-n // 16))]
    buckets = list(LengthBucketSampler(durations_s, 16))
    in_buckets = 100 * padding_share(durations_s, buckets)
    at_random = 100 * padding_share(durations_s, random)
    print(
        f"padding, batches of 16, {source}: {in_buckets:.1f} % in buckets, "
        f"{at_random:.1f} % at random"
    )
    alone, shared = encoder_passes(shared=False), encoder_passes(shared=True)
    print(
        f"Table 1: encoder passes over a fold: {alone} row by row, {shared} shared: "
        f"{alone / shared:.1f} times fewer"
    )


if __name__ == "__main__":
    main()
