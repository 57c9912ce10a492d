"""Whisper's encoder (Radford et al., 2022, https://arxiv.org/abs/2212.04356).

It was trained with transcripts of 680,000 hours of speech: it is not self-supervised.
The network is that of transformers, run on the frames of the utterance: the original
pads every input to 30 s with silence, which costs several times as much for short
utterances. The decoder is never loaded.
"""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import WhisperConfig
from transformers.audio_utils import mel_filter_bank
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from ser_lib.upstreams.frames import time_mask
from ser_lib.upstreams.huggingface import local_encoder
from ser_lib.upstreams.layers import Layer, highest_state
from ser_lib.upstreams.native import NativeUpstream
from ser_lib.upstreams.pretrained import read_weights
from ser_lib.upstreams.weights import load_strictly

SAMPLE_RATE_HZ = 16000
WINDOW_SAMPLES = 400
MEL_HOP_SAMPLES = 160  # the second convolution halves the rate
MAX_SAMPLES = 30 * SAMPLE_RATE_HZ

# The settings of a config.json that concern the encoder.
_SETTINGS = (
    "activation_dropout",
    "activation_function",
    "attention_dropout",
    "d_model",
    "dropout",
    "encoder_attention_heads",
    "encoder_ffn_dim",
    "encoder_layers",
    "max_source_positions",
    "num_mel_bins",
)
# In a file of the whole model, of a classifier, and of the encoder alone.
_DECODER = ("model.decoder.", "decoder.", "proj_out.")
_HEADS = ("projector.", "classifier.", "layer_weights")
_PREFIXES = ("model.encoder.", "encoder.", "")


