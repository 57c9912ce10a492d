"""Run the service in a thread, with the stub model or one that waits."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from stub_recognizer import StubRecognizer

from ser_lib.serve.app import make_app
from ser_lib.serve.limits import Limits
from ser_lib.serve.server import configured
from ser_lib.utils.ports import listening_socket


class WaitingRecognizer(StubRecognizer):
    """Answers when ``may_answer`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = threading.Event()
        self.may_answer.set()

    def answer_batch(self, wavs, wav_lens=None, names=None):
        assert self.may_answer.wait(60)
        return super().answer_batch(wavs, wav_lens, names)


class Service:
    """A running service."""

    def __init__(self, port: int, recognizer: WaitingRecognizer) -> None:
        self.port, self.recognizer = port, recognizer
        self.url = f"http://127.0.0.1:{port}"
        self.stream_url = f"ws://127.0.0.1:{port}/stream"
        self.client = httpx.Client(base_url=self.url, timeout=30)

    def post(self, **files: tuple[str, bytes]) -> httpx.Response:
        return self.client.post("/classify", files=list(files.items()))

    def n_busy(self) -> int:
        return self.client.get("/health").json()["n_busy"]

    def wait_for_busy(self, n: int) -> None:
        """Wait until so many places are taken."""
        end_s = time.monotonic() + 20
        while (found := self.n_busy()) != n:
            assert time.monotonic() < end_s, f"{found} busy, expected {n}"
            time.sleep(0.01)


@contextmanager
def running_service(unknown_below=None, **limits) -> Iterator[Service]:
    """Run a service within the block."""
    recognizer, limits = WaitingRecognizer(), Limits(**limits)
    app = make_app(recognizer, "folder/stub", limits, unknown_below)
    with listening_socket("127.0.0.1", 0) as listening:
        server = uvicorn.Server(configured(app, limits))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        service = Service(listening.getsockname()[1], recognizer)
        try:
            yield service
        finally:
            recognizer.may_answer.set()
            service.client.close()
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()
