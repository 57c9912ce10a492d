"""What the encoders whose networks are written here share (CPC, wav2vec, APC ...)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn

from ser_lib.upstreams.checkpoints import load_legacy, local_checkpoint
from ser_lib.upstreams.encoder import SpeechEncoder
from ser_lib.upstreams.layers import LayerSum
from ser_lib.upstreams.weights import load_strictly


class NativeUpstream(SpeechEncoder):
    """A network written here as an upstream, from a published checkpoint.

    A subclass names the class of its network in ``make_network`` and reads its
    checkpoints in ``_contents``. The network is called as ``network(wavs, n_samples)``
    and gives all hidden states, each (batch, time, dim), and the (batch,) frame
    counts; its attributes are ``dims`` (size of each state), ``hop_samples`` and
    ``min_samples``.

    Arguments
    ---------
    source : str | Mapping
        A checkpoint file, a folder that holds one, or ``owner/name/file`` on the
        Hugging Face hub; or what :meth:`without_weights` gave, for a network whose
        weights come later.
    freeze : bool
        Train nothing of the network, which then stays in eval mode whatever its
        parent does. The weights of the layer sum are trained all the same.
    layer : str
        ``"last"``, or ``"sum"`` for the learnable sum of all hidden states.

    Raises
    ------
    FileNotFoundError
        If there is no such checkpoint.
    ValueError
        If it is of another encoder or architecture, ``layer`` is neither, or states
        of different sizes are to be summed.
    """

    make_network: type[nn.Module]

    def __init__(
        self,
        source: str | Mapping,
        freeze: bool = False,
        layer: Literal["last", "sum"] = "last",
    ) -> None:
        self._check_layer(layer)
        super().__init__()
        if isinstance(source, Mapping):
            with _named("The description of the encoder", self.make_network):
                network = self._build(source)
        else:
            network = self._load(local_checkpoint(source))
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

    def _states(
        self, wavs: torch.Tensor, n_samples: torch.Tensor, all_states: bool
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        return self.network(wavs, n_samples)

    def without_weights(self) -> dict:
        """Describe the network, so that it can be built anew without its weights.

        Returns
        -------
        dict
            Its arguments in plain values; to be given as ``source``.
        """
        return json.loads(json.dumps(self._description))

    def _load(self, path: Path) -> nn.Module:
        try:
            config, weights = self._contents(load_legacy(path), path)
        except (AttributeError, LookupError, TypeError) as error:
            raise ValueError(
                f"{path} is not a checkpoint of {self.make_network.__name__}: an entry "
                f"is not what it should be ({type(error).__name__}: {error})."
            ) from error
        with _named(f"The configuration in {path}", self.make_network):
            network = self._build(self._arguments(config))
        load_strictly(network, weights, path)
        return network

    def _build(self, arguments: Mapping) -> nn.Module:
        self._description = arguments
        return self.make_network(**arguments)

    @staticmethod
    def _contents(checkpoint: Mapping, path: Path) -> tuple[Mapping, Mapping]:
        """Find the configuration and the weights, by the network's own names."""
        raise NotImplementedError

    @staticmethod
    def _arguments(config: Mapping) -> Mapping:
        """Turn a checkpoint's configuration into arguments of the network."""
        return config


@contextmanager
def _named(place: str, kind: type[nn.Module]) -> Iterator[None]:
    """Say where the configuration stands that makes no network."""
    try:
        yield
    except (
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        StrictDataclassError,  # of a configuration of transformers
    ) as error:
        raise ValueError(
            f"{place} is not that of {kind.__name__} ({type(error).__name__}: {error})."
        ) from error


def check_options(
    options: Mapping, only: Mapping[str, tuple], path: str | Path
) -> None:
    """Refuse a checkpoint whose options ask for another network than is written here.

    Arguments
    ---------
    options : Mapping
        Of the training that wrote the checkpoint.
    only : Mapping[str, tuple]
        For an option, the values that are known here; the first stands for an option
        that is not named.
    path : str | Path
        The file, for the message.

    Raises
    ------
    ValueError
        If an option has another value.

    Example
    -------
    >>> check_options({"mode": "GRU"}, {"mode": ("LSTM",)}, "cpc.pt")
    Traceback (most recent call last):
    ...
    ValueError: cpc.pt was trained with mode = 'GRU'; the network written here has \
'LSTM' only.
    """
    for name, known in only.items():
        found = options.get(name, known[0])
        if found not in known:
            raise ValueError(
                f"{path} was trained with {name} = {found!r}; the network written here "
                f"has {' or '.join(map(repr, known))} only."
            )


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
