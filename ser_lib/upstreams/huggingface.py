"""The Hugging Face family (HuBERT, wav2vec 2.0, WavLM, data2vec) as one upstream.

Loading and the forward pass are SpeechBrain's (``Wav2Vec2``, which takes whatever
``AutoModel`` gives). Two things are added, because the stock class makes the frames
of an utterance depend on the padding of its batch: the waveform is normalised over
the utterance's own samples, and so is the first layer of the "base" encoders, a
group norm over time.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from speechbrain.integrations.huggingface.wav2vec2 import Wav2Vec2
from torch import nn

from ser_lib.upstreams.frames import Frames, sample_counts, time_mask

NEEDED_FILES = ("config.json", "preprocessor_config.json")
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


def local_encoder(source: str, needed: Sequence[str] = NEEDED_FILES) -> Path:
    """Find an encoder: a local folder, the hub's cache, or the hub, in that order.

    Arguments
    ---------
    source : str
        A folder with the needed files and weights, or a hub id such as
        ``facebook/hubert-large-ll60k``.
    needed : Sequence[str]
        Files that the folder must hold beside weights.

    Returns
    -------
    Path
        The folder that holds the files.

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
                f"There is no encoder folder {source}. Expected a folder that holds "
                f"{', '.join(needed)} and weights, or a hub id (owner/name)."
            )
        folder = _from_hub(source)
    missing = [name for name in needed if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in WEIGHT_FILES):
        missing.append(" or ".join((WEIGHT_FILES[0], WEIGHT_FILES[2])))
    if missing:
        raise FileNotFoundError(
            f"The encoder folder {folder} has no {', no '.join(missing)}. It holds: "
            f"{sorted(p.name for p in folder.iterdir()) or 'nothing'}."
        )
    return folder


def _from_hub(name: str) -> Path:
    patterns = ["*.json", "*.txt", "model*.safetensors", "pytorch_model*.bin"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns, etag_timeout=5))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise FileNotFoundError(
            f"{name} is neither a folder here nor in the Hugging Face cache, and the "
            f"hub did not give it ({type(error).__name__}). To work offline, run "
            f"'hf download {name} --local-dir FOLDER' where there is a network, copy "
            f"FOLDER here and give its path in place of {name}."
        ) from error


