"""The devices that a model can run on here."""

import torch


def check_device(name: str) -> None:
    """Refuse a device that PyTorch does not know or this machine does not have.

    Arguments
    ---------
    name : str
        Such as ``cpu``, ``cuda`` or ``cuda:1``.

    Raises
    ------
    ValueError
        If it cannot be used.

    Example
    -------
    >>> check_device("cpu")
    >>> check_device("gpu")
    Traceback (most recent call last):
    ValueError: --device 'gpu' cannot be used here; expected cpu.
    """
    here = ["cpu"]
    if torch.accelerator.is_available():
        kind = torch.accelerator.current_accelerator().type
        here += [
            kind,
            *(f"{kind}:{i}" for i in range(torch.accelerator.device_count())),
        ]
    if name not in here:
        raise ValueError(
            f"--device {name!r} cannot be used here; expected {' or '.join(here)}."
        )
