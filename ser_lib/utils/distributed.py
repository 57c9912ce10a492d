"""Several processes on one experiment (torchrun).

Each process trains, validates and tests on its share of the batches. The results are
gathered, so that all processes continue with the same numbers. Only the first process
writes files. In a single process, these functions do nothing.
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
    """Return the rank of this process, from 0."""
    return torch.distributed.get_rank() if is_distributed_initialized() else 0


def n_processes() -> int:
    """Return the number of processes."""
    return torch.distributed.get_world_size() if is_distributed_initialized() else 1


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one run at a time work in a shared folder; other runs wait and say so.

    The processes of one run enter together. A missing folder is created.
    """
    with ExitStack() as held:
        if if_main_process():
            make_folder(folder)
            held.enter_context(one_at_a_time(folder / "lock", folder))
        ddp_barrier()
        yield
    ddp_barrier()


def gather_lists(own: list) -> list:
    """Concatenate the lists of all processes, in the order of their ranks.

    Arguments
    ---------
    own : list
        Picklable items of this process; tensors must be on the CPU.

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
    """Return the module inside DistributedDataParallel, or an unwrapped module itself.

    Use it for evaluation, where processes have different numbers of batches: the
    wrapper would wait for the others at each batch.
    """
    return module.module if isinstance(module, DistributedDataParallel) else module


def share_buffers(module: nn.Module) -> None:
    """Copy the buffers of process 0, such as batch-norm means, to all others."""
    if is_distributed_initialized():
        for buffer in module.buffers():
            torch.distributed.broadcast(buffer, src=0)
