"""A local web server that can misbehave as the tests need."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class WebServer(ThreadingHTTPServer):
    """Serves ``content`` at every address and records the Range headers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = b""
        self.honours_range = True
        self.error_status = None  # answer with this HTTP status instead
        self.cut_after_bytes = None  # close the connection after this many bytes
        self.ranges = []  # one entry per request; None without a header

    @property
    def url(self) -> str:
        """The address of the content."""
        return f"http://127.0.0.1:{self.server_port}/files/corpus.zip?download=1"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        requested = self.headers["Range"]
        self.server.ranges.append(requested)
        content = self.server.content
        if self.server.error_status:
            self.send_error(self.server.error_status)
            return
        if requested and self.server.honours_range:
            start = int(requested.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            content = content[start:]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: self.server.cut_after_bytes])

    def log_message(self, *args) -> None:
        """Keep the tests' output clean."""


@contextmanager
def running_web_server() -> Iterator[WebServer]:
    """Run a server within the block."""
    with WebServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
