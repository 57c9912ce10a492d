"""Several processes on one experiment (torchrun): who writes, who reads what.

Every process trains on its share of the batches, and validates and tests its share;
what they found is gathered, so all of them go on with the same numbers. Only the
first one writes. In a single process, everything here does nothing.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from speechbrain.utils.distributed import (
    ddp_barrier,
    if_main_process,
    is_distributed_initialized,
)
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ser_lib.utils.files import make_folder, one_at_a_time


def process_rank() -> int:
    """Give the number of this process, from 0."""
    return torch.distributed.get_rank() if is_distributed_initialized() else 0


def n_processes() -> int:
    """Give the number of processes that work together."""
    return torch.distributed.get_world_size() if is_distributed_initialized() else 1


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one run at a time into a folder of shared work; others wait, and say so.

    The processes of one run enter together.

    Arguments
    ---------
    folder : Path
        The folder; it is made where it is missing.
    """
    with ExitStack() as held:
        if if_main_process():
            make_folder(folder)
            held.enter_context(one_at_a_time(folder / "lock", folder))
        ddp_barrier()
        yield
    ddp_barrier()


def gather_lists(own: list) -> list:
    """Join the lists of all processes; every process gets the whole.

    Arguments
    ---------
    own : list
        Picklable items of this process; tensors on the CPU.

    Returns
    -------
    list
        Items of process 0, then of process 1 and so on.

    Example
    -------
    >>> gather_lists([1, 2])
    [1, 2]
    """
    if not is_distributed_initialized():
        return own
    gathered: list[Any] = [None] * n_processes()
    torch.distributed.all_gather_object(gathered, own)
    return [item for items in gathered for item in items]


def unwrapped(module: nn.Module) -> nn.Module:
    """Give the module behind DistributedDataParallel.

    Evaluation uses it: the processes have different numbers of batches there, and
    the wrapper would wait for the others in each.

    Arguments
    ---------
    module : nn.Module
        A module, wrapped or not.

    Returns
    -------
    nn.Module
        The module itself.
    """
    return module.module if isinstance(module, DistributedDataParallel) else module


def share_buffers(module: nn.Module) -> None:
    """Give all processes the buffers of the first: running means of batch norms.

    Arguments
    ---------
    module : nn.Module
        Changed in place.
    """
    if is_distributed_initialized():
        for buffer in module.buffers():
            torch.distributed.broadcast(buffer, src=0)
