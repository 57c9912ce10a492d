"""Files that are either whole or not there.

A run can be killed at any moment. Everything a later run trusts is therefore
written under a temporary name in the same folder and renamed when complete.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# How torch and safetensors, which give no errno, tell that a file was not written.
_FULL_DISK_TEXTS = (
    "No space left on device",
    "PytorchStreamWriter failed writing",
    "iostream error",
    "unexpected pos",
)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    r"""Give a temporary path; rename it to ``path`` when the block succeeds.

    Arguments
    ---------
    path : str | Path
        Where the finished file is to stand; missing folders are made.

    Yields
    ------
    Path
        A path in the same folder, with the same suffix, to write to.

    Example
    -------
    >>> folder = Path(getfixture("tmp_path"))
    >>> with atomic_path(folder / "out" / "table.csv") as unfinished:
    ...     _ = unfinished.write_text("id,label\n")
    >>> (folder / "out" / "table.csv").read_text()
    'id,label\n'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{os.getpid()}.unfinished.{path.name}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    except OSError as error:  # a full disk tells no name
        error.filename = error.filename or str(path)
        raise
    finally:
        unfinished.unlink(missing_ok=True)


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
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(text in str(error) for text in _FULL_DISK_TEXTS)
