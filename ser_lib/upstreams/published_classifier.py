"""The classifier of a published model as the start of ours."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn


def copy_rows(
    classifier: nn.Linear, published: Mapping[str, torch.Tensor], rows: Sequence[int]
) -> None:
    """Copy rows of a published classifier, in the order of our labels.

    Arguments
    ---------
    classifier : nn.Linear
        Ours, from the mean of the frames to our labels.
    published : Mapping[str, torch.Tensor]
        Weight and bias of the published one.
    rows : Sequence[int]
        For each of our labels, its row there.

    Raises
    ------
    ValueError
        If our classifier takes embeddings of another size.
    """
    size = published["weight"].shape[1]
    if classifier.in_features != size:
        raise ValueError(
            f"The classifier of the checkpoint takes embeddings of size "
            f"{size}, that of the model {classifier.in_features}. Use only "
            f"this upstream, with the mean over time as aggregator."
        )
    classifier.load_state_dict({key: value[rows] for key, value in published.items()})
