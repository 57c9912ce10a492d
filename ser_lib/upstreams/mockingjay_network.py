"""The network of Mockingjay and TERA: BERT's layers over frames of a spectrogram."""

import math
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertEncoder

from ser_lib.upstreams.frames import Frames, time_mask
from ser_lib.upstreams.s3prl_frontends import FrontEnd, KaldiFbank, LoudnessScaledMel


class Mockingjay(nn.Module):
    """The network of Mockingjay and TERA; module names are the published keys.

    Input representation: a linear layer plus sinusoidal positions, layer norm. Then
    BERT layers (post-norm, GELU) from transformers.

    Arguments
    ---------
    config : Mapping
        ``transformer`` (hidden_size, num_hidden_layers ...), ``task``
        (sequence_length, 0 for no limit) and ``audio`` (the front end).

    Raises
    ------
    ValueError
        If the configuration asks for pre-norm or shared layers.

    Example
    -------
    >>> with torch.device("meta"):  # the size of TERA in SUPERB
    ...     network = Mockingjay(published_config(num_hidden_layers=3))
    >>> sum(p.numel() for p in network.parameters())
    21327360
    """

    def __init__(self, config: Mapping) -> None:
        super().__init__()
        self.config = config
        bert = _bert_config(config["transformer"])
        self.sequence_length = int(config["task"]["sequence_length"])
        self.front_end = front_end(config["audio"])
        self.hop_samples = self.front_end.hop_samples
        self.min_samples = self.front_end.min_samples
        self.dims = [bert.hidden_size] * (bert.num_hidden_layers + 1)
        self.input_representations = nn.ModuleDict(
            {
                "spec_transform": nn.Linear(self.front_end.dim, bert.hidden_size),
                "LayerNorm": nn.LayerNorm(bert.hidden_size, eps=bert.layer_norm_eps),
            }
        )
        self.dropout = nn.Dropout(bert.hidden_dropout_prob)
        self.encoder = BertEncoder(bert)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=bert.initializer_range)
                nn.init.zeros_(module.bias)

    def forward(
        self, wavs: torch.Tensor, n_samples: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return all hidden states and the frame counts; see NativeUpstream."""
        frames = self.front_end(wavs, n_samples)
        return self.encode(frames), frames.counts

    def encode(self, frames: Frames) -> list[torch.Tensor]:
        """Compute the hidden states of each utterance.

        An utterance with more frames than ``sequence_length`` is cut into the fewest
        equal pieces that fit; each is encoded with positions from 0.

        Arguments
        ---------
        frames : Frames
            Output of ``front_end``, ``(batch, time, mels)``.

        Returns
        -------
        list[torch.Tensor]
            ``(batch, time, hidden_size)``: input representation, then each layer.
        """
        utterances = [
            values[:n].chunk(self._n_pieces(n))
            for values, n in zip(frames.values, frames.counts.tolist(), strict=True)
        ]
        pieces = [piece for utterance in utterances for piece in utterance]
        lengths = [len(piece) for piece in pieces]
        states = self._run(pad_sequence(pieces, batch_first=True), lengths)
        if len(pieces) == len(utterances):
            return states
        n_pieces = [len(utterance) for utterance in utterances]
        return [_join(state, lengths, n_pieces) for state in states]

    @property
    def layer_stack(self) -> nn.ModuleList:
        """The transformer layers, the lowest first."""
        return self.encoder.layer

    def _n_pieces(self, n_frames: int) -> int:
        if self.sequence_length <= 0:
            return 1
        return math.ceil(n_frames / self.sequence_length)

    def _run(self, x: torch.Tensor, lengths: list[int]) -> list[torch.Tensor]:
        mask = None
        if min(lengths) < max(lengths):
            counts = torch.tensor(lengths, device=x.device)
            mask = time_mask(counts, x.shape[1])[:, None, None]
        x = self.input_representations["spec_transform"](x)
        x = x + sinusoids(*x.shape[1:]).to(x.device, torch.float32)
        states = [self.dropout(self.input_representations["LayerNorm"](x))]
        for layer in self.encoder.layer:
            states.append(layer(states[-1], mask))
        return states


def _bert_config(transformer: Mapping) -> BertConfig:
    for variant in ("pre_layer_norm", "share_layer"):
        if transformer.get(variant, False):
            raise ValueError(
                f"The configuration has {variant}: True, which is not the architecture "
                f"of the published Mockingjay and TERA."
            )
    whole = ("hidden_size", "num_hidden_layers", "num_attention_heads")
    rates = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    numbers = ("initializer_range", "layer_norm_eps")
    return BertConfig(
        **{key: int(transformer[key]) for key in (*whole, "intermediate_size")},
        **{key: float(transformer[key]) for key in (*rates, *numbers)},
        hidden_act=transformer["hidden_act"],
        attn_implementation="sdpa",
    )


def _join(state: torch.Tensor, lengths: list[int], n_pieces: list[int]) -> torch.Tensor:
    """Concatenate the pieces (rows) of each utterance."""
    pieces = iter([row[:n] for row, n in zip(state, lengths, strict=True)])
    joined = [torch.cat([next(pieces) for _ in range(n)]) for n in n_pieces]
    return pad_sequence(joined, batch_first=True)


def front_end(audio: Mapping) -> FrontEnd:
    """Build the front end that a checkpoint was trained with.

    Arguments
    ---------
    audio : Mapping
        The ``audio`` block: with ``kaldi``, Kaldi's filter bank with deltas;
        otherwise the mel spectrogram at a fixed loudness.

    Raises
    ------
    ValueError
        If it asks for other features.
    """
    if "kaldi" not in audio:
        return LoudnessScaledMel(audio)
    kind = audio["kaldi"].get("feat_type", "fbank")
    if kind != "fbank":
        raise ValueError(
            f"The checkpoint was trained on Kaldi's '{kind}'; expected 'fbank'."
        )
    delta = audio.get("delta", {})
    return KaldiFbank(
        audio["kaldi"]["fbank"],
        delta_order=delta.get("order", 2),
        delta_window=delta.get("win_length", 5),
        cmvn=audio["cmvn"]["use_cmvn"],
    )


def sinusoids(n_steps: int, dim: int) -> torch.Tensor:
    """Compute position codes: sine in the even dimensions, cosine in the odd ones.

    Position p has the angle p / 10000 ** (2 (j // 2) / dim) in dimension j; see
    Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, section 3.5.

    Returns
    -------
    (n_steps, dim) torch.Tensor
        Codes in float64, on the CPU.

    Example
    -------
    >>> sinusoids(2, 4)[1].numpy().round(4)  # sin 1, cos 1, sin 0.01, cos 0.01
    array([0.8415, 0.5403, 0.01  , 1.    ])
    """
    pairs = torch.arange(dim, dtype=torch.float64, device="cpu") // 2
    steps = torch.arange(n_steps, dtype=torch.float64, device="cpu")
    angles = steps[:, None] / 10000 ** (2 * pairs / dim)
    angles[:, 0::2] = angles[:, 0::2].sin()
    angles[:, 1::2] = angles[:, 1::2].cos()
    return angles


def published_config(**transformer: float) -> dict:
    """Return the configuration of the published Mockingjay; TERA has 3 layers.

    The mel spectrogram is normalised; pieces are 500 frames (1500 in TERA).

    Arguments
    ---------
    **transformer : float
        Network settings to change, such as ``num_hidden_layers``.
    """
    network = {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "hidden_act": "gelu",
        "intermediate_size": 3072,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-12,
        "share_layer": False,
        "pre_layer_norm": False,
    }
    mel = {"feat_type": "mel", "channel": 0, "log": True, "delta": 0, "cmvn": True}
    audio = {
        "target_level": -25,
        "win_ms": 25,
        "hop_ms": 10,
        "n_freq": 201,
        "n_mels": 80,
        "input": mel,
    }
    return {
        "transformer": {**network, **transformer},
        "task": {"sequence_length": 500},
        "audio": audio,
    }
