"""data2vec: a student with masked input predicts the states of its teacher.

Baevski et al., 2022, https://arxiv.org/abs/2202.03555: the teacher is the moving
average of the student (equation 1), and both share the layers below the transformer.
The target of a frame is the mean over the teacher's top K blocks of the output of the
feed-forward part before the last residual connection, each normalised over the
utterance (section 3.3). The loss is smooth L1 at the masked frames (equation 2); the
paper uses beta = 0 for speech, which makes it the squared distance.
"""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional as F
from transformers import Data2VecAudioConfig, Data2VecAudioModel

from ser_lib.pretraining.transformer import TransformerObjective
from ser_lib.upstreams.frames import time_mask

DECAY_RISES_UNTIL = 0.075  # share of the training; 30,000 of 400,000 steps in the paper


class Data2VecObjective(TransformerObjective):
    """data2vec's student, its teacher, and the distance between them.

    Arguments
    ---------
    encoder : Mapping
        Settings of the network that differ from the base model's, with the names of
        ``Data2VecAudioConfig``.
    top_layers : int
        K, the number of blocks in the target: 8 of 12 in the paper.
    decay : Sequence[float]
        The share of itself that the teacher keeps in a step, first and last value:
        0.999 and 0.9999 in the paper, for hundreds of thousands of steps.
    beta : float
        Where smooth L1 changes from the square to the absolute value; 0 is always the
        square.
    mask_share, mask_length :
        As for :class:`TransformerObjective`.

    Raises
    ------
    ValueError
        If there are fewer than ``top_layers`` layers.

    Example
    -------
    >>> small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    >>> objective = Data2VecObjective({**small, "conv_dim": [16] * 7}, top_layers=1)
    >>> objective(torch.randn(2, 8000), torch.tensor([8000, 6000])).shape
    torch.Size([])
    """

    def __init__(
        self,
        encoder: Mapping,
        top_layers: int = 8,
        decay: Sequence[float] = (0.999, 0.9999),
        beta: float = 0.0,
        mask_share: float = 0.65,
        mask_length: int = 10,
    ) -> None:
        encoder = {**encoder, "layerdrop": 0.0}  # a dropped layer has no output
        super().__init__(
            Data2VecAudioConfig, Data2VecAudioModel, encoder, mask_share, mask_length
        )
        layers, size = self.model.encoder.layers, self.model.config.hidden_size
        if top_layers > len(layers):
            raise ValueError(
                f"top_layers is {top_layers}; the encoder has {len(layers)} layers."
            )
        self.first_decay, self.last_decay = decay
        self.decay, self.beta = self.first_decay, beta
        self.teacher = copy.deepcopy(self.model.encoder).requires_grad_(False)
        self._outputs: list[torch.Tensor] = []
        for block in self.teacher.layers[-top_layers:]:
            block.feed_forward.register_forward_hook(self._keep_output)
        self.regression = nn.Linear(size, size)
        self.train()

    def train(self, mode: bool = True) -> "Data2VecObjective":
        """Set the mode; the teacher always stays in eval mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def set_progress(self, progress: float) -> None:
        """Increase the decay linearly at first, as in equation 1."""
        risen = min(1.0, progress / DECAY_RISES_UNTIL)
        self.decay = self.first_decay + (self.last_decay - self.first_decay) * risen

    @torch.no_grad()
    def after_step(self) -> None:
        """Move the teacher towards the student; positions are shared."""
        student = dict(self.model.encoder.named_parameters())
        for name, parameter in self.teacher.named_parameters():
            is_shared = name.startswith("pos_conv_embed.")
            parameter.lerp_(student[name], 1.0 if is_shared else 1 - self.decay)

    def forward(self, wavs: torch.Tensor, n_samples: torch.Tensor) -> torch.Tensor:
        """Compute the loss, see :class:`Objective`."""
        batch = self.batch(wavs, n_samples)
        is_masked = torch.from_numpy(batch.is_masked).to(wavs.device)
        inside = time_mask(batch.counts, is_masked.shape[1])
        features = self.model.feature_extractor(batch.wavs).transpose(1, 2)
        frames, _ = self.model.feature_projection(features)
        targets = self.targets(frames, inside)
        mask_vector = self.model.masked_spec_embed.to(frames.dtype)
        seen = torch.where(is_masked[..., None], mask_vector, frames)
        states = self.model.encoder(seen, attention_mask=inside).last_hidden_state
        predicted = self.regression(states[is_masked]).float()
        return smooth_l1(predicted, targets[is_masked], self.beta)

    @torch.no_grad()
    def targets(self, frames: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """Compute the targets: the mean of the normalised blocks, in float32.

        Arguments
        ---------
        frames : (batch, time, dim) torch.Tensor
            Input of the transformer, unmasked.
        inside : (batch, time) torch.BoolTensor
            False in the padding.
        """
        self._outputs.clear()
        # A copy: the encoder sets the padding to zero in place.
        self.teacher(frames.clone(), attention_mask=inside)
        blocks = [normalise_over_time(output, inside) for output in self._outputs]
        self._outputs.clear()
        return torch.stack(blocks).mean(0)

    def _keep_output(
        self, module: nn.Module, inputs: tuple, output: torch.Tensor
    ) -> None:
        self._outputs.append(output)


def normalise_over_time(x: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Normalise each dimension to zero mean and unit variance over an utterance.

    Arguments
    ---------
    x : (batch, time, dim) torch.Tensor
        Frames.
    inside : (batch, time) torch.BoolTensor
        False in the padding.

    Returns
    -------
    (batch, time, dim) torch.Tensor
        Normalised, in float32.

    Example
    -------
    >>> x = torch.tensor([[[1.0], [3.0], [9.0]]])
    >>> normalise_over_time(x, torch.tensor([[True, True, False]]))[0, :2, 0]
    tensor([-1.0000,  1.0000])
    """
    x, inside = x.float(), inside[..., None]
    n = inside.sum(1, keepdim=True)
    mean = (x * inside).sum(1, keepdim=True) / n
    variance = ((x - mean) * inside).square().sum(1, keepdim=True) / n
    return (x - mean) * torch.rsqrt(variance + 1e-5)


def smooth_l1(
    predicted: torch.Tensor, targets: torch.Tensor, beta: float
) -> torch.Tensor:
    """Compute equation 2, averaged; with ``beta`` 0, half the squared distance.

    Example
    -------
    >>> smooth_l1(torch.tensor([0.0]), torch.tensor([3.0]), beta=0.0)
    tensor(4.5000)
    >>> smooth_l1(torch.tensor([0.0]), torch.tensor([3.0]), beta=1.0)  # 3 - 1 / 2
    tensor(2.5000)
    """
    if beta == 0:
        return F.mse_loss(predicted, targets) / 2
    return F.smooth_l1_loss(predicted, targets, beta=beta)
