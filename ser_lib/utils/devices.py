"""Devices that a model can run on."""

import torch


def check_device(name: str) -> None:
    """Refuse a device that PyTorch does not know or that this machine does not have.

    Arguments
    ---------
    name : str
        Such as ``cpu``, ``cuda`` or ``cuda:1``.

    Raises
    ------
    ValueError
        If the device cannot be used; the message lists those that can.

    Example
    -------
    >>> check_device("cpu")
    >>> check_device("gpu")
    Traceback (most recent call last):
    ValueError: --device 'gpu' cannot be used here; expected cpu.
    """
    devices = ["cpu"]
    if torch.accelerator.is_available():
        kind = torch.accelerator.current_accelerator().type
        n_devices = torch.accelerator.device_count()
        devices += [kind, *(f"{kind}:{i}" for i in range(n_devices))]
    if name not in devices:
        raise ValueError(
            f"--device {name!r} cannot be used here; expected {' or '.join(devices)}."
        )
