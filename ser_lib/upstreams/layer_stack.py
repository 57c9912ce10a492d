"""Encoders as stacks of layers, of which the lower ones can stay as they are."""

from collections.abc import Sequence

from torch import nn


class LayerStack(nn.Module):
    """A module with layers on top of each other, the base of trainable encoders.

    A subclass implements ``layer_stack`` and, if it has weights above it (such as a
    final norm), ``above_stack``. All other weights are below the stack.
    """

    _n_kept: int = 0

    @property
    def layer_stack(self) -> Sequence[nn.Module]:
        """The layers, the lowest first."""
        raise NotImplementedError

    @property
    def above_stack(self) -> Sequence[nn.Module]:
        """Modules with weights above the last layer."""
        return ()

    def freeze_lower(self, n_layers: int) -> None:
        """Do not train the lowest layers and what is below them; no dropout in them.

        Raises
        ------
        ValueError
            If this would freeze the whole encoder.
        """
        if n_layers >= len(self.layer_stack):
            raise ValueError(
                f"frozen_layers is {n_layers}, but this encoder has "
                f"{len(self.layer_stack)} layers. Expected fewer, so that one is "
                f"trained."
            )
        self._n_kept = n_layers
        for depth in self.weights_by_depth()[: n_layers + 1]:
            for weight in depth:
                weight.requires_grad_(False)
        self.train(self.training)

    def weights_by_depth(self) -> list[list[nn.Parameter]]:
        """Return the weights below the stack, then those of each layer.

        Those above the stack are with the last layer; those of a learnable sum of
        layers are left out.
        """
        stack = [list(layer.parameters()) for layer in self.layer_stack]
        above = [w for module in self.above_stack for w in module.parameters()]
        mixing = mixing_weights(self)
        higher = {id(w) for w in sum(stack, [*mixing, *above])}
        depths = [[w for w in self.parameters() if id(w) not in higher], *stack]
        depths[-1] += above
        return depths

    def train(self, mode: bool = True) -> "LayerStack":
        """Set the mode; what :meth:`freeze_lower` froze stays in eval mode."""
        super().train(mode)
        if self._n_kept:
            higher = [*self.layer_stack[self._n_kept :], *self.above_stack]
            trained = {id(m) for module in higher for m in module.modules()}
            for module in self.modules():
                if trained.isdisjoint(map(id, module.modules())):
                    module.training = False
        return self


def mixing_weights(module: nn.Module) -> list[nn.Parameter]:
    """Return the weights of learnable sums of layers (``layer_mix``) in a module."""
    mixes = [getattr(m, "layer_mix", None) for m in module.modules()]
    return [w for mix in mixes if mix is not None for w in mix.parameters()]
