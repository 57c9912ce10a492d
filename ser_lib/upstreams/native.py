"""What the encoders whose networks are written here share (CPC, wav2vec, APC ...)."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from ser_lib.upstreams.frames import Frames, sample_counts
from ser_lib.upstreams.layers import LayerSum


class NativeUpstream(nn.Module):
    """A network as an upstream: last layer or learnable sum, frozen or trained.

    Arguments
    ---------
    network : torch.nn.Module
        Called as ``network(wavs, n_samples)``, it gives all hidden states, each
        (batch, time, dim), and the (batch,) frame counts. Its attributes are
        ``dims`` (size of each state), ``hop_samples`` and ``min_samples``.
    freeze : bool
        Train nothing of the network, which then stays in eval mode whatever its
        parent does. The weights of the layer sum are trained all the same.
    layer : str
        ``"last"``, or ``"sum"`` for the learnable sum of all hidden states.

    Raises
    ------
    ValueError
        If ``layer`` is neither, or states of different sizes are to be summed.
    """

    reads = "wav"

    def __init__(
        self,
        network: nn.Module,
        freeze: bool = False,
        layer: Literal["last", "sum"] = "last",
    ) -> None:
        super().__init__()
        if layer not in ("last", "sum"):
            raise ValueError(f"layer is {layer!r}; expected 'last' or 'sum'.")
        if layer == "sum" and len(set(network.dims)) > 1:
            raise ValueError(
                f"The hidden states of this {type(network).__name__} differ in size "
                f"({network.dims}) and cannot be summed. Use layer: last."
            )
        self.network = network.requires_grad_(not freeze)
        self.layer_sum = LayerSum(len(network.dims)) if layer == "sum" else None
        self.freeze = freeze
        self.frozen = freeze and layer == "last"
        self.dim = network.dims[-1]
        self.hop_samples = network.hop_samples
        self.min_samples = network.min_samples
        self.train()

    def train(self, mode: bool = True) -> "NativeUpstream":
        """Set the mode; a frozen network has no dropout whoever asks for it."""
        super().train(mode)
        if self.freeze:
            self.network.eval()
        return self

    def hidden_states(
        self, wavs: torch.Tensor, wav_lens: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Give every hidden state of the network.

        Arguments
        ---------
        wavs : (batch, samples) torch.Tensor
            Padded waveforms at 16 kHz.
        wav_lens : (batch,) torch.Tensor
            Relative lengths.

        Returns
        -------
        list[(batch, time, dim) torch.Tensor]
            The states, the lowest first.
        (batch,) torch.LongTensor
            Frames of each utterance.

        Raises
        ------
        ValueError
            If an utterance is too short for one frame.
        """
        n_samples = sample_counts(wavs, wav_lens)
        if n_samples.min() < self.min_samples:
            raise ValueError(
                f"The encoder needs at least {self.min_samples} samples; the shortest "
                f"utterance of this batch has {int(n_samples.min())}."
            )
        return self.network(wavs, n_samples)

    def forward(self, wavs: torch.Tensor, wav_lens: torch.Tensor) -> Frames:
        """Encode a padded batch.

        Arguments
        ---------
        wavs : (batch, samples) torch.Tensor
            Padded waveforms at 16 kHz.
        wav_lens : (batch,) torch.Tensor
            Relative lengths.

        Returns
        -------
        Frames
            ``(batch, time, dim)``: the last layer, or the sum of all.

        Raises
        ------
        ValueError
            If an utterance is too short for one frame.
        """
        states, counts = self.hidden_states(wavs, wav_lens)
        if self.layer_sum is None:
            return Frames(states[-1], counts)
        return Frames(self.layer_sum(torch.stack(states)), counts)


def conv_counts(
    n: torch.Tensor, kernel: int, stride: int, padding: int = 0
) -> torch.Tensor:
    """Count the steps that a convolution gives.

    Arguments
    ---------
    n : (batch,) torch.LongTensor
        Steps of its input.
    kernel, stride, padding : int
        Of the convolution; the padding is that of each side.

    Returns
    -------
    (batch,) torch.LongTensor
        Steps of its output.

    Example
    -------
    >>> conv_counts(torch.tensor([400, 10]), kernel=10, stride=5)
    tensor([79,  1])
    """
    return (n + 2 * padding - kernel) // stride + 1


def shortest_input(convolutions: Sequence[tuple[int, int, int]]) -> int:
    """Find the shortest input from which a stack of convolutions makes one step.

    Arguments
    ---------
    convolutions : Sequence[tuple[int, int, int]]
        Kernel, stride and padding of each, the lowest first.

    Returns
    -------
    int
        Samples.

    Example
    -------
    >>> shortest_input([(10, 5, 0), (8, 4, 0)])
    45
    """
    n = 1
    for kernel, stride, padding in reversed(convolutions):
        n = (n - 1) * stride + kernel - 2 * padding
    return n
