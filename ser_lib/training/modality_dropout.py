"""Modality dropout: in training, utterances lack their speech or their text at random.

A model that is trained this way can also be used if one of them is missing (Neverova
et al., 2016, ModDrop, https://arxiv.org/abs/1501.00102).
"""

from collections.abc import Mapping, Sequence

import torch


def check_modality_dropout(
    probability: float, modalities: Sequence[str], experiment: str
) -> None:
    """Refuse modality dropout for a model that reads only one modality.

    Raises
    ------
    ValueError
        With the experiment and what it reads.
    """
    if probability and len(modalities) < 2:
        raise ValueError(
            f"modality_dropout is {probability}, but {experiment} reads only "
            f"{', '.join(modalities)}. Choose an experiment that reads speech and "
            f"text, or set modality_dropout to 0."
        )


def drop_modalities(
    present: Mapping[str, torch.Tensor],
    modalities: Sequence[str],
    n: int,
    probability: float,
) -> dict[str, torch.Tensor]:
    """Drop, with a probability, one modality of each of n utterances.

    All modalities that an utterance has are equally likely; its last one stays.
    PyTorch's generator on the CPU draws, so a seed gives the same choice on every
    device.

    Arguments
    ---------
    present : Mapping[str, (n,) torch.BoolTensor]
        Which utterances have a modality; one that is not named is in all.
    modalities : Sequence[str]
        What the model reads.

    Returns
    -------
    dict[str, (n,) torch.BoolTensor]
        Which utterances still have each of the modalities.

    Example
    -------
    >>> left = drop_modalities({}, ["text", "wav"], n=4, probability=1.0)
    >>> left["text"] ^ left["wav"]
    tensor([True, True, True, True])
    """
    everywhere = torch.ones(n, dtype=torch.bool)
    table = torch.stack([present.get(m, everywhere) for m in modalities], dim=1)
    is_chosen = (torch.rand(n) < probability) & (table.sum(1) > 1)
    dropped = torch.rand(table.shape).masked_fill(~table, -1.0).argmax(1)
    table[is_chosen, dropped[is_chosen]] = False
    return dict(zip(modalities, table.unbind(1), strict=True))