class WhisperNetwork(nn.Module):
    """Log mel spectrogram and encoder, independent of the padding.

    Audio of more than 30 s, for which Whisper has no positions, is cut into equal
    pieces, which are encoded separately and joined.

    Arguments
    ---------
    final_norm : bool
        Normalise the last state, as Whisper does. Without, the network is the lower
        part of a Whisper, whose other states are not normalised.
    **settings : float | str
        Of a ``WhisperConfig``; only those that concern the encoder.
    """

    hop_samples = 2 * MEL_HOP_SAMPLES
    min_samples = WINDOW_SAMPLES

    def __init__(self, final_norm: bool = True, **settings: float | str) -> None:
        super().__init__()
        if unknown := set(settings) - set(_SETTINGS):
            raise TypeError(f"unknown settings {', '.join(sorted(unknown))}")
        config = WhisperConfig(**settings)
        config._attn_implementation = "sdpa"
        self.encoder = WhisperEncoder(config)
        self.dims = [config.d_model] * (config.encoder_layers + 1)
        n_positions = config.max_source_positions
        self.max_samples = min(MAX_SAMPLES, n_positions * self.hop_samples)
        self.log_mel = LogMel(config.num_mel_bins)
        if not final_norm:
            self.keep_lower(config.encoder_layers)

    def forward(
        self, wavs: torch.Tensor, n_samples: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return all hidden states and the number of frames.

        Arguments
        ---------
        wavs : (batch, samples) torch.Tensor
            Padded waveforms at 16 kHz.
        n_samples : (batch,) torch.LongTensor
            Samples in each.

        Returns
        -------
        list[(batch, time, d_model) torch.Tensor]
            The input of the first block, then the output of each; that of the last is
            normalised, as in transformers, if the network has ``final_norm``.
        (batch,) torch.LongTensor
            Frames in each utterance.
        """
        rows = [wav[:n] for wav, n in zip(wavs, n_samples.tolist(), strict=True)]
        pieces = [self._cut(wav) for wav in rows]
        mels = [self.log_mel(piece) for row in pieces for piece in row]
        n_mels = torch.tensor([len(mel) for mel in mels], device=wavs.device)
        states, counts = self.encode(pad_sequence(mels, batch_first=True), n_mels)
        if len(mels) > len(rows):
            return _joined(states, counts, [len(row) for row in pieces])
        return states, counts

    @property
    def layer_stack(self) -> nn.ModuleList:
        """The transformer layers, the lowest first."""
        return self.encoder.layers

    def keep_lower(self, n_layers: int) -> None:
        """Drop the layers above the lowest ``n_layers``, and the final norm."""
        self.encoder.layers = self.encoder.layers[:n_layers]
        self.encoder.layer_norm = nn.Identity()
        self.dims = self.dims[: n_layers + 1]

    def encode(
        self, mels: torch.Tensor, n_mels: torch.Tensor | None
    ) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        """Encode (batch, time, mels) spectrograms; without counts, none is padded."""
        encoder, x, inside = self.encoder, mels, None
        if n_mels is not None:
            mask = time_mask(n_mels, x.shape[1])[..., None]
            x = F.gelu(encoder.conv1((x * mask).transpose(1, 2))) * mask.transpose(1, 2)
            counts = (n_mels + 1) // 2
            inside = time_mask(counts, (x.shape[2] + 1) // 2)[:, None, None]
        else:
            x, counts = F.gelu(encoder.conv1(x.transpose(1, 2))), None
        x = F.gelu(encoder.conv2(x)).transpose(1, 2)
        x = x + encoder.embed_positions.weight[: x.shape[1]]
        x = F.dropout(x, p=encoder.dropout, training=self.training)
        states = [x]
        for layer in encoder.layers:
            states.append(layer(states[-1], inside))
        states[-1] = encoder.layer_norm(states[-1])
        return states, counts

    def _cut(self, wav: torch.Tensor) -> list[torch.Tensor]:
        """Cut a waveform into the fewest equal pieces that have positions."""
        n_pieces = -(-len(wav) // self.max_samples)
        frames = -(-len(wav) // (n_pieces * self.hop_samples))
        return list(wav.split(frames * self.hop_samples)) if n_pieces > 1 else [wav]


class LogMel(nn.Module):
    """Whisper's input: log mel energies, from the utterance's maximum down to -80 dB.

    Equal to ``WhisperFeatureExtractor`` without its padding to 30 s.

    Arguments
    ---------
    n_mels : int
        Number of bands.
    """

    hop_samples = MEL_HOP_SAMPLES

    def __init__(self, n_mels: int) -> None:
        super().__init__()
        filters = mel_filter_bank(
            num_frequency_bins=1 + WINDOW_SAMPLES // 2,
            num_mel_filters=n_mels,
            min_frequency=0.0,
            max_frequency=SAMPLE_RATE_HZ / 2,
            sampling_rate=SAMPLE_RATE_HZ,
            norm="slaney",
            mel_scale="slaney",
        )
        window = torch.hann_window(WINDOW_SAMPLES)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer(
            "filters", torch.tensor(filters, dtype=torch.float32), persistent=False
        )

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        """Compute (time, mels) energies of one (samples,) waveform, a row per 10 ms."""
        with torch.autocast(wav.device.type, enabled=False):
            spectrum = torch.stft(
                wav.float(),
                WINDOW_SAMPLES,
                MEL_HOP_SAMPLES,
                window=self.window,
                return_complex=True,
            )
            power = spectrum[:, :-1].abs().square().T
            return self.scaled(power @ self.filters)

    @staticmethod
    def scaled(mels: torch.Tensor) -> torch.Tensor:
        """Scale the ([batch,] time, mels) energies of whole utterances."""
        logs = mels.clamp(min=1e-10).log10()
        logs = torch.maximum(logs, logs.amax((-2, -1), keepdim=True) - 8.0)
        return (logs + 4.0) / 4.0


def _joined(
    states: list[torch.Tensor], counts: torch.Tensor, n_pieces: list[int]
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Join the pieces of each utterance along time."""
    joined = []
    for state in states:
        pieces = [x[:n] for x, n in zip(state, counts.tolist(), strict=True)]
        rows, first = [], 0
        for n in n_pieces:
            rows.append(torch.cat(pieces[first : first + n]))
            first += n
        joined.append(pad_sequence(rows, batch_first=True))
    of_rows = counts.split(n_pieces)
    return joined, torch.stack([row.sum() for row in of_rows])


class WhisperUpstream(NativeUpstream):
    """Whisper's encoder as an upstream: frames of 20 ms, of the utterance alone.

    Arguments
    ---------
    source : str | Mapping
        A folder in Hugging Face format or a hub id, such as ``openai/whisper-tiny.en``;
        or the result of :meth:`without_weights`.
    freeze : bool
        Train nothing of the encoder. The weights of the layer sum are still trained.
    layer : str | int | Sequence[int]
        ``"last"``, ``"sum"`` for the learnable sum of all hidden states, ``"all"`` for
        all of them, concatenated, or the numbers of some, counted from 0. A frozen
        encoder drops the layers above the highest number, once their weights have been
        checked.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or it has no weights.
    ValueError
        If the weights are not exactly those of the encoder that config.json describes.
    """

    network_class = WhisperNetwork

    def __init__(
        self,
        source: str | Mapping,
        freeze: bool = False,
        layer: Layer = "last",
    ) -> None:
        super().__init__(source, freeze, layer)
        # Not of a trained encoder: its learning rates and frozen_layers count layers.
        # A description is of the network as it is in the model folder.
        if freeze and not isinstance(source, Mapping):
            self._drop_above(highest_state(layer, self.network.dims))
        # Sinusoids, which Whisper's own training left as they are.
        self.network.encoder.embed_positions.requires_grad_(False)

    @property
    def above_stack(self) -> list[nn.Module]:
        """The norm after the last layer; without weights if it was dropped."""
        return [self.network.encoder.layer_norm]

    def _drop_above(self, state: int) -> None:
        if state < len(self.layer_stack):
            whole = set(self.network.state_dict())
            self.network.keep_lower(state)
            dropped = whole.difference(self.network.state_dict())
            # Checkpoints of older runs have the whole encoder.
            self.network.register_load_state_dict_pre_hook(partial(_discard, dropped))
            lower = {"encoder_layers": state, "final_norm": False}
            self._description = {**self._description, **lower}
            self.train()

    @staticmethod
    def _find(source: str) -> Path:
        return local_encoder(source, needed=("config.json",))

    def _load(self, path: Path) -> WhisperNetwork:
        network = self._build(_settings(path))
        weights = read_weights(path, _DECODER)
        prefix = next(
            (p for p in _PREFIXES if f"{p}conv1.weight" in weights), _PREFIXES[0]
        )
        own = {
            key.removeprefix(prefix): value
            for key, value in weights.items()
            if key.startswith(prefix) and not key.startswith(_HEADS)
        }
        load_strictly(network.encoder, own, path)
        return network


def _discard(
    names: set[str], module: nn.Module, state: dict, prefix: str, *others: object
) -> None:
    for name in names:
        state.pop(prefix + name, None)


def _settings(folder: Path) -> dict:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_bytes())
        kind = config.get("model_type")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error}). Download it again.") from error
    if kind != "whisper":
        raise ValueError(
            f"{path} describes a model of the type {kind!r}; expected 'whisper'."
        )
    missing = [name for name in ("d_model", "encoder_layers") if name not in config]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}.")
    return {name: config[name] for name in _SETTINGS if name in config}
