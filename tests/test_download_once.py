"""An archive is fetched and unpacked once, whoever asks and whatever happens."""

import hashlib
import io
import threading
import zipfile
from contextlib import suppress

import pytest
from web_server import running_web_server

from ser_lib.utils import download as download_module
from ser_lib.utils.download import download, download_and_unpack


@pytest.fixture
def server():
    with running_web_server() as server:
        yield server


def _publish_zip(server, tmp_path):
    """Let the server publish an archive; return what fetches it."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as f:
        f.writestr("Actor_01/a.txt", "hello")
    server.content = content.getvalue()
    md5 = hashlib.md5(server.content).hexdigest()
    archive, folder = tmp_path / "DATA" / "corpus.zip", tmp_path / "DATA" / "corpus"
    return lambda: download_and_unpack(
        server.url, archive, folder, len(server.content), md5
    )


def test_an_archive_is_downloaded_and_unpacked_once(server, tmp_path):
    fetch = _publish_zip(server, tmp_path)
    fetch()
    (tmp_path / "DATA" / "corpus.zip").unlink()  # the user may delete it
    fetch()
    assert server.ranges == [None]
    assert (tmp_path / "DATA/corpus/Actor_01/a.txt").read_text() == "hello"


def test_two_runs_that_start_together_download_once(server, tmp_path, monkeypatch):
    fetch = _publish_zip(server, tmp_path)
    both_in_it = threading.Barrier(2)
    calls = []

    def slow_download(*arguments):
        calls.append(arguments)
        with suppress(threading.BrokenBarrierError):
            both_in_it.wait(timeout=0.5)  # the other run has time to get here, too
        download(*arguments)

    monkeypatch.setattr(download_module, "download", slow_download)
    runs = [threading.Thread(target=fetch) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert len(calls) == 1
    assert server.ranges == [None]
    assert (tmp_path / "DATA/corpus/Actor_01/a.txt").read_text() == "hello"


def test_an_archive_whose_unpacking_was_killed_is_not_downloaded_again(
    server, tmp_path, monkeypatch
):
    fetch = _publish_zip(server, tmp_path)

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(download_module, "unpack_zip", killed)
        with pytest.raises(KeyboardInterrupt):
            fetch()
    fetch()
    assert server.ranges == [None]
    assert (tmp_path / "DATA/corpus/Actor_01/a.txt").read_text() == "hello"
