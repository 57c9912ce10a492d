"""Files that are replaced only when complete, and what must not be replaced."""

import errno
import os
import resource
import socket
import stat
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from other_user import open_folder, without_rights_of_root

from ser_lib.utils.files import atomic_path


def write(path: Path, text: str = "new") -> None:
    with atomic_path(path) as unfinished:
        unfinished.write_text(text)


@contextmanager
def small_disk(n_bytes: int):
    """Let the system refuse longer files, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ---- links


@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_stays_and_its_target_is_written(tmp_path, is_there):
    target = tmp_path / "real" / "target.csv"
    target.parent.mkdir()
    if is_there:
        target.write_text("old")
    (tmp_path / "second").symlink_to(target)
    (tmp_path / "link.csv").symlink_to("second")
    write(tmp_path / "link.csv")
    assert target.read_text() == "new"
    assert (tmp_path / "link.csv").readlink() == Path("second")
    assert not target.is_symlink() and list(target.parent.iterdir()) == [target]


def test_links_in_a_circle_are_refused_by_name(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="Too many levels of symbolic links: .*/a'"):
        write(tmp_path / "a")
    assert (tmp_path / "a").is_symlink()


# ---- devices


def test_a_device_gets_the_content_and_stays_a_device():
    ours, terminal = os.openpty()
    try:
        path = Path(os.ttyname(terminal))
        write(path, "new\n")
        assert path.is_char_device()
        assert os.read(ours, 100) == b"new\r\n"  # as a terminal ends lines
    finally:
        os.close(terminal)
        os.close(ours)


def test_a_fifo_gets_the_content_and_stays_a_fifo(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    try:
        write(tmp_path / "fifo")
        assert os.read(reader, 100) == b"new"
    finally:
        os.close(reader)
    assert (tmp_path / "fifo").is_fifo()


def test_what_cannot_be_written_is_refused_before_the_work_is_done(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for name, message in (
            ("fifo", "fifo is a FIFO that no program reads"),
            ("folder", "Is a folder, not a file: .*/folder'"),
            ("file/a", "Not a folder: .*/file'"),
            ("socket", "socket is a socket"),
            ("n" * 256, f"File name too long: .*{'n' * 256}'"),
        ):
            with pytest.raises(OSError, match=message):
                with atomic_path(tmp_path / name):
                    pytest.fail("The block was run.")


# ---- names and permissions


def test_the_longest_name_that_a_disk_allows_is_written(tmp_path):
    for name in ("a" * 251 + ".csv", "é" * 127, "a." + "b" * 253):
        write(tmp_path / name)
        assert (tmp_path / name).read_text() == "new"
    assert len(list(tmp_path.iterdir())) == 3


def test_the_temporary_name_has_the_suffix_that_writers_look_at(tmp_path):
    with atomic_path(tmp_path / "picture.png") as unfinished:
        assert unfinished.suffix == ".png"
        unfinished.touch()


def test_permissions_are_those_of_any_new_file_and_stay_what_they_are(tmp_path):
    umask = os.umask(0o027)
    try:
        write(tmp_path / "new")
        (tmp_path / "private").touch(0o600)
        write(tmp_path / "private")
    finally:
        os.umask(umask)
    assert mode_of(tmp_path / "new") == 0o640
    assert mode_of(tmp_path / "private") == 0o600


def test_a_folder_or_file_that_is_write_protected_is_named():
    with open_folder() as folder:
        for name in ("closed/a.csv", "open/b.csv"):
            (folder / name).parent.mkdir()
            (folder / name).write_text("old")
        (folder / "closed").chmod(0o555)
        (folder / "open").chmod(0o777)
        (folder / "open" / "b.csv").chmod(0o444)
        with without_rights_of_root():
            for name in ("closed/a.csv", "closed/c.csv", "open/b.csv"):
                with pytest.raises(PermissionError, match=f"denied: .*/{name}'"):
                    write(folder / name)
        assert (folder / "open" / "b.csv").read_text() == "old"


# ---- what goes wrong on the way


def test_a_full_disk_is_told_with_the_files_name_and_the_old_file_is_whole(tmp_path):
    (tmp_path / "a.csv").write_text("old")
    with pytest.raises(OSError, match=r"File too large: .*/a.csv'") as caught:
        with small_disk(1000):
            write(tmp_path / "a.csv", "x" * 2000)
    assert caught.value.errno == errno.EFBIG
    assert (tmp_path / "a.csv").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_nothing_is_left_of_work_that_fails(tmp_path):
    with pytest.raises(ZeroDivisionError):
        with atomic_path(tmp_path / "a.csv") as unfinished:
            unfinished.write_text(str(1 / 0))
    assert not any(tmp_path.iterdir())


def test_two_writers_of_one_file_do_not_mix(tmp_path):
    path, both = tmp_path / "a.csv", threading.Barrier(2)

    def write_slowly(text: str) -> None:
        with atomic_path(path) as unfinished:
            unfinished.write_text(text)
            both.wait()
            assert unfinished.read_text() == text

    other = threading.Thread(target=write_slowly, args=("b" * 9,))
    other.start()
    write_slowly("a" * 5)
    other.join()
    assert path.read_text() in ("a" * 5, "b" * 9)
    assert list(tmp_path.iterdir()) == [path]
