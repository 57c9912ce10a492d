"""Open a port for a server."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def listening_socket(host: str, port: int) -> Iterator[socket.socket]:
    """Listen at a port within the block; 0 takes a free one.

    Raises
    ------
    OSError
        If the address is not of this machine, or the port is in use.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise OSError(
            f"Cannot listen at {host}, port {port}: {error}. Choose another --host or "
            f"--port; --port 0 takes a free one."
        ) from error
    with listening:
        yield listening


def address(listening: socket.socket) -> str:
    """Return the address of a listening socket, for a browser on this machine.

    Example
    -------
    >>> with listening_socket("127.0.0.1", 0) as listening:
    ...     address(listening).startswith("http://127.0.0.1:")
    True
    """
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
