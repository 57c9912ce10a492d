"""Check free disk space before large files are written."""

import shutil
from pathlib import Path


def free_bytes(folder: str | Path) -> int:
    """Return the free space on the disk of a folder, which need not exist yet."""
    folder = Path(folder).absolute()
    existing = next(f for f in (folder, *folder.parents) if f.exists())
    return shutil.disk_usage(existing).free


def check_disk_space(
    folder: str | Path,
    needed_bytes: int,
    purpose: str,
    advice: str = "choose another folder",
) -> None:
    """Refuse to write what does not fit on the disk.

    Arguments
    ---------
    folder : str | Path
        A folder on that disk; it need not exist yet.
    purpose : str
        What needs the space; the message begins with it.
    advice : str
        What else the user can do, besides freeing space.

    Raises
    ------
    OSError
        If less is free; the message names the needed and the free space.

    Example
    -------
    >>> check_disk_space("a/new/folder", 1, "The table")
    """
    free = free_bytes(folder)
    if needed_bytes > free:
        raise OSError(
            f"{purpose} needs {format_bytes(needed_bytes)} in {folder}, but only "
            f"{format_bytes(free)} is free. Free some space or {advice}."
        )


def format_bytes(n_bytes: int) -> str:
    """Format a size in MB, or in GB from 1 GB on.

    Example
    -------
    >>> format_bytes(10_240_000), format_bytes(1_300_000_000)
    ('10.2 MB', '1.3 GB')
    """
    if n_bytes < 1e9:
        return f"{n_bytes / 1e6:.1f} MB"
    return f"{n_bytes / 1e9:,.1f} GB"
