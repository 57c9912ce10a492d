"""Run an application until it is told to stop."""

import logging
import math
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from ser_lib.serve.limits import Limits
from ser_lib.utils.ports import address

# Of a block of a stream
_MAX_MESSAGE_BYTES = 4_000_000
_MAX_WAITING = 1024
_STOPS = (signal.SIGINT, signal.SIGTERM)


def run_until_stopped(app: FastAPI, listening: socket.socket, limits: Limits) -> None:
    """Serve until Ctrl-C or SIGTERM, then finish what runs.

    Arguments
    ---------
    app : FastAPI
        The application.
    listening : socket.socket
        From ``ports.listening_socket``.
    limits : Limits
        What runs may take its ``timeout_s``.
    """
    # It is the client that is told what is wrong with a form.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    print(f"{address(listening)} says how to call it. Ctrl-C stops it.", flush=True)
    with _signals_ignored():
        uvicorn.Server(configured(app, limits)).run(sockets=[listening])
    print("Stopped.", flush=True)


def configured(app: FastAPI, limits: Limits) -> uvicorn.Config:
    """Return how uvicorn runs an application."""
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        http="h11",
        ws="websockets-sansio",
        ws_max_size=_MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # a small message could unpack to gigabytes
        backlog=_MAX_WAITING,
        timeout_graceful_shutdown=math.ceil(2 * limits.timeout_s),
    )


@contextmanager
def _signals_ignored() -> Iterator[None]:
    """Let a signal end the block, but not the process.

    uvicorn handles them, and sends those that it got to the handlers of before.
    """
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
