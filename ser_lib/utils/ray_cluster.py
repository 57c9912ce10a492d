"""Connect to Ray, which runs work on all cores of a machine or on a cluster.

Ray itself is imported only here and by what runs on it (the extra ``ray``).
"""

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from types import ModuleType

from ser_lib.utils.packages import check_installed

LOCAL = "local"
_TIMEOUT_S = 5


@contextlib.contextmanager
def ray_cluster(address: str, **options: object) -> Iterator[ModuleType]:
    """Connect to a cluster, or start Ray on this machine; disconnect at the end.

    Arguments
    ---------
    address : str
        ``local`` for this machine alone; otherwise a running cluster: ``auto``,
        ``HOST:PORT`` of its head, or ``ray://HOST:PORT``.
    **options : object
        Further arguments of ``ray.init``.

    Yields
    ------
    ModuleType
        The module ``ray``.

    Raises
    ------
    ModuleNotFoundError
        If Ray is not installed.
    ConnectionError
        If nothing answers at the address.
    """
    check_installed("--ray", ["ray"], "ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # no warning
    import ray

    if address == LOCAL:
        options = {"include_dashboard": False, "num_cpus": _n_cores()} | options
    else:
        _check_address(address)
    try:
        with _without_standard_error():  # Ray writes how it logs
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                **options,
            )
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConnectionError(_no_cluster(address, reason)) from error
    try:
        yield ray
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _without_standard_error() -> Iterator[None]:
    """Discard what C++ code writes to standard error."""
    kept = os.dup(2)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _n_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def _check_address(address: str) -> None:
    """Raise ConnectionError if nothing listens; Ray itself would try for minutes."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if not host:  # "auto"
        return
    try:
        socket.create_connection((host, int(port)), _TIMEOUT_S).close()
    except (OSError, ValueError) as error:
        raise ConnectionError(_no_cluster(address, str(error))) from error


def _no_cluster(address: str, reason: str) -> str:
    return (
        f"--ray {address}: no Ray cluster answers ({reason}). Start one (ray start "
        f"--head) and give HOST:PORT of its head, or use --ray {LOCAL}."
    )
