"""emotion2vec as an upstream: the published files, and the classifier in some of them.

Ma et al., 2023, https://arxiv.org/abs/2312.15185. ``emotion2vec_base`` is
self-supervised; the ``emotion2vec_plus`` models are trained further with labels, and
their files hold a classifier of nine emotions.
"""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from ser_lib.upstreams.emotion2vec_network import CONVOLUTIONS, Emotion2Vec
from ser_lib.upstreams.layers import Layer
from ser_lib.upstreams.native import NativeUpstream, check_options
from ser_lib.upstreams.published_classifier import copy_rows
from ser_lib.upstreams.wav2vec import parse_layers
from ser_lib.upstreams.weights import load_strictly
from ser_lib.utils.files import atomic_path

# The classes of the published plus models, in the order of their tokens.txt.
LABELS = (
    "angry",
    "disgusted",
    "fearful",
    "happy",
    "neutral",
    "other",
    "sad",
    "surprised",
    "unknown",
)
_AUDIO = "modality_encoders.AUDIO."
_WEIGHTS = ("model", "state_dict", "model_state_dict")
_PREFIXES = ("module.", "d2v_model.")
# Of the training: the decoder, and a moving average of the weights.
_NOT_NEEDED = (f"{_AUDIO}decoder.", "_ema", "ema.")
_CLASSIFIER = ("proj.weight", "proj.bias")
# Options that change the network, with the values that are supported.
_SUPPORTED = {
    "layer_norm_first": (False, None),
    "norm_affine": (True, None),
}
_SUPPORTED_AUDIO = {
    "conv_pos_pre_ln": (False, None),
    "extractor_mode": ("layer_norm", None),
    "fixed_positions": (None, False),
    "learned_alibi": (False, None),
    "learned_alibi_scale_per_layer": (False, None),
    "use_alibi_encoder": (True, None),
}