class HuggingFaceUpstream(Wav2Vec2):
    """A self-supervised speech encoder whose frames do not depend on the batch.

    HuBERT: https://arxiv.org/abs/2106.07447; wav2vec 2.0:
    https://arxiv.org/abs/2006.11477, the "robust" release:
    https://arxiv.org/abs/2104.01027.

    Arguments
    ---------
    source : str
        Local folder or hub id, see :func:`local_encoder`.
    freeze : bool
        Train nothing; the module then stays in eval mode whatever its parent does.
    freeze_feature_extractor : bool
        Keep the convolutional front end as it was pre-trained.

    Example
    -------
    >>> from ser_lib.tiny_models import write_tiny_hubert
    >>> folder = str(getfixture("tmp_path"))
    >>> _ = write_tiny_hubert(folder)
    >>> upstream = HuggingFaceUpstream(folder, freeze=True)
    >>> frames = upstream(torch.randn(2, 16000), torch.tensor([1.0, 0.5]))
    >>> frames.values.shape[1], frames.counts.tolist(), upstream.hop_samples
    (49, [49, 24], 320)
    """

    reads = "wav"

    def __init__(
        self,
        source: str,
        freeze: bool = False,
        freeze_feature_extractor: bool = True,
    ) -> None:
        # A half-precision checkpoint would stay half without the dtype.
        super().__init__(
            str(local_encoder(source)),
            save_path=os.devnull,
            freeze=freeze,
            freeze_feature_extractor=freeze_feature_extractor,
            dtype="float32",
        )
        config = self.model.config
        self.frozen = freeze
        self.dim = config.hidden_size
        self.hop_samples = int(torch.tensor(config.conv_stride).prod())
        self.min_samples = _receptive_field(config.conv_kernel, config.conv_stride)
        # Used only by SpecAugment, which is off: without a gradient, it would stop
        # distributed training.
        if hasattr(self.model, "masked_spec_embed"):
            self.model.masked_spec_embed.requires_grad = False
        self._group_norm = _mask_group_norm(self.model.feature_extractor)

    def train(self, mode: bool = True) -> "HuggingFaceUpstream":
        """Set the mode; a frozen encoder has no dropout whoever asks for it."""
        return super().train(mode and not self.freeze)

    def extract_features(self, wav: torch.Tensor, wav_lens: torch.Tensor) -> Frames:
        """Encode a padded batch; called by SpeechBrain's ``forward``.

        Arguments
        ---------
        wav : (batch, samples) torch.Tensor
            Padded waveforms at 16 kHz.
        wav_lens : (batch,) torch.Tensor
            Relative lengths.

        Returns
        -------
        Frames
            Last layer, ``(batch, time, dim)``.

        Raises
        ------
        ValueError
            If an utterance is too short for one frame.
        """
        n_samples = sample_counts(wav, wav_lens)
        if n_samples.min() < self.min_samples:
            raise ValueError(
                f"The encoder needs at least {self.min_samples} samples; the shortest "
                f"utterance of this batch has {int(n_samples.min())}."
            )
        inside = time_mask(n_samples, wav.shape[1])
        if self.normalize_wav:
            wav = _normalise(wav, inside)
        if self._group_norm is not None:
            config = self.model.config
            kernel, stride = config.conv_kernel[0], config.conv_stride[0]
            self._group_norm.n_valid = (n_samples - kernel) // stride + 1
        values = self.model(wav * inside, attention_mask=inside).last_hidden_state
        return Frames(values, self.model._get_feat_extract_output_lengths(n_samples))


class MaskedGroupNorm(nn.GroupNorm):
    """A group norm with one channel a group, over the utterance's own steps.

    Arguments
    ---------
    *args, **kwargs
        Those of ``torch.nn.GroupNorm``.
    """

    n_valid: torch.Tensor | None = None  # (batch,), set before each forward pass

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise ``x`` of shape (batch, channels, time) along time.

        Arguments
        ---------
        x : (batch, channels, time) torch.Tensor
            Output of the first convolution.

        Returns
        -------
        (batch, channels, time) torch.Tensor
            As ``x``; the padding is scaled along with the rest.
        """
        if self.n_valid is None:
            return super().forward(x)
        dtype, x = x.dtype, x.float()  # thousands of steps are summed
        inside = time_mask(self.n_valid, x.shape[-1])[:, None]
        n = inside.sum(-1, keepdim=True)
        mean = (x * inside).sum(-1, keepdim=True) / n
        variance = ((x - mean) * inside).square().sum(-1, keepdim=True) / n
        scale = self.weight[:, None] / torch.sqrt(variance + self.eps)
        return ((x - mean) * scale + self.bias[:, None]).to(dtype)


def _mask_group_norm(feature_extractor: nn.Module) -> MaskedGroupNorm | None:
    """Turn the group norm of a "base" encoder into a masked one, names unchanged."""
    norm = getattr(feature_extractor.conv_layers[0], "layer_norm", None)
    if not isinstance(norm, nn.GroupNorm):
        return None
    assert norm.num_groups == norm.num_channels, "one channel a group was expected"
    norm.__class__ = MaskedGroupNorm
    return norm


def _normalise(wavs: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Zero mean and unit variance for each utterance, eps as in Hugging Face."""
    n = inside.sum(1, keepdim=True)
    mean = (wavs * inside).sum(1, keepdim=True) / n
    variance = ((wavs - mean) * inside).square().sum(1, keepdim=True) / n
    return (wavs - mean) / torch.sqrt(variance + 1e-7)


def _receptive_field(kernels: list[int], strides: list[int]) -> int:
    """Samples that one frame sees: 400 for the published encoders."""
    field, hop = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        field += (kernel - 1) * hop
        hop *= stride
    return field
