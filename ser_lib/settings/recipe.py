"""The command line of the recipes: a settings file, settings, SpeechBrain's options."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from speechbrain.utils.distributed import ddp_init_group, get_local_rank
from speechbrain.utils.run_opts import RunOptions

from ser_lib.settings.arguments import read_arguments
from ser_lib.settings.settings import Settings
from ser_lib.settings.shipped import find_settings
from ser_lib.utils.devices import check_device


def run_recipe(
    run: Callable[[Settings, RunOptions], None],
    arguments: Sequence[str],
    description: str,
) -> None:
    """Run the ``train.py`` of a recipe, or print its settings (``--show_hparams``).

    Arguments
    ---------
    run : Callable
        Runs the recipe.
    arguments : Sequence[str]
        A settings file or the name of an experiment, then settings and run options.
    description : str
        Start of the help text.
    """
    hparams_file, run_opts, overrides = read_command_line(arguments, description)
    settings = Settings.from_file(find_settings(hparams_file), overrides)
    if settings["show_hparams"]:
        print(settings.text)
    else:
        run(settings, join_processes(run_opts))


def read_command_line(
    arguments: Sequence[str], description: str
) -> tuple[str, RunOptions, str]:
    """Read a command line and check the device.

    Arguments and results are those of ``arguments.read_arguments``; the help text
    starts with ``description``.

    Raises
    ------
    ValueError
        See ``arguments.read_arguments``; also if the device does not exist here.
    """
    if {"-h", "--help"} & {*arguments}:
        print(f"{description.strip()}\n")
        print("With --debug, errors also show their Python traceback.\n")
    file, run_opts, overrides = read_arguments(arguments)
    if run_opts.device is not None:
        check_device(run_opts.device)
    return file, run_opts, overrides


def join_processes(run_opts: RunOptions) -> RunOptions:
    """Connect the processes that torchrun started; without torchrun, do nothing.

    Returns
    -------
    RunOptions
        The options to go on with. Without a GPU, processes run on the CPU and talk
        through gloo, since NCCL needs GPUs.

    Raises
    ------
    ValueError
        If there are GPUs, but more processes than GPUs.
    """
    local_rank = get_local_rank()
    n_gpus = torch.cuda.device_count()
    is_nccl = run_opts.distributed_backend == "nccl"
    if local_rank is not None and is_nccl and not n_gpus:
        run_opts = replace(run_opts, distributed_backend="gloo", device="cpu")
    elif local_rank is not None and is_nccl and local_rank >= n_gpus:
        raise ValueError(
            f"There is no GPU for process {local_rank} on this machine ({n_gpus} "
            f"found). Start as many processes as there are GPUs, or use "
            f"--distributed_backend gloo to run them on the CPU."
        )
    ddp_init_group(run_opts)
    return run_opts
