"""A crash-safe checkpointer, and exact averaging of checkpoints.

SpeechBrain's checkpointer writes its meta file first and then the weights, in the final
folder. A process killed in between leaves a checkpoint that looks complete and makes
every later start fail; so does one killed while deleting. Here a checkpoint is written
in a temporary folder and renamed when complete, and renamed before it is deleted.
"""

import logging
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from speechbrain.utils.checkpoints import (
    Checkpoint,
    Checkpointer,
    average_checkpoints,
)
from speechbrain.utils.logger import get_logger

from ser_lib.upstreams import average_lora, load_lora, lora_weights
from ser_lib.utils.files import is_full_disk

logger = get_logger(__name__)


class AtomicCheckpointer(Checkpointer):
    """A checkpointer whose checkpoints are always complete.

    Takes the arguments of SpeechBrain's ``Checkpointer``.

    Example
    -------
    >>> layer = torch.nn.Linear(1, 1)
    >>> folder = getfixture("tmp_path")
    >>> checkpointer = AtomicCheckpointer(folder, {"layer": layer})
    >>> _ = checkpointer.save_checkpoint(name="epoch001", meta={"accuracy": 0.5})
    >>> [path.name for path in folder.glob("CKPT*")]
    ['CKPT+epoch001']
    """

    def save_checkpoint(
        self,
        meta: dict | None = None,
        end_of_epoch: bool = True,
        name: str | None = None,
        verbosity: int = logging.DEBUG,
    ) -> Checkpoint:
        """Save all recoverables under a temporary name, then rename.

        Arguments
        ---------
        meta : dict
            Plain Python values stored with the checkpoint.
        name : str
            Name of the checkpoint; required, because it is the name of a folder.

        Raises
        ------
        OSError
            If the disk is full; earlier checkpoints are untouched.
        """
        final_folder = self.checkpoints_dir
        unfinished = final_folder / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        self.checkpoints_dir = unfinished
        try:
            saved = super().save_checkpoint(meta or {}, end_of_epoch, name, verbosity)
            complete = final_folder / saved.path.name
            if complete.exists():  # saved by a run that was killed right after
                _move_and_delete(complete)
            saved.path.rename(complete)
        except (OSError, RuntimeError) as error:
            if not is_full_disk(error):
                raise
            raise _full_disk_error(final_folder) from error
        finally:
            self.checkpoints_dir = final_folder
            shutil.rmtree(unfinished, ignore_errors=True)
        files = {name: complete / path.name for name, path in saved.paramfiles.items()}
        return Checkpoint(complete, saved.meta, files)

    @staticmethod
    def _delete_checkpoint(checkpoint: Checkpoint, verbosity: int = 0) -> None:
        del verbosity
        _move_and_delete(Path(checkpoint.path))


def _move_and_delete(folder: Path) -> None:
    deleted = folder.with_name(f"deleted.{folder.name}")
    shutil.rmtree(deleted, ignore_errors=True)
    folder.rename(deleted)
    shutil.rmtree(deleted)


def _full_disk_error(folder: Path) -> OSError:
    free_mb = shutil.disk_usage(folder).free / 1e6
    return OSError(
        f"No space for a checkpoint in {folder} ({free_mb:.0f} MB free). Earlier "
        f"checkpoints are intact: free some space or move the results folder, then "
        f"start the same command again; it resumes from the last one."
    )


def best_checkpoints(checkpointer: Checkpointer, k: int) -> list[Checkpoint]:
    """Return the k best checkpoints by validation accuracy, the best first.

    At equal accuracy, the later epoch comes first. If nothing was validated
    (``valid_accuracy`` is None), the last epochs are returned.

    Arguments
    ---------
    checkpointer : Checkpointer
        The meta of its checkpoints has ``valid_accuracy``, ``epoch`` and ``is_ranked``
        (False ranks an early epoch below all later candidates).
    """
    return sorted(
        checkpointer.list_checkpoints(),
        key=lambda c: (
            c.meta.get("is_ranked", True),
            c.meta["valid_accuracy"] or 0.0,
            c.meta["epoch"],
        ),
        reverse=True,
    )[:k]


def keep_best_and_newest(checkpointer: Checkpointer, k: int) -> None:
    """Delete all checkpoints except the k best and the newest, which resuming needs."""
    kept = best_checkpoints(checkpointer, k)
    newest = max(checkpointer.list_checkpoints(), key=lambda c: c.meta["epoch"])
    kept_paths = {c.path for c in [*kept, newest]}
    for checkpoint in checkpointer.list_checkpoints():
        if checkpoint.path not in kept_paths:
            AtomicCheckpointer._delete_checkpoint(checkpoint)


def load_average(
    checkpointer: Checkpointer, modules: dict[str, torch.nn.Module], k: int
) -> list[Checkpoint]:
    """Load the mean of the k best checkpoints into the modules.

    Averaging the 5 best epochs follows Morais et al. (2022), section 2; ``k = 1``
    is the best epoch alone. Adapters then have k times their rank, so that what they
    add to the encoder is the mean of what those of each epoch add.

    Arguments
    ---------
    modules : dict[str, torch.nn.Module]
        Modules by the name of their recoverable. Weights are loaded strictly.

    Returns
    -------
    list[Checkpoint]
        The averaged checkpoints, the best first.
    """
    best = best_checkpoints(checkpointer, k)
    for name, module in modules.items():
        if isinstance(module, torch.nn.ParameterDict):  # of lora_weights
            state = average_checkpoints(best, name, averager=_average_adapters)
            load_lora(module, state)
        else:
            state = average_checkpoints(best, name, averager=average_states)
            module.load_state_dict(state, strict=True)
    return best


def average_states(states: Iterable[dict[str, torch.Tensor]]) -> dict:
    """Average state dicts; integers are taken from the first.

    SpeechBrain's averager turns counters into fractions and sums in the dtype of
    the weights; here sums are in float64.

    Arguments
    ---------
    states : Iterable[dict[str, torch.Tensor]]
        State dicts with the same keys, one at a time in memory.

    Returns
    -------
    dict[str, torch.Tensor]
        The mean, in the dtypes of the first.

    Example
    -------
    >>> mean = average_states([{"w": torch.tensor(1.0), "n": torch.tensor(3)},
    ...                        {"w": torch.tensor(2.0), "n": torch.tensor(4)}])
    >>> mean["w"], mean["n"]
    (tensor(1.5000), tensor(3))
    """
    states = iter(states)
    first = next(states)
    sums = {k: v.double() for k, v in first.items() if v.is_floating_point()}
    n_states = 1
    for state in states:
        n_states += 1
        for key in sums:
            sums[key] += state[key].double()
    means = {key: (total / n_states).to(first[key]) for key, total in sums.items()}
    return {key: means.get(key, value) for key, value in first.items()}


def _average_adapters(states: Iterable[dict[str, torch.Tensor]]) -> dict:
    states = list(states)  # megabytes
    return average_lora(states, average_states(states))


def saved_modules(modules: Mapping) -> dict[str, torch.nn.Module]:
    """Return the modules that have weights to save, or only their adapters."""
    saved = {
        name: module if (adapters := lora_weights(module)) is None else adapters
        for name, module in modules.items()
    }
    return {name: module for name, module in saved.items() if module.state_dict()}
