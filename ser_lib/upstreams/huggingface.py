"""The Hugging Face families (HuBERT, wav2vec 2.0, WavLM, data2vec) as one upstream.

Models are loaded by SpeechBrain's ``Wav2Vec2``, which accepts whatever ``AutoModel``
returns. Its forward pass is replaced because it makes the frames of an utterance depend
on the padding of the batch. Here, the waveform is normalised over the utterance's own
samples, and so is the first layer of the "base" encoders, a group norm over time.
"""

import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from speechbrain.integrations.huggingface.wav2vec2 import Wav2Vec2
from torch import nn

from ser_lib.upstreams.encoder import SpeechEncoder
from ser_lib.upstreams.encoder_description import check_encoder, describe_encoder
from ser_lib.upstreams.frames import time_mask
from ser_lib.upstreams.layers import Layer, check_layer, layer_mix, mixed_dim
from ser_lib.upstreams.native import shortest_input
from ser_lib.upstreams.padding import (
    Convolved,
    PaddedWaveforms,
    keep_padding_out,
    normalise,
)
from ser_lib.upstreams.pretrained import (
    WEIGHT_FILES,
    has_weights,
    load_pretrained,
    named_settings,
)

NEEDED_FILES = ("config.json", "preprocessor_config.json")
# Weights of other tasks, which a checkpoint may hold in addition to the encoder.
HEADS = (
    "classifier.",
    "feature_extractor.bias",
    "feature_extractor.weight",
    "final_proj.",
    "label_embs_concat",
    "layer_weights",
    "lm_head.",
    "objective.",
    "project_hid.",
    "project_q.",
    "projector.",
    "quantizer.",
    "tdnn.",
)


