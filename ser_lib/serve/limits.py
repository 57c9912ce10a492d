"""What the service accepts, and how much at the same time."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import torch


@dataclass(frozen=True)
class Limits:
    """Limits of the service.

    Arguments
    ---------
    max_upload_mb : float
        Size of a request in megabytes (1,000,000 bytes).
    max_files : int
        Recordings in a request.
    max_duration_s : float
        Length of a recording.
    max_stream_s : float
        Length of a stream, of its audio and by the clock.
    max_concurrency : int
        Requests and streams at the same time.
    timeout_s : float
        Time for sending a request, and again for answering it.
    idle_s : float
        Time in which a client sends or takes nothing.
    """

    max_upload_mb: float = 50.0
    max_files: int = 64
    max_duration_s: float = 300.0
    max_stream_s: float = 3600.0
    max_concurrency: int = 8
    timeout_s: float = 60.0
    idle_s: float = 10.0


class Slots:
    """Gives each request or stream a thread for the model, or none.

    Arguments
    ---------
    n_slots : int
        How many there are. They share PyTorch's threads.
    """

    def __init__(self, n_slots: int) -> None:
        self.n_slots = n_slots
        self.n_busy = 0
        self._lock = threading.Lock()
        share = max(torch.get_num_threads() // n_slots, 1)
        self._threads = ThreadPoolExecutor(
            n_slots, "model", torch.set_num_threads, (share,)
        )

    def take(self) -> "Slot | None":
        """Return a slot to use in a ``with`` block, or None if all are busy."""
        with self._lock:
            if self.n_busy == self.n_slots:
                return None
            self.n_busy += 1
        return Slot(self._threads, self._give_back)

    def _give_back(self, _future: Future | None = None) -> None:
        with self._lock:
            self.n_busy -= 1


class Slot:
    """The place of one request; see :class:`Slots`.

    It is free again at the end of its block, or when its thread, which nothing can
    stop, ends after that.
    """

    def __init__(
        self, threads: ThreadPoolExecutor, give_back: Callable[[Future | None], None]
    ) -> None:
        self._threads, self._give_back = threads, give_back
        self._future: Future | None = None

    def start(self, work: Callable, *arguments: object) -> Future:
        """Call a function in the thread of this slot, once."""
        self._future = self._threads.submit(work, *arguments)
        return self._future

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._future is None:
            self._give_back(None)
        else:
            self._future.add_done_callback(self._give_back)
