"""One model used by several threads: each gets what it would get alone."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tiny_upstreams import TEXTS, UPSTREAMS
from torch import nn

from ser_lib.aggregators import EcapaTdnn, MeanPooling
from ser_lib.model import EmotionModel
from ser_lib.synthetic.encoders import write_tiny_classifier
from ser_lib.upstreams import SequenceClassificationUpstream
from ser_lib.upstreams.families import load_upstream

# Samples of the utterances of each thread's batch.
BATCHES = [(16000, 9001), (4000, 12000), (7003, 7001), (15000, 3500)]


def batch_of(samples: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    generator = torch.Generator().manual_seed(sum(samples))
    wavs = torch.zeros(len(samples), max(samples))
    for wav, n in zip(wavs, samples, strict=True):
        wav[:n] = 0.1 * torch.randn(n, generator=generator)
    return wavs, torch.tensor(samples) / max(samples), TEXTS[: len(samples)]


def run_in_step(model: nn.Module) -> list[torch.Tensor]:
    """Run a thread for each batch; at each layer, all threads wait for each other."""
    barrier = threading.Barrier(len(BATCHES))
    layers = [module for module in model.modules() if not list(module.children())]

    def wait(layer: nn.Module, inputs: tuple) -> None:
        barrier.wait(60)

    hooks = [layer.register_forward_pre_hook(wait) for layer in layers]

    def classify(samples: tuple[int, ...]) -> torch.Tensor:
        with torch.no_grad():
            return model(*batch_of(samples))

    with ThreadPoolExecutor(len(BATCHES)) as pool:
        results = list(pool.map(classify, BATCHES))
    for hook in hooks:
        hook.remove()
    return results


def ecapa(input_size: int) -> EcapaTdnn:
    sizes = {"channels": [16] * 4 + [48], "attention_channels": 8}
    return EcapaTdnn(input_size, 16, "batch", **sizes)


def assert_threads_get_what_they_get_alone(
    upstream: nn.Module, aggregator: Callable[..., nn.Module]
) -> None:
    branch = {"upstreams": ["upstream"], "aggregator": aggregator}
    model = EmotionModel(["a", "b", "c"], {"upstream": upstream}, [branch]).eval()
    with torch.no_grad():
        alone = [model(*batch_of(samples)) for samples in BATCHES]
    for logits, expected in zip(run_in_step(model), alone, strict=True):
        torch.testing.assert_close(logits, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("layer", "aggregator"), [("last", MeanPooling), ("sum", ecapa)]
)
@pytest.mark.parametrize("name", UPSTREAMS)
def test_threads_that_share_a_model_get_what_each_gets_alone(
    tmp_path, name, layer, aggregator
):
    family, write = UPSTREAMS[name]
    if layer == "sum" and name == "cpc":
        layer = "last"  # its two states differ in size
    torch.manual_seed(0)
    upstream = load_upstream(family, write(tmp_path), freeze=False, layer=layer)
    assert_threads_get_what_they_get_alone(upstream, aggregator)


def test_threads_that_share_a_classifier_get_what_each_gets_alone(tmp_path):
    folder = write_tiny_classifier(tmp_path, ["neu", "hap"])
    torch.manual_seed(0)
    assert_threads_get_what_they_get_alone(
        SequenceClassificationUpstream(folder), MeanPooling
    )
