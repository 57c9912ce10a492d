"""Files that are either whole or not there.

A run can be killed at any moment. Everything a later run trusts is therefore
written under a temporary name in the same folder and renamed when complete.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
    finally:
        unfinished.unlink(missing_ok=True)
