"""The base class of encoders whose networks are written here (CPC, APC ...)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn

from ser_lib.upstreams.checkpoints import load_legacy, local_checkpoint
from ser_lib.upstreams.encoder import SpeechEncoder
from ser_lib.upstreams.layers import Layer, check_layer, layer_mix, mixed_dim
from ser_lib.upstreams.weights import load_strictly


class NativeUpstream(SpeechEncoder):
    """A network written here as an upstream, from a published checkpoint.

    A subclass names the class of its network in ``network_class`` and reads its
    checkpoints in ``_contents``. The network is called as ``network(wavs, n_samples)``,
    with (batch, samples) waveforms at 16 kHz and the (batch,) numbers of samples. It
    returns all hidden states, each (batch, time, dim), and the (batch,) frame counts.
    Its attributes are ``dims`` (size of each state), ``hop_samples``, ``min_samples``
    and ``layer_stack`` (its layers; see ``layer_stack.py``).

    Arguments
    ---------
    source : str | Mapping
        A checkpoint file, a folder with one, or ``owner/name/file`` on the Hugging Face
        hub; or the result of :meth:`without_weights`, for a network whose weights are
        loaded later.
    freeze : bool
        Train nothing of the network, which then always stays in eval mode. The weights
        of the layer sum are still trained.
    layer : str | int | Sequence[int]
        ``"last"``, ``"sum"`` for the learnable sum of all hidden states, ``"all"`` for
        all of them, concatenated, or the numbers of some, counted from 0.

    Raises
    ------
    FileNotFoundError
        If there is no such checkpoint.
    ValueError
        If it is of another encoder or architecture, ``layer`` is something else, or
        states of different sizes are to be combined.
    """

    network_class: type[nn.Module]

    def __init__(
        self,
        source: str | Mapping,
        freeze: bool = False,
        layer: Layer = "last",
    ) -> None:
        check_layer(layer)
        super().__init__()
        if isinstance(source, Mapping):
            with _named("The description of the encoder", self.network_class):
                network = self._build(source)
        else:
            network = self._load(self._find(source))
        self.network = network.requires_grad_(not freeze)
        self.layer_mix = layer_mix(layer, network.dims)
        self.freeze = freeze
        self.frozen = freeze and layer != "sum"
        self.dim = mixed_dim(layer, network.dims)
        self.hop_samples = network.hop_samples
        self.min_samples = network.min_samples
        self.train()

    @property
    def layer_stack(self) -> Sequence[nn.Module]:
        """The layers of the network, the lowest first."""
        return self.network.layer_stack

    def _states(
        self, wavs: torch.Tensor, n_samples: torch.Tensor, all_states: bool
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        return self.network(wavs, n_samples)

    def without_weights(self) -> dict:
        """Return the network's arguments in plain values, a valid ``source``."""
        return json.loads(json.dumps(self._description))

    @staticmethod
    def _find(source: str) -> Path:
        """Find the checkpoint on this disk, in the hub's cache or on the hub."""
        return local_checkpoint(source)

    def _load(self, path: Path) -> nn.Module:
        try:
            config, weights = self._contents(load_legacy(path), path)
        except (AttributeError, LookupError, TypeError) as error:
            raise ValueError(
                f"{path} is not a checkpoint of {self.network_class.__name__}: an "
                f"entry is invalid ({type(error).__name__}: {error})."
            ) from error
        with _named(f"The configuration in {path}", self.network_class):
            network = self._build(self._arguments(config))
        load_strictly(network, weights, path)
        return network

    def _build(self, arguments: Mapping) -> nn.Module:
        self._description = arguments
        return self.network_class(**arguments)

    @staticmethod
    def _contents(checkpoint: Mapping, path: Path) -> tuple[Mapping, Mapping]:
        """Return the configuration, and the weights by the network's own names."""
        raise NotImplementedError

    @staticmethod
    def _arguments(config: Mapping) -> Mapping:
        """Convert a checkpoint's configuration to arguments of the network."""
        return config


@contextmanager
def _named(place: str, kind: type[nn.Module]) -> Iterator[None]:
    """Name the place of a configuration that does not fit the network."""
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
            f"{place} does not fit {kind.__name__} ({type(error).__name__}: {error})."
        ) from error


def check_options(
    options: Mapping, supported: Mapping[str, tuple], path: str | Path
) -> None:
    """Check that a checkpoint's options are those of the network written here.

    Arguments
    ---------
    options : Mapping
        Training options in the checkpoint.
    supported : Mapping[str, tuple]
        The supported values of each option; the first is the default.

    Raises
    ------
    ValueError
        If an option has another value.

    Example
    -------
    >>> check_options({"mode": "GRU"}, {"mode": ("LSTM",)}, "cpc.pt")
    Traceback (most recent call last):
    ...
    ValueError: cpc.pt was trained with mode = 'GRU'; the network written here \
supports only 'LSTM'.
    """
    for name, values in supported.items():
        found = options.get(name, values[0])
        if found not in values:
            raise ValueError(
                f"{path} was trained with {name} = {found!r}; the network written here "
                f"supports only {' or '.join(map(repr, values))}."
            )


def conv_counts(
    n: torch.Tensor, kernel: int, stride: int, padding: int = 0
) -> torch.Tensor:
    """Return the (batch,) numbers of steps that a convolution outputs.

    Arguments
    ---------
    n : (batch,) torch.LongTensor
        Steps in its input.
    kernel, stride, padding : int
        Of the convolution; the padding is that of each side.

    Example
    -------
    >>> conv_counts(torch.tensor([400, 10]), kernel=10, stride=5)
    tensor([79,  1])
    """
    return (n + 2 * padding - kernel) // stride + 1


def shortest_input(convolutions: Sequence[tuple[int, int, int]]) -> int:
    """Return the fewest samples from which a stack of convolutions computes one step.

    Arguments
    ---------
    convolutions : Sequence[tuple[int, int, int]]
        Kernel, stride and padding of each, the lowest first.

    Example
    -------
    >>> shortest_input([(10, 5, 0), (8, 4, 0)])
    45
    """
    n = 1
    for kernel, stride, padding in reversed(convolutions):
        n = (n - 1) * stride + kernel - 2 * padding
    return n
