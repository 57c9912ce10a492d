"""Files at an address that fsspec reads, such as ``s3://``, ``gs://`` or ``hf://``."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ser_lib.audio import AUDIO_SUFFIXES
from ser_lib.utils.packages import check_installed

Result = TypeVar("Result")
_PROTOCOL = r"[a-zA-Z][a-zA-Z0-9+.-]*"
_ADDRESS = re.compile(f"({_PROTOCOL}::)*{_PROTOCOL}://")


def is_remote(name: str) -> bool:
    """Return whether a name is an address.

    Example
    -------
    >>> is_remote("s3://calls/a.wav"), is_remote("calls/a.wav"), is_remote("a::b.wav")
    (True, False, False)
    """
    return bool(_ADDRESS.match(name))


def list_address(address: str) -> list[str]:
    """Return an address, or those of all audio files below it if it is a folder.

    Raises
    ------
    ValueError
        If nothing can be read there, or a folder holds no audio.
    """

    def find(files: Any, path: str) -> list[str]:
        if not files.isdir(path):
            return [address]
        found = [files.unstrip_protocol(p) for p in files.find(path)]
        return [p for p in found if Path(p).suffix.lower() in AUDIO_SUFFIXES]

    found = _opened(address, find)
    if not found:
        raise ValueError(
            f"{address} holds no audio: expected files named "
            f"{', '.join(AUDIO_SUFFIXES)}."
        )
    return sorted(found)


def download(address: str, path: Path) -> None:
    """Copy the file at an address.

    Raises
    ------
    ValueError
        If nothing can be read there.
    """
    _opened(address, lambda files, source: files.get_file(source, str(path)))


def _opened(address: str, use: Callable[[Any, str], Result]) -> Result:
    """Call a function with the file system of an address and the path in it."""
    check_installed(address, ["fsspec"], "ray")
    import fsspec

    try:
        return use(*fsspec.url_to_fs(address))
    except (OSError, ValueError, ImportError) as error:
        # Errors of file systems are of many kinds and often just name the path.
        reason = f"{type(error).__name__}: {error}".strip(": ")
        raise ValueError(f"{address} cannot be read: {reason}") from error
