"""Files that are either whole or not there, and work that one run does at a time.

A run can be killed at any moment. Everything a later run trusts is therefore
written under a temporary name in the same folder and renamed when complete.
"""

import errno
import logging
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

UNFINISHED = ".unfinished."  # what the temporary names begin with
_FULL_DISK_CODES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# How torch and safetensors, which give no errno, tell that a file was not written.
_FULL_DISK_TEXTS = (
    "No space left on device",
    "PytorchStreamWriter failed writing",
    "iostream error",
    "unexpected pos",
)
_LONGEST_SUFFIX = 16

logger = logging.getLogger(__name__)


@contextmanager
def named_in_errors(path: str | Path) -> Iterator[None]:
    """Name a file in an error of the system that does not, such as of a bad disk.

    Arguments
    ---------
    path : str | Path
        The file that is read in the block.

    Raises
    ------
    OSError
        The same, with the name.
    """
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    r"""Give a temporary path; rename it to ``path`` when the block succeeds.

    Only a regular file is replaced, and keeps its permissions. If ``path`` is a link,
    its target is written. A device or FIFO gets the content when the block succeeds.

    Arguments
    ---------
    path : str | Path
        Where the finished file is to stand; missing folders are made.

    Yields
    ------
    Path
        A path with the same suffix, to write to.

    Raises
    ------
    OSError
        If ``path`` is a folder or cannot be written, before the block is run; if the
        disk is full. What was there before is whole.

    Example
    -------
    >>> folder = Path(getfixture("tmp_path"))
    >>> with atomic_path(folder / "out" / "table.csv") as unfinished:
    ...     _ = unfinished.write_text("id,label\n")
    >>> (folder / "out" / "table.csv").read_text()
    'id,label\n'
    """
    path = Path(path)
    make_folder(path.parent)
    with _copied(path) if is_special(path) else _renamed(path) as unfinished:
        yield unfinished


def make_folder(folder: Path) -> None:
    """Make a folder and those that it is in, where they are missing.

    Arguments
    ---------
    folder : Path
        The folder.

    Raises
    ------
    NotADirectoryError
        If it is a file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        found = error.filename or str(folder)
        raise NotADirectoryError(errno.ENOTDIR, "Not a folder", found) from error


def is_special(path: Path) -> bool:
    """Tell whether a path leads to what can be written but not replaced.

    Arguments
    ---------
    path : Path
        Links are followed.

    Returns
    -------
    bool
        True for a device, FIFO or socket.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def open_special(path: Path) -> BinaryIO:
    """Open a terminal, the null device, a pipe or a FIFO for writing.

    Arguments
    ---------
    path : Path
        The device.

    Returns
    -------
    BinaryIO
        Open for writing.

    Raises
    ------
    OSError
        If it is a disk or a socket, or a FIFO that no program reads.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISCHR(mode) and not stat.S_ISFIFO(mode):
        kind = "socket" if stat.S_ISSOCK(mode) else "disk"
        raise OSError(f"{path} is a {kind}. Give the name of a file.")
    try:
        # Without O_NONBLOCK, opening a FIFO waits for a reader, perhaps for ever.
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        if error.errno == errno.ENXIO and stat.S_ISFIFO(mode):
            raise OSError(
                f"{path} is a FIFO that no program reads. Start the reader first."
            ) from error
        raise
    os.set_blocking(descriptor, True)
    return open(descriptor, "wb")


@contextmanager
def naming(path: Path, unfinished: Path | None = None) -> Iterator[None]:
    """Name a file in the error of a full disk, which names none.

    Arguments
    ---------
    path : Path
        The file that is written in the block.
    unfinished : Path | None
        Another name of it, which the user need not know.

    Raises
    ------
    OSError
        As raised in the block; with ``path``, where it is about the file.
    """
    try:
        yield
    except OSError as error:
        is_named = unfinished is not None and error.filename == str(unfinished)
        if is_named or (error.errno in _FULL_DISK_CODES and error.filename is None):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def is_full_disk(error: BaseException) -> bool:
    """Tell whether a file could not be written because its disk, or a quota, is full.

    Arguments
    ---------
    error : BaseException
        What came of writing it.

    Returns
    -------
    bool
        Whether it is so.

    Example
    -------
    >>> is_full_disk(OSError(errno.ENOSPC, "No space left on device"))
    True
    """
    if getattr(error, "errno", None) in _FULL_DISK_CODES:
        return True
    return any(text in str(error) for text in _FULL_DISK_TEXTS)


@contextmanager
def one_at_a_time(lock_file: Path, what: Path) -> Iterator[None]:
    """Let one process at a time into the block; the others wait, and say so.

    Arguments
    ---------
    lock_file : Path
        A file for the lock; it stays.
    what : Path
        What the message names.
    """
    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=1)
    except Timeout:
        logger.warning("Another run is at work in %s: waiting for it.", what)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _renamed(path: Path) -> Iterator[Path]:
    """Give a name beside the file that ``path`` leads to; put it in its place."""
    target = Path(os.path.realpath(path))
    suffix = path.suffix if len(os.fsencode(path.suffix)) <= _LONGEST_SUFFIX else ""
    name = f"{UNFINISHED}{os.getpid()}.{secrets.token_hex(4)}{suffix}"
    unfinished = target.with_name(name)
    try:
        with naming(path, unfinished):
            _take_place(target, unfinished, path)
            yield unfinished
            os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def _take_place(target: Path, unfinished: Path, path: Path) -> None:
    """Make the temporary file, with the permissions of the one it will replace."""
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "Is a folder, not a file", str(path))
    is_there = target.exists()
    if is_there and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    unfinished.touch(exist_ok=False)
    if is_there:
        shutil.copymode(target, unfinished)


@contextmanager
def _copied(path: Path) -> Iterator[Path]:
    """Give a path in a folder of its own; copy what is written there to a device."""
    with naming(path), open_special(path) as device:
        with tempfile.TemporaryDirectory() as folder:
            unfinished = Path(folder) / f"content{path.suffix}"
            yield unfinished
            with open(unfinished, "rb") as content:
                shutil.copyfileobj(content, device)
