"""wav2vec 1.0 as an upstream: checkpoints of fairseq and of s3prl.

Schneider et al., 2019, https://arxiv.org/abs/1904.05862.
"""

import ast
import re
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

import torch

from ser_lib.upstreams.native import NativeUpstream, check_options
from ser_lib.upstreams.wav2vec_network import Wav2Vec
from ser_lib.utils.files import atomic_path

# Options that a file does not name: the defaults of fairseq's architecture "wav2vec"
# (not those of the published model, which names them all).
_DEFAULT_OPTIONS = {
    "conv_feature_layers": "[(512, 10, 5)] + [(512, 8, 4)] + [(512, 4, 2)] * 3",
    "conv_aggregator_layers": "[(512, 3, 1)] * 9",
    "skip_connections_agg": False,
    "residual_scale": 0.5,
    "log_compression": False,
}
# Values of fairseq's options that this network supports, the default first.
_SUPPORTED = {
    "activation": ("relu",),
    "aggregator": ("cnn",),
    "vq_type": ("none", None),  # others make vq-wav2vec
    "skip_connections_feat": (False,),
    "non_affine_group_norm": (False,),
    "no_conv_bias": (False,),
    "agg_zero_pad": (False,),
}
# Weights of the training objective.
_HEADS = ("wav2vec_predictions.", "project_features.")
_MAX_LAYERS, _MAX_SIZE = 100, 8192


def parse_layers(text: str) -> list[tuple[int, int, int]]:
    """Parse fairseq's layer lists, which are Python expressions, without running them.

    Arguments
    ---------
    text : str
        Lists of (size, kernel, stride), repeated with ``* n`` and joined with ``+``.

    Raises
    ------
    ValueError
        If the text is anything else, or asks for too many or too large layers.

    Example
    -------
    >>> parse_layers("[(512, 10, 5)] + [(512, 4, 2)] * 2")
    [(512, 10, 5), (512, 4, 2), (512, 4, 2)]
    """
    layers = []
    for term in str(text).split("+"):
        found = re.fullmatch(r"\s*(\[[0-9,()\s]+\])\s*(?:\*\s*([0-9]{1,2}))?\s*", term)
        layers += _literal(found[1]) * int(found[2] or 1) if found else [None]
    if not all(_is_layer(layer) for layer in layers) or len(layers) > _MAX_LAYERS:
        raise ValueError(
            f"{str(text)[:100]!r} is not a list of layers; expected (size, kernel, "
            f"stride) as in '[(512, 10, 5)] + [(512, 4, 2)] * 3', with at most "
            f"{_MAX_LAYERS} layers and numbers up to {_MAX_SIZE}."
        )
    return layers


def _literal(text: str) -> list:
    try:
        return list(ast.literal_eval(text))
    except (SyntaxError, ValueError):  # unmatched brackets, a leading zero
        return [None]


def _is_layer(layer: object) -> bool:
    return (
        isinstance(layer, tuple)
        and len(layer) == 3
        and all(isinstance(n, int) and 0 < n <= _MAX_SIZE for n in layer)
    )


def save_wav2vec(path: str | Path, network: Wav2Vec) -> None:
    """Write a checkpoint in fairseq's format (``args`` and ``model``).

    fairseq itself also needs the weights of its training objective
    (``wav2vec_predictions``), which this network does not have.
    """
    args = Namespace(
        arch="wav2vec",
        conv_feature_layers=str(network.feature_layers),
        conv_aggregator_layers=str(network.aggregator_layers),
        skip_connections_agg=network.skip_connections,
        residual_scale=network.residual_scale,
        log_compression=network.log_compression,
        **{name: allowed[0] for name, allowed in _SUPPORTED.items()},
    )
    content = {"args": args, "model": network.state_dict()}
    with atomic_path(path) as unfinished:
        torch.save(content, unfinished)


class Wav2VecUpstream(NativeUpstream):
    """wav2vec 1.0 as an upstream: 512 dimensions every 10 ms.

    Schneider et al., 2019, https://arxiv.org/abs/1904.05862. Waveforms are not
    normalised. Hidden states: ``z`` and the twelve layers of the context network, the
    last of which is ``c``. Published checkpoint ("large", 960 hours of LibriSpeech):
    wav2vec_large.pt of https://dl.fbaipublicfiles.com/fairseq/wav2vec/, and converted
    by s3prl, ``s3prl/converted_ckpts/wav2vec_large.pt`` on the Hugging Face hub. Its
    32,537,088 parameters include 3,146,240 of the training objective, which are not
    loaded. fairseq publishes code and models under the MIT licence.

    Takes the arguments of :class:`~ser_lib.upstreams.native.NativeUpstream`.

    Example
    -------
    >>> path = getfixture("tmp_path") / "wav2vec.pt"
    >>> save_wav2vec(path, Wav2Vec([(8, 10, 5), (8, 8, 4)], [(8, 2, 1)]))
    >>> upstream = Wav2VecUpstream(str(path), freeze=True)
    >>> frames = upstream(torch.randn(2, 445), torch.tensor([1.0, 0.5]))
    >>> frames.values.shape, frames.counts, upstream.hop_samples
    (torch.Size([2, 21, 8]), tensor([21,  9]), 20)
    """

    network_class = Wav2Vec

    @staticmethod
    def _contents(checkpoint: Mapping, path: Path) -> tuple[Mapping, Mapping]:
        """Return options and weights, from fairseq's format or s3prl's."""
        for names in (("args", "model"), ("model_cfg", "model_weight")):
            options, weights = (checkpoint.get(name) for name in names)
            options = vars(options) if isinstance(options, Namespace) else options
            if isinstance(options, Mapping) and isinstance(weights, Mapping):
                check_options(options, _SUPPORTED, path)
                kept = {k: v for k, v in weights.items() if not k.startswith(_HEADS)}
                return options, kept
        raise ValueError(
            f"{path} has {list(checkpoint)}; a wav2vec checkpoint has args and model "
            f"(fairseq), or model_cfg and model_weight (s3prl)."
        )

    @staticmethod
    def _arguments(options: Mapping) -> Mapping:
        options = {**_DEFAULT_OPTIONS, **options}
        return {
            "feature_layers": parse_layers(options["conv_feature_layers"]),
            "aggregator_layers": parse_layers(options["conv_aggregator_layers"]),
            "skip_connections": options["skip_connections_agg"],
            "residual_scale": options["residual_scale"],
            "log_compression": options["log_compression"],
        }
