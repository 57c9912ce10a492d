"""Atomic writing of files, and locks for work that one run does at a time.

A run can be killed at any moment. Every file that a later run trusts is therefore
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

UNFINISHED = ".unfinished."  # prefix of temporary names
_FULL_DISK_CODES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Messages of torch and safetensors, which set no errno.
_FULL_DISK_TEXTS = (
    "No space left on device",
    "PytorchStreamWriter failed writing",
    "iostream error",
    "unexpected pos",
)
_MAX_SUFFIX_BYTES = 16

logger = logging.getLogger(__name__)


@contextmanager
def named_in_errors(path: str | Path) -> Iterator[None]:
    """Add the file that is read in the block to system errors that name none."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    r"""Yield a temporary path; rename it to ``path`` when the block succeeds.

    Only a regular file is replaced, and it keeps its permissions. If ``path`` is a
    link, its target is written. A device or FIFO receives the content when the block
    succeeds.

    Arguments
    ---------
    path : str | Path
        The final path; missing folders are created.

    Yields
    ------
    Path
        A path with the same suffix, to write to.

    Raises
    ------
    OSError
        If ``path`` is a folder or cannot be written (before the block runs), or if the
        disk is full. An existing file is left unchanged.

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
    """Create a folder and its parents.

    Raises
    ------
    NotADirectoryError
        If the folder or a parent is a file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        found = error.filename or str(folder)
        raise NotADirectoryError(errno.ENOTDIR, "Not a folder", found) from error


def is_special(path: Path) -> bool:
    """Return whether a path, with links followed, is a device, FIFO or socket."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def open_special(path: Path) -> BinaryIO:
    """Open a terminal, the null device, a pipe or a FIFO for writing.

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
        # Without O_NONBLOCK, opening a FIFO waits for a reader, possibly for ever.
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
    """Add the name of the file written in the block to system errors that need it.

    Arguments
    ---------
    path : Path
        The name to report.
    unfinished : Path | None
        Temporary name of the same file, which ``path`` replaces in the error.

    Raises
    ------
    OSError
        The error of the block, with ``path`` if it is about this file.
    """
    try:
        yield
    except OSError as error:
        is_named = unfinished is not None and error.filename == str(unfinished)
        if is_named or (error.errno in _FULL_DISK_CODES and error.filename is None):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def is_full_disk(error: BaseException) -> bool:
    """Return whether writing failed because the disk, or a quota, is full.

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
    """Let one process at a time into the block; the others wait and say so.

    Arguments
    ---------
    lock_file : Path
        The file to lock; it is not deleted.
    what : Path
        What the log message names.
    """
    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=1)
    except Timeout:
        logger.warning("Another run is working in %s: waiting for it.", what)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _renamed(path: Path) -> Iterator[Path]:
    """Yield a temporary name next to the file that ``path`` leads to; rename it."""
    target = Path(os.path.realpath(path))
    suffix = path.suffix if len(os.fsencode(path.suffix)) <= _MAX_SUFFIX_BYTES else ""
    name = f"{UNFINISHED}{os.getpid()}.{secrets.token_hex(4)}{suffix}"
    unfinished = target.with_name(name)
    try:
        with naming(path, unfinished):
            _create_like(target, unfinished, path)
            yield unfinished
            os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def _create_like(target: Path, unfinished: Path, path: Path) -> None:
    """Create the temporary file with the permissions of the file to replace."""
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "Is a folder, not a file", str(path))
    exists = target.exists()
    if exists and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    unfinished.touch(exist_ok=False)
    if exists:
        shutil.copymode(target, unfinished)


@contextmanager
def _copied(path: Path) -> Iterator[Path]:
    """Yield a path in a temporary folder; copy the file written there to a device."""
    with naming(path), open_special(path) as device:
        with tempfile.TemporaryDirectory() as folder:
            unfinished = Path(folder) / f"content{path.suffix}"
            yield unfinished
            with open(unfinished, "rb") as content:
                shutil.copyfileobj(content, device)