class Emotion2VecUpstream(NativeUpstream):
    """emotion2vec: 768 (plus large: 1024) dimensions every 20 ms.

    Hidden states: the input of the first block and the output of each of the twelve.
    Files: ``emotion2vec/emotion2vec_base/emotion2vec_base.pt`` and
    ``emotion2vec/emotion2vec_plus_{seed,base,large}/model.pt`` on the Hugging Face hub.
    A ``config.yaml`` beside a file is read; without one, sizes are taken from the
    weights and the rest is as published.

    Arguments
    ---------
    source : str | Mapping
        A file, a folder with one, or ``owner/name/file`` on the hub; or the result of
        :meth:`without_weights`.
    freeze : bool
        Train nothing of the encoder. The weights of the layer sum are still trained.
    layer : str | int
        ``"last"``, ``"sum"`` for the learnable sum of all hidden states, ``"all"`` for
        all of them, concatenated, or the number of one, counted from 0.
    label_names : Mapping[str, str] | None
        Our label -> the name of the class in a plus model, where they differ; for
        :meth:`initialise_classifier`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the weights are not exactly those of the encoder (decoder and classifier may
        be there or not), or the configuration asks for another network.

    Example
    -------
    >>> path = getfixture("tmp_path") / "emotion2vec_base.pt"
    >>> sizes = {"dim": 16, "n_heads": 2, "mlp_dim": 32, "prenet_depth": 1, "depth": 1}
    >>> save_emotion2vec(path, Emotion2Vec(**sizes))
    >>> upstream = Emotion2VecUpstream(str(path), freeze=True)
    >>> frames = upstream(torch.randn(2, 16000), torch.tensor([1.0, 0.5]))
    >>> frames.values.shape, frames.counts
    (torch.Size([2, 49, 16]), tensor([49, 24]))
    """

    network_class = Emotion2Vec
    _classifier: Mapping[str, torch.Tensor] | None = None
    _labels: Sequence[str] = ()

    def __init__(
        self,
        source: str | Mapping,
        freeze: bool = False,
        layer: Layer = "last",
        label_names: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(source, freeze, layer)
        self.label_names = dict(label_names or {})
        self._source = None if isinstance(source, Mapping) else source

    def _contents(self, checkpoint: Mapping, path: Path) -> tuple[Mapping, Mapping]:
        """Return the arguments of the network and its weights; keep the classifier."""
        config = _config(checkpoint, path)
        weights = _weights(checkpoint)
        classifier = {key: weights.pop(key) for key in _CLASSIFIER if key in weights}
        if classifier:
            self._classifier = {
                k.removeprefix("proj."): v for k, v in classifier.items()
            }
            self._labels = _labels(path)
        return _arguments(config, weights, path), weights

    def initialise_classifier(
        self, classifier: nn.Linear, labels: Sequence[str]
    ) -> None:
        """Copy the rows of a plus model's classifier that belong to our labels.

        Classes of the file that are not among our labels are left out, as the original
        does with classes named ``unuse...``. An upstream that was built without weights
        leaves the classifier unchanged.

        Arguments
        ---------
        classifier : nn.Linear
            Our classifier, from the mean of the last frames to ``labels``.
        labels : Sequence[str]
            Our labels, in the order of the logits.

        Raises
        ------
        ValueError
            If the file has no classifier, or none for one of our labels, or the
            classifier takes embeddings of another size.
        """
        if self._source is None:
            return
        if self._classifier is None:
            raise ValueError(
                f"{self._source} has no classifier (proj.weight): only the "
                f"emotion2vec_plus models have one. Use one of them, or an experiment "
                f"that trains its own, such as upstream_finetune."
            )
        needed = [self.label_names.get(label, label) for label in labels]
        missing = [name for name in needed if name not in self._labels]
        if missing:
            raise ValueError(
                f"The classifier of {self._source} has no class "
                f"{', '.join(missing)}; it has {', '.join(self._labels)}. Set "
                f"label_names (our label: the name there) for each of {list(labels)}."
            )
        rows = [self._labels.index(name) for name in needed]
        published = nn.Linear(self.dim, len(self._labels))
        load_strictly(published, self._classifier, self._source)
        copy_rows(classifier, published.state_dict(), rows)


def _weights(checkpoint: Mapping) -> dict[str, torch.Tensor]:
    """Return the weights of encoder and classifier, by the network's names."""
    found = next(
        (
            checkpoint[key]
            for key in _WEIGHTS
            if isinstance(checkpoint.get(key), Mapping)
        ),
        checkpoint,
    )
    weights = {}
    for key, value in found.items():
        for prefix in _PREFIXES:
            key = str(key).removeprefix(prefix)
        if not key.startswith(_NOT_NEEDED):
            weights[key] = value
    key = f"{_AUDIO}alibi_scale"
    if isinstance(weights.get(key), torch.Tensor) and weights[key].dim() == 4:
        weights[key] = weights[key][None]  # older files
    return weights


def _config(checkpoint: Mapping, path: Path) -> dict[str, Any]:
    """Return ``model_conf`` of the config.yaml beside the file, or the file's own."""
    beside = path.with_name("config.yaml")
    if beside.is_file():
        try:
            content = yaml.safe_load(beside.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{beside} is no valid YAML ({error}).") from error
        config = content.get("model_conf") if isinstance(content, dict) else None
        if not isinstance(config, dict):
            raise ValueError(f"{beside} has no block model_conf. Download it again.")
        return config
    cfg = _as_dict(checkpoint.get("cfg"))
    task = {k: v for k, v in _as_dict(cfg.get("task")).items() if k == "normalize"}
    return {**_as_dict(cfg.get("model")), **task}


def _as_dict(node: object) -> dict:
    if isinstance(node, Namespace):
        return vars(node)
    return dict(node) if isinstance(node, Mapping) else {}


def _arguments(config: Mapping, weights: Mapping, path: Path) -> dict[str, Any]:
    """Return the arguments of the network: sizes of the weights, the rest as told."""
    audio = _as_dict(_as_dict(config.get("modalities")).get("audio"))
    check_options(config, _SUPPORTED, path)
    check_options(audio, _SUPPORTED_AUDIO, path)
    shapes = {key: tuple(value.shape) for key, value in weights.items()}
    dim = shapes[f"{_AUDIO}project_features.2.weight"][0]
    positions = f"{_AUDIO}relative_positional_encoder."
    position = shapes[f"{positions}1.0.weight"]
    return {
        "dim": dim,
        "n_heads": int(config.get("num_heads") or shapes[f"{_AUDIO}alibi_scale"][2]),
        "mlp_dim": shapes["blocks.0.mlp.fc1.weight"][0],
        "prenet_depth": _n_modules(weights, f"{_AUDIO}context_encoder.blocks."),
        "depth": _n_modules(weights, "blocks."),
        "convolutions": _convolutions(audio, shapes, path),
        "n_position_layers": _n_modules(weights, positions) - 1,  # counted from 1
        "position_kernel": position[2],
        "position_groups": dim // position[1],
        "n_tokens": shapes[f"{_AUDIO}extra_tokens"][1],
        "norm_eps": float(_told(config, "norm_eps", 1e-5)),  # may be the text 1e-05
        "normalise_wav": bool(_told(config, "normalize", True)),
        "dropout": float(_told(config, "encoder_dropout", 0.0)),
        "attention_dropout": float(_told(config, "attention_dropout", 0.0)),
    }


def _told(config: Mapping, name: str, default: float) -> Any:
    """Return an option; a missing one, or null, has its default."""
    value = config.get(name)
    return default if value is None else value


def _n_modules(weights: Mapping, prefix: str) -> int:
    """Return one more than the highest number of a module with this prefix."""
    rest = (key.removeprefix(prefix) for key in weights if key.startswith(prefix))
    return 1 + max(int(key.partition(".")[0]) for key in rest)


def _convolutions(
    audio: Mapping, shapes: Mapping[str, tuple[int, ...]], path: Path
) -> list[tuple[int, int, int]]:
    """Return the convolutions that are told; the weights do not show their strides."""
    text = audio.get("feature_encoder_spec")
    told = list(CONVOLUTIONS) if text is None else parse_layers(text)
    prefix = f"{_AUDIO}local_encoder.conv_layers."
    own = [shapes[f"{prefix}{i}.0.weight"] for i in range(_n_modules(shapes, prefix))]
    if [(size, kernel) for size, kernel, _ in told] != [(s[0], s[2]) for s in own]:
        raise ValueError(
            f"{path} has convolutions of size and kernel "
            f"{[(s[0], s[2]) for s in own]}; expected {told} (size, kernel, stride). "
            f"Put the config.yaml of the model beside the file: its "
            f"feature_encoder_spec tells them."
        )
    return told


def _labels(path: Path) -> list[str]:
    """Return the classes in tokens.txt beside the file, in English; or those published.

    A line is ``Chinese/English``.
    """
    tokens = path.with_name("tokens.txt")
    if not tokens.is_file():
        return list(LABELS)
    lines = tokens.read_text(encoding="utf-8").split()
    return ["unknown" if x == "<unk>" else x.rpartition("/")[2] for x in lines]


def save_emotion2vec(
    path: str | Path, network: Emotion2Vec, classifier: nn.Linear | None = None
) -> None:
    """Write a file in the format of the base model, or of a plus model.

    Arguments
    ---------
    classifier : nn.Linear | None
        Makes it a plus model.
    """
    weights, audio = network.state_dict(), network.modality_encoders["AUDIO"]
    if classifier is not None:
        weights = {f"d2v_model.{key}": value for key, value in weights.items()}
        weights |= {f"proj.{k}": v for k, v in classifier.state_dict().items()}
    config = {
        "num_heads": audio.alibi_scale.shape[2],
        "norm_eps": str(audio.context_encoder.norm.eps),
        "modalities": {"audio": {"feature_encoder_spec": str(network.convolutions)}},
    }
    normalise = {"normalize": network.normalise_wav}
    content = {"cfg": {"model": config, "task": normalise}, "model": weights}
    with atomic_path(path) as unfinished:
        torch.save(content, unfinished)
