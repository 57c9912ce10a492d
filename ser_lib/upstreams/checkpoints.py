"""Old checkpoints: found, and read without running their code.

A PyTorch checkpoint is a pickle, which can name any class and call it. Here it is
read with ``weights_only=True``: tensors, plain Python values and
``argparse.Namespace`` (the training arguments of s3prl and fairseq) are read, nothing
is imported, and an inert placeholder replaces every other class.
"""

import argparse
import pickle
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
)

SUFFIXES = (".ckpt", ".pt", ".pth", ".tar")

_MAX_CLASSES = 100


class Unread:
    """Placeholder for a class that is not imported, and for its instances.

    Calling it or setting its state has no effect.
    """

    def __new__(cls, *arguments: object) -> "Unread":  # noqa: D102
        return super().__new__(cls)

    def __init__(self, *arguments: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


# Errors that reading a damaged pickle or archive can raise.
_UNREADABLE = (
    pickle.UnpicklingError,
    EOFError,
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    struct.error,
)


def local_checkpoint(source: str) -> Path:
    """Find a checkpoint: a local file or folder, the hub's cache, or the hub.

    Arguments
    ---------
    source : str
        A file; a folder with exactly one checkpoint file (.ckpt, .pt, .pth, .tar);
        or ``owner/name/file`` on the Hugging Face hub.

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder, or the hub cannot be reached and its
        cache does not hold the file. The message says how to work offline.
    ValueError
        If a folder holds several checkpoints.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        return _only_checkpoint(path)
    owner, _, rest = str(source).partition("/")
    name, _, file = rest.partition("/")
    is_local = path.is_absolute() or str(source).startswith((".", "~"))
    if is_local or not (owner and name and file):
        raise FileNotFoundError(
            f"There is no checkpoint {source}. Expected a file, a folder with one "
            f"checkpoint ({', '.join(SUFFIXES)}), or a file on the Hugging Face hub "
            f"(owner/name/file)."
        )
    return _from_hub(f"{owner}/{name}", file)


def _only_checkpoint(folder: Path) -> Path:
    found = sorted(p for p in folder.iterdir() if p.suffix in SUFFIXES and p.is_file())
    if len(found) == 1:
        return found[0]
    names = sorted(p.name for p in folder.iterdir())
    if not found:
        raise FileNotFoundError(
            f"The folder {folder} contains no checkpoint ({', '.join(SUFFIXES)}); "
            f"found {names or 'nothing'}."
        )
    raise ValueError(
        f"The folder {folder} contains {len(found)} checkpoints "
        f"({', '.join(p.name for p in found)}). Pass the path of one of them."
    )


def _from_hub(repository: str, file: str) -> Path:
    try:
        # Not hf_hub_download, which tries an unreachable hub for half a minute.
        folder = snapshot_download(repository, allow_patterns=[file], etag_timeout=5)
    except (
        LocalEntryNotFoundError,
        HfHubHTTPError,
        HFValidationError,
        OSError,
    ) as error:
        raise FileNotFoundError(
            f"{repository}/{file} is neither a local file nor in the Hugging Face "
            f"cache, and downloading it failed ({type(error).__name__}). To work "
            f"offline, run 'hf download {repository} {file} --local-dir FOLDER' on a "
            f"machine with network access, copy the file here and pass its path "
            f"instead of {repository}/{file}."
        ) from error
    path = Path(folder) / file
    if not path.is_file():
        raise FileNotFoundError(
            f"{repository} on the Hugging Face hub, or its cached copy, has no file "
            f"{file}."
        )
    return path


def load_legacy(path: str | Path) -> dict:
    """Read a checkpoint on the CPU without importing anything it names.

    Arguments
    ---------
    path : str | Path
        A file written by ``torch.save``, in the current zip format or the older one.

    Returns
    -------
    dict
        Its content. Classes other than ``argparse.Namespace``, such as the schedules of
        old trainers or the state of PyTorch Lightning, and their instances are replaced
        by :class:`Unread`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file names a module of the operating system, cannot be read, or does not
        hold a dictionary.

    Example
    -------
    >>> path = getfixture("tmp_path") / "old.ckpt"
    >>> torch.save({"Args": argparse.Namespace(seed=1), "where": Path("a")}, path)
    >>> content = load_legacy(path)
    >>> content["Args"].seed, isinstance(content["where"], Unread)
    (1, True)
    """
    try:
        content = _read(path)
    except (FileNotFoundError, PermissionError):
        raise
    except _UNREADABLE as error:
        named = re.search(r"GLOBAL (\S+)|got <class '(.+?)'>", str(error))
        if named:
            raise ValueError(
                f"The checkpoint {path} names {named[1] or named[2]}, which is not "
                f"loaded because it could run any code. Expected tensors and plain "
                f"values. If you trust the file, load it with the library that wrote "
                f"it and save only its weights and configuration."
            ) from None
        raise ValueError(
            f"{path} ({Path(path).stat().st_size} bytes) cannot be read as a PyTorch "
            f"checkpoint: it is damaged, truncated or of another format. Copy or "
            f"download it again."
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f"The checkpoint {path} contains a {type(content).__name__}; expected a "
            f"dictionary."
        )
    return content


def _read(path: str | Path) -> object:
    """Retry the read, adding a placeholder for each unknown class."""
    placeholders: dict[str, type[Unread]] = {}
    while True:
        allowed = [(kind, name) for name, kind in placeholders.items()]
        try:
            with torch.serialization.safe_globals([argparse.Namespace, *allowed]):
                # Memory-mapped, so that a retry does not read the tensors again.
                return torch.load(
                    path,
                    map_location="cpu",
                    weights_only=True,
                    mmap=zipfile.is_zipfile(path),
                )
        except pickle.UnpicklingError as error:
            found = re.search(r"GLOBAL (\S+) was not an allowed global", str(error))
            name = found and (found[1] if "." in found[1] else f"builtins.{found[1]}")
            if not name or name in placeholders or len(placeholders) == _MAX_CLASSES:
                raise
            module, _, own_name = name.rpartition(".")
            placeholders[name] = type(own_name, (Unread,), {"__module__": module})


def entries(content: Mapping, names: tuple[str, ...], source: str | Path) -> list:
    """Return some entries of a checkpoint, each of which must be a dictionary.

    Raises
    ------
    ValueError
        If one is missing (usually a checkpoint of another encoder) or is not a
        dictionary.

    Example
    -------
    >>> entries({"config": {}, "weights": {}}, ("config", "model"), "cpc.pt")
    Traceback (most recent call last):
    ...
    ValueError: cpc.pt has no model; it has config, weights. Is it a checkpoint of \
another encoder or another version?
    """
    missing = [name for name in names if name not in content]
    if missing:
        raise ValueError(
            f"{source} has no {', no '.join(missing)}; it has "
            f"{', '.join(map(str, content)) or 'nothing'}. Is it a checkpoint of "
            f"another encoder or another version?"
        )
    for name in names:
        if not isinstance(content[name], Mapping):
            raise ValueError(
                f"{name} in {source} is a {type(content[name]).__name__}; expected a "
                f"dictionary."
            )
    return [content[name] for name in names]
