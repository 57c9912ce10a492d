"""Downloads and archives: cut, wrong, hostile and repeated ones."""

import hashlib
import shutil
import socket
import stat
import zipfile
from collections import namedtuple

import pytest
from web_server import running_web_server

from ser_lib.utils import download as download_module
from ser_lib.utils.disk import check_disk_space
from ser_lib.utils.download import download, unpack_zip

CONTENT = bytes(range(256)) * 4096  # 1 MiB, so several chunks
MD5 = hashlib.md5(CONTENT).hexdigest()
OTHER_CONTENT = CONTENT[::-1]


@pytest.fixture
def server():
    with running_web_server() as server:
        server.content = CONTENT
        yield server


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "corpus.zip"


def _fetch(server, path):
    download(server.url, path, size_bytes=len(CONTENT), md5=MD5)


def _part(path):
    return path.with_name("corpus.zip.part")


def _fetch_cut(server, path, after_bytes):
    """A download of which only the first bytes arrive."""
    server.cut_after_bytes = after_bytes
    with pytest.raises(ConnectionError, match="closed before the end"):
        _fetch(server, path)
    server.cut_after_bytes = None


def test_a_file_arrives_whole_and_nothing_else_stays(server, path):
    _fetch(server, path)
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


def test_a_finished_file_is_not_downloaded_again(server, path):
    _fetch(server, path)
    _fetch(server, path)
    assert server.ranges == [None]


def test_a_cut_download_says_so_and_keeps_what_has_arrived(server, path):
    server.cut_after_bytes = 300_000
    with pytest.raises(ConnectionError, match="300,000 of 1,048,576 bytes") as error:
        _fetch(server, path)
    assert server.url in str(error.value)
    assert f"save it as {path}" in str(error.value)
    assert not path.exists()
    assert _part(path).read_bytes() == CONTENT[:300_000]


def test_a_cut_download_goes_on_where_it_stopped(server, path):
    _fetch_cut(server, path, after_bytes=300_000)
    _fetch_cut(server, path, after_bytes=400_000)
    _fetch(server, path)
    assert server.ranges == [None, "bytes=300000-", "bytes=700000-"]
    assert path.read_bytes() == CONTENT


def test_a_server_that_ignores_range_makes_a_fresh_start(server, path):
    _fetch_cut(server, path, after_bytes=300_000)
    server.honours_range = False
    _fetch(server, path)
    assert server.ranges == [None, "bytes=300000-"]
    assert path.read_bytes() == CONTENT


def test_a_server_that_refuses_the_range_is_asked_for_the_whole_file(server, path):
    _fetch_cut(server, path, after_bytes=300_000)
    server.content = CONTENT[:300_000]  # nothing left to send: status 416
    with pytest.raises(ValueError, match="found 300,000 bytes"):
        _fetch(server, path)
    assert server.ranges == [None, "bytes=300000-", None]


def test_a_run_killed_before_the_check_does_not_download_again(server, path):
    path.parent.mkdir()
    _part(path).write_bytes(CONTENT)
    _fetch(server, path)
    assert server.ranges == []
    assert path.read_bytes() == CONTENT


def test_a_wrong_md5_is_reported_and_the_file_removed(server, path):
    server.content = OTHER_CONTENT
    with pytest.raises(ValueError, match=f"expected MD5 {MD5}, found MD5") as error:
        _fetch(server, path)
    assert server.url in str(error.value)
    assert hashlib.md5(OTHER_CONTENT).hexdigest() in str(error.value)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("content", [CONTENT[:-1], b"<html>moved</html>"])
def test_a_file_that_is_too_short_is_reported_and_removed(server, path, content):
    server.content = content
    expected = f"expected 1,048,576 bytes, found {len(content):,} bytes"
    with pytest.raises(ValueError, match=expected):
        _fetch(server, path)
    assert list(path.parent.iterdir()) == []


def test_a_file_that_is_too_long_is_not_read_to_its_end(server, path):
    server.content = CONTENT * 8
    with pytest.raises(ValueError, match="expected 1,048,576 bytes, found 1,310,720"):
        _fetch(server, path)  # one chunk of 2**18 bytes too many
    assert list(path.parent.iterdir()) == []


def test_a_wrong_file_of_the_user_is_reported_and_left_alone(server, path):
    path.parent.mkdir()
    path.write_bytes(OTHER_CONTENT)
    with pytest.raises(ValueError, match="is not the file published at .* Delete it"):
        _fetch(server, path)
    assert path.read_bytes() == OTHER_CONTENT
    assert server.ranges == []


def test_a_refusal_of_the_server_says_what_to_do(server, path):
    server.error_status = 404
    with pytest.raises(ConnectionError, match="404") as error:
        _fetch(server, path)
    assert f"manually from {server.url} , save it as {path}" in str(error.value)


