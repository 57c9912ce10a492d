"""Attentive fusion: the frames of each stream, attended by the mean of the other."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

from ser_lib.aggregators.pooling import MeanPooling
from ser_lib.upstreams import Frames, time_mask


class CrossAttention(nn.Module):
    """Two streams, such as speech and words, each attended by the other.

    The crossmodal attention of Tsai et al., 2019, https://arxiv.org/abs/1906.00295,
    section 3.1, with one head::

        Y = softmax(Q K' / sqrt(size)) V

    There, each frame of one stream is a query to the other. Here, the mean of the
    other stream is the only query, so Y is one embedding, and frames without a common
    clock (words and speech) can be fused. K and V are linear in a stream's own frames,
    Q in the other's mean. The embeddings of both streams are concatenated.

    If a stream is absent, its mean and its embedding are zero: the query to the other
    stream is then the bias of its linear layer.

    Arguments
    ---------
    input_sizes : Mapping[str, int]
        Size of a frame of each of the two streams, by name.
    attention_size : int
        Size of a query and of the embedding of a stream.

    Raises
    ------
    ValueError
        If there are not two streams.

    Example
    -------
    >>> fusion = CrossAttention({"hubert": 80, "bert": 64}, attention_size=32)
    >>> frames = {
    ...     "hubert": Frames(torch.randn(2, 50, 80), torch.tensor([50, 20])),
    ...     "bert": Frames(torch.randn(2, 7, 64), torch.tensor([4, 7])),
    ... }
    >>> fusion(frames).shape
    torch.Size([2, 64])
    """

    min_frames = 1

    def __init__(
        self, input_sizes: Mapping[str, int], attention_size: int = 192
    ) -> None:
        super().__init__()
        if len(input_sizes) != 2:
            raise ValueError(
                f"CrossAttention fuses two upstreams; found {list(input_sizes)}."
            )
        first, second = input_sizes
        self.other = {first: second, second: first}
        self.output_size = 2 * attention_size
        self.means, self.queries, self.keys, self.values = (
            nn.ModuleDict() for _ in range(4)
        )
        for name, size in input_sizes.items():
            other_size = input_sizes[self.other[name]]
            self.means[name] = MeanPooling(size)
            self.queries[name] = nn.Linear(other_size, attention_size)
            # A bias of the keys would add the same to all scores.
            self.keys[name] = nn.Linear(size, attention_size, bias=False)
            self.values[name] = nn.Linear(size, attention_size)

    def forward(
        self,
        frames: Mapping[str, Frames],
        present: Mapping[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Return (batch, 2 * attention_size) embeddings.

        Arguments
        ---------
        frames : Mapping[str, Frames]
            Frames of both streams.
        present : Mapping[str, (batch,) torch.BoolTensor]
            Which utterances have a stream; a stream that is not named is in all.
        """
        present = present or {}
        means = {
            name: _hide(self.means[name](frames[name]), present.get(name))
            for name in self.other
        }
        embedded = [
            _hide(self._attend(name, frames[name], means[other]), present.get(name))
            for name, other in self.other.items()
        ]
        return torch.cat(embedded, dim=-1)

    def _attend(self, name: str, frames: Frames, other: torch.Tensor) -> torch.Tensor:
        """Pool (batch, time, dim) frames, given the (batch, dim) mean of the other."""
        inside = time_mask(frames.counts, frames.values.shape[1])
        values = frames.values.masked_fill(~inside[..., None], 0.0)
        attended = F.scaled_dot_product_attention(
            self.queries[name](other)[:, None],  # (batch, 1, attention_size)
            self.keys[name](values),
            self.values[name](values),
            attn_mask=inside[:, None],
        )
        return attended.squeeze(1)


def _hide(embedded: torch.Tensor, present: torch.Tensor | None) -> torch.Tensor:
    """Set (batch, dim) embeddings to zero where a stream is absent."""
    if present is None:
        return embedded
    return embedded.masked_fill(~present.to(embedded.device)[:, None], 0.0)