def local_encoder(source: str, needed: Sequence[str] = NEEDED_FILES) -> Path:
    """Find an encoder: a local folder, the hub's cache, or the hub, in that order.

    Arguments
    ---------
    source : str
        A folder with the needed files and weights, or a hub id such as
        ``facebook/hubert-large-ll60k``.
    needed : Sequence[str]
        Files that the folder must contain in addition to weights.

    Raises
    ------
    FileNotFoundError
        If a local folder lacks a file, or the hub cannot be reached and its cache
        does not hold the model. The message says how to work offline.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        if folder.is_absolute() or source.startswith(".") or source.count("/") != 1:
            raise FileNotFoundError(
                f"There is no encoder folder {source}. Expected a folder with "
                f"{', '.join(needed)} and weights, or a hub id (owner/name)."
            )
        folder = _from_hub(source)
    missing = [name for name in needed if not (folder / name).is_file()]
    if not has_weights(folder):
        missing.append(" or ".join((WEIGHT_FILES[0], WEIGHT_FILES[2])))
    if missing:
        raise FileNotFoundError(
            f"The encoder folder {folder} has no {', no '.join(missing)}; it contains "
            f"{sorted(p.name for p in folder.iterdir()) or 'nothing'}."
        )
    return folder


def _from_hub(name: str) -> Path:
    patterns = ["*.json", "*.txt", "model*.safetensors", "pytorch_model*.bin"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns, etag_timeout=5))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise FileNotFoundError(
            f"{name} is neither a local folder nor in the Hugging Face cache, and "
            f"downloading it failed ({type(error).__name__}). To work offline, run "
            f"'hf download {name} --local-dir FOLDER' on a machine with network "
            f"access, copy FOLDER here and pass its path instead of {name}."
        ) from error


class HuggingFaceUpstream(SpeechEncoder, Wav2Vec2):
    """A self-supervised speech encoder whose frames do not depend on the batch.

    HuBERT: https://arxiv.org/abs/2106.07447; wav2vec 2.0:
    https://arxiv.org/abs/2006.11477, the "robust" release:
    https://arxiv.org/abs/2104.01027.

    Arguments
    ---------
    source : str | Mapping
        Local folder or hub id, see :func:`local_encoder`; or the result of
        :meth:`without_weights`, for an encoder whose weights are loaded later.
    freeze : bool
        Train nothing of the encoder, which then always stays in eval mode. The
        weights of the layer sum are still trained.
    freeze_feature_extractor : bool
        Do not train the convolutional front end.
    layer : str | int | Sequence[int]
        ``"last"``, ``"sum"`` for the learnable sum of all hidden states, ``"all"`` for
        all of them, concatenated, or the numbers of some, counted from 0.

    Raises
    ------
    FileNotFoundError
        If the folder or one of its files is missing.
    ValueError
        If ``layer`` is something else, or the weights are not exactly those of the
        encoder, except for heads of other tasks: see :func:`load_pretrained`.

    Example
    -------
    >>> from ser_lib.synthetic.encoders import write_tiny_hubert
    >>> folder = str(getfixture("tmp_path"))
    >>> _ = write_tiny_hubert(folder)
    >>> upstream = HuggingFaceUpstream(folder, freeze=True)
    >>> frames = upstream(torch.randn(2, 16000), torch.tensor([1.0, 0.5]))
    >>> frames.values.shape[1], frames.counts.tolist(), upstream.hop_samples
    (49, [49, 24], 320)
    """

    def __init__(
        self,
        source: str | Mapping[str, dict],
        freeze: bool = False,
        freeze_feature_extractor: bool = True,
        layer: Layer = "last",
    ) -> None:
        check_layer(layer)
        with _encoder_folder(source) as folder:
            super().__init__(
                str(folder),
                save_path=os.devnull,
                freeze=freeze,
                freeze_feature_extractor=freeze_feature_extractor,
            )
        config = self.model.config
        self.frozen = freeze and layer != "sum"
        dims = [config.hidden_size] * (config.num_hidden_layers + 1)
        self.layer_mix = layer_mix(layer, dims)
        if layer != "last":
            config.layerdrop = 0.0  # a dropped layer would be missing among the states
        self.dim = mixed_dim(layer, dims)
        self.hop_samples = math.prod(config.conv_stride)
        layers = zip(config.conv_kernel, config.conv_stride, strict=True)
        self.min_samples = shortest_input([(*layer, 0) for layer in layers])
        # Used only by SpecAugment, which is off. Distributed training fails on
        # trainable parameters that get no gradient.
        if hasattr(self.model, "masked_spec_embed"):
            self.model.masked_spec_embed.requires_grad = False
        keep_padding_out(self.model)
        if self.model.feature_extractor.has_group_norm:
            # Exported models have this norm under a second name.
            self._group_norm = self.model.feature_extractor.conv_layers[0].layer_norm

    @property
    def layer_stack(self) -> nn.ModuleList:
        """The transformer layers, the lowest first."""
        return self.model.encoder.layers

    @property
    def above_stack(self) -> list[nn.Module]:
        """In "large" encoders the norm is above the layers, in others below."""
        is_large = getattr(self.model.config, "do_stable_layer_norm", False)
        above = [self.model.encoder.layer_norm] if is_large else []
        adapter = getattr(self.model, "adapter", None)
        return above if adapter is None else [*above, adapter]

    def without_weights(self) -> dict[str, dict]:
        """Describe the encoder so that it can be rebuilt without its weights.

        Returns
        -------
        dict[str, dict]
            To be passed as ``source``; see ``encoder_description.py``.
        """
        config = json.loads(self.model.config.to_json_string(use_diff=False))
        preprocessor = json.loads(self.feature_extractor.to_json_string())
        return describe_encoder(config, preprocessor)

    def _from_pretrained(self, source: str, *args: str, **kwargs: str) -> None:
        """Load weights, or leave them random if the source has none."""
        if has_weights(Path(source)):
            self.model = load_pretrained(self.auto_class, source, self.config, HEADS)
        else:
            self.model = self.auto_class.from_config(
                self.config, dtype="float32", trust_remote_code=False
            )

    def load_feature_extractor(self, source: str, cache_dir: str) -> None:
        """Read the preprocessor's settings; never run code that they name."""
        super().load_feature_extractor(source, cache_dir, trust_remote_code=False)

    def _states(
        self, wavs: torch.Tensor, n_samples: torch.Tensor, all_states: bool
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return the input and output of each layer, or only the output of the last.

        In transformers 5, the last state of "large" encoders is not yet normalised; the
        output is. If ``layer`` is ``last``, layer drop may omit some states in
        training.
        """
        if self._cache is None or self.freeze:
            inputs = self._padded(wavs, n_samples)
        else:
            (frames,), _ = self._cache.states(self._convolve, wavs, n_samples)
            inputs = Convolved(frames.transpose(1, 2))
        inside = time_mask(n_samples, wavs.shape[1])
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze):
            output = self.model(
                inputs, attention_mask=inside, output_hidden_states=all_states
            )
        states = output.hidden_states if all_states else [output.last_hidden_state]
        return list(states), self.model._get_feat_extract_output_lengths(n_samples)

    @property
    def has_frozen_states(self) -> bool:
        """Whether the encoder or its convolutions are frozen."""
        return self.freeze or self.freeze_feature_extractor

    def _padded(self, wavs: torch.Tensor, n_samples: torch.Tensor) -> PaddedWaveforms:
        inside = time_mask(n_samples, wavs.shape[1])
        if self.normalize_wav:
            wavs = normalise(wavs, inside)
        return PaddedWaveforms(wavs * inside, n_samples)

    def _convolve(
        self, wavs: torch.Tensor, n_samples: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return the output of the convolutions as the lowest state."""
        frames = self.model.feature_extractor(self._padded(wavs, n_samples))
        counts = self.model._get_feat_extract_output_lengths(n_samples)
        return [frames.transpose(1, 2)], counts


@contextmanager
def _encoder_folder(source: str | Mapping[str, dict]) -> Iterator[Path]:
    """Yield a folder for SpeechBrain's class, which reads only files."""
    if not isinstance(source, Mapping):
        folder = local_encoder(source)
        with named_settings(folder):
            yield folder
        return
    check_encoder(source)
    with tempfile.TemporaryDirectory() as folder:
        for name in NEEDED_FILES:
            Path(folder, name).write_text(json.dumps(source[name]), encoding="utf-8")
        with named_settings("the description of the encoder"):
            yield Path(folder)
