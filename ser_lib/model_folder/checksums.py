"""Checksums of the files of a model folder and of its network."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from ser_lib.utils.checksums import sha256


def network_sha256(network: Mapping) -> str:
    """Hash the entry ``network`` of ``model.json``, ignoring key order and spaces."""
    return hashlib.sha256(json.dumps(network, sort_keys=True).encode()).hexdigest()


def check_sum(path: Path, expected: str) -> None:
    """Compare a file of a model folder with its SHA-256 in ``model.json``.

    Raises
    ------
    FileNotFoundError
        If the file is missing.
    ValueError
        If its SHA-256 differs.
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
