"""A list of the SHA-256 of all files in a folder, in the format of ``sha256sum``.

``sha256sum -c checksums.sha256`` checks the files, too.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from ser_lib.utils.digests import digest
from ser_lib.utils.files import atomic_path, named_in_errors

CHECKSUMS_FILE = "checksums.sha256"
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_MAX_BYTES = 10_000_000


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with named_in_errors(path), open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def write_checksums(folder: Path) -> dict[str, str]:
    """Write the list of all files in a folder and below it.

    Returns
    -------
    dict[str, str]
        Path relative to the folder, with forward slashes -> SHA-256, sorted.
    """
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
    sums = {name: sha256(folder / name) for name in sorted(names)}
    with atomic_path(folder / CHECKSUMS_FILE) as unfinished:
        lines = [f"{found}  {name}\n" for name, found in sums.items()]
        unfinished.write_text("".join(lines), encoding="utf-8")
    return sums


def read_checksums(folder: str | Path) -> dict[str, str]:
    """Read the list; every path in it is below the folder.

    Raises
    ------
    FileNotFoundError
        If the folder has no list.
    ValueError
        If a line is not a checksum and a path, a path leads out of the folder, or it
        is there twice.
    """
    path = Path(folder) / CHECKSUMS_FILE
    if path.is_symlink() or not path.is_file():
        raise FileNotFoundError(
            f"{folder} has no {CHECKSUMS_FILE}: expected a folder that "
            f"python -m ser_lib.publish wrote."
        )
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"{path} is damaged: it has more than {_MAX_BYTES} bytes.")
    sums: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is damaged: it is not text in UTF-8.") from error
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line)
        if match is None or not is_below(match[2]) or match[2] in sums:
            raise ValueError(
                f"{path} is damaged: line {number} is {line[:100]!r}; expected a "
                f"SHA-256, two spaces and a path below the folder, each path once."
            )
        sums[match[2]] = match[1]
    return sums


def is_below(name: str) -> bool:
    r"""Return whether a relative path, as text, stays below its folder.

    Example
    -------
    >>> [is_below(name) for name in ("a/b.csv", "../b", "/etc/b", "a\\b", "a//b")]
    [True, False, False, False, False]
    """
    path = PurePosixPath(name)
    return (
        name == path.as_posix()
        and name != "."
        and name.isprintable()
        and "\\" not in name
        and not path.is_absolute()
        and ".." not in path.parts
    )


def pack_id(sums: Mapping[str, str]) -> str:
    """Return a short name of the content below subfolders; the card is not in it.

    Arguments
    ---------
    sums : Mapping[str, str]
        From :func:`read_checksums`.
    """
    return digest({name: found for name, found in sums.items() if "/" in name})
