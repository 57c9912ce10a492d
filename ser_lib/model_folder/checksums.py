"""Checksums of a model folder: a file or a description is the one that was exported."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from ser_lib.utils.files import named_in_errors


def network_sha256(network: Mapping) -> str:
    """Hash a description; the order of its keys and the spaces do not matter.

    Arguments
    ---------
    network : Mapping
        As in ``model.json``.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return hashlib.sha256(json.dumps(network, sort_keys=True).encode()).hexdigest()


def sha256(path: Path) -> str:
    """Hash a file.

    Arguments
    ---------
    path : Path
        The file.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    with named_in_errors(path), open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def check_sum(path: Path, expected: str) -> None:
    """Compare a file of a model folder with its checksum.

    Arguments
    ---------
    path : Path
        The file.
    expected : str
        Its SHA-256, as ``model.json`` has it.

    Raises
    ------
    FileNotFoundError, ValueError
        If it is missing, or has another.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"The model folder {path.parent} is incomplete: it has no {path.name}. "
            f"Copy, download or export it again."
        )
    found = sha256(path)
    if found != expected:
        raise ValueError(
            f"{path} was changed or damaged: its SHA-256 is {found[:12]}..., "
            f"model.json expects {str(expected)[:12]}.... Copy, download or export "
            f"the folder again."
        )