def test_nobody_listening_is_one_clear_error(path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/a.zip"
        with pytest.raises(ConnectionError, match=f"Could not download {url}"):
            download(url, path, size_bytes=1, md5=MD5)


def test_a_server_that_never_answers_is_given_up(path, monkeypatch):
    monkeypatch.setattr(download_module, "TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.zip"
        with pytest.raises(ConnectionError, match="timed out"):
            download(url, path, size_bytes=1, md5=MD5)


@pytest.mark.parametrize("url", ["ftp://localhost/a.zip", "a.zip", "data:,a"])
def test_other_schemes_are_refused(url, path):
    with pytest.raises(ValueError, match="not http, https or file"):
        download(url, path, size_bytes=1, md5=MD5)


def test_progress_goes_to_a_terminal_in_ascii(server, path, capsys, monkeypatch):
    monkeypatch.setattr("ser_lib.utils.progress.on_terminal", lambda: True)
    _fetch(server, path)
    output = capsys.readouterr()
    assert output.out == ""
    assert "corpus.zip: 100 %" in output.err
    assert output.err.isascii()


@pytest.fixture
def a_full_disk(monkeypatch):
    usage = namedtuple("usage", "total used free")(10**6, 9 * 10**5, 10**5)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)


@pytest.mark.usefixtures("a_full_disk")
def test_a_full_disk_is_noticed_before_the_download(server, path):
    with pytest.raises(OSError, match=r"needs 1\.0 MB .* 0\.1 MB is free"):
        _fetch(server, path)
    assert server.ranges == []


@pytest.mark.usefixtures("a_full_disk")
def test_space_is_checked_on_the_disk_of_a_folder_that_does_not_exist_yet(tmp_path):
    folder = tmp_path / "not" / "yet"
    check_disk_space(folder, 10**5, "It")
    with pytest.raises(OSError, match=f"needs 0.1 MB in {folder}.* 0.1 MB is free"):
        check_disk_space(folder, 10**5 + 1, "It")


def _zip(tmp_path, members):
    archive = tmp_path / "corpus.zip"
    with zipfile.ZipFile(archive, "w") as f:
        for name, content in members.items():
            f.writestr(name, content)
    return archive


def _files(folder):
    return {
        str(p.relative_to(folder)): p.read_text()
        for p in folder.rglob("*")
        if p.is_file()
    }


TWO_MEMBERS = {"Actor_01/a.txt": "a", "Actor_02/b.txt": "b"}


@pytest.mark.parametrize("folder_exists", [False, True])
def test_a_zip_is_unpacked_into_a_new_or_empty_folder(
    tmp_path, folder_exists, capsys, monkeypatch
):
    monkeypatch.setattr("ser_lib.utils.progress.on_terminal", lambda: True)
    archive = _zip(tmp_path, TWO_MEMBERS)
    folder = tmp_path / "corpus"
    if folder_exists:
        folder.mkdir()
    unpack_zip(archive, folder)
    assert _files(folder) == TWO_MEMBERS
    assert sorted(p.name for p in tmp_path.iterdir()) == ["corpus", "corpus.zip"]
    assert "unpacking: 100 %" in capsys.readouterr().err


def test_a_zip_is_not_unpacked_over_other_files(tmp_path):
    archive = _zip(tmp_path, TWO_MEMBERS)
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=f"{folder}: it is not empty"):
        unpack_zip(archive, folder)
    assert _files(folder) == {"notes.txt": "mine"}


def test_a_killed_unpack_is_never_taken_for_a_finished_one(tmp_path, monkeypatch):
    archive = _zip(tmp_path, TWO_MEMBERS)
    folder = tmp_path / "corpus"
    extract = zipfile.ZipFile.extract

    def extract_one_and_die(self, member, target):
        if member.filename == "Actor_02/b.txt":
            raise KeyboardInterrupt
        extract(self, member, target)

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "extract", extract_one_and_die)
        with pytest.raises(KeyboardInterrupt):
            unpack_zip(archive, folder)
    assert not folder.exists()
    unpack_zip(archive, folder)
    assert _files(folder) == TWO_MEMBERS
    assert sorted(p.name for p in tmp_path.iterdir()) == ["corpus", "corpus.zip"]


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/evil", "..\\evil", "C:\\evil", "C:evil"]
)
def test_a_member_that_leads_out_of_the_folder_is_named(tmp_path, name):
    inner = tmp_path / "inner"
    inner.mkdir()
    archive = _zip(inner, {"Actor_01/a.txt": "a", name: "evil"})
    with pytest.raises(ValueError, match="leads out of the folder") as error:
        unpack_zip(archive, inner / "corpus")
    assert repr(name) in str(error.value)
    assert [p.name for p in tmp_path.rglob("*")] == ["inner", "corpus.zip"]


def test_a_symbolic_link_is_named(tmp_path):
    link = zipfile.ZipInfo("Actor_01/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "corpus.zip", "w") as f:
        f.writestr(link, "/etc")
    with pytest.raises(ValueError, match="'Actor_01/link' is a symbolic link"):
        unpack_zip(tmp_path / "corpus.zip", tmp_path / "corpus")
    assert [p.name for p in tmp_path.iterdir()] == ["corpus.zip"]


@pytest.mark.usefixtures("a_full_disk")
def test_a_full_disk_is_noticed_before_unpacking(tmp_path):
    archive = _zip(tmp_path, {"a.bin": b"0" * 200_000})
    with pytest.raises(OSError, match=r"needs 0\.2 MB .* 0\.1 MB is free"):
        unpack_zip(archive, tmp_path / "corpus")
    assert [p.name for p in tmp_path.iterdir()] == ["corpus.zip"]


def test_a_damaged_zip_is_named(tmp_path):
    archive = _zip(tmp_path, {"a.txt": "hello"})
    archive.write_bytes(archive.read_bytes().replace(b"hello", b"hellO"))
    with pytest.raises(ValueError, match=f"{archive} is damaged .*CRC"):
        unpack_zip(archive, tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


def test_a_cut_zip_is_named(tmp_path):
    archive = _zip(tmp_path, TWO_MEMBERS)
    archive.write_bytes(archive.read_bytes()[:-10])
    with pytest.raises(ValueError, match=f"{archive} is damaged or not a zip file"):
        unpack_zip(archive, tmp_path / "corpus")
