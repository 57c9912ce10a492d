"""Old checkpoints: found, and read without running their code.

A checkpoint of PyTorch is a pickle, which can name any class and call it. Here it is
read with ``weights_only=True``: tensors, plain Python values and
``argparse.Namespace`` (the training arguments of s3prl and fairseq) are read, nothing
is imported, and something inert stands in for all other classes.
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

_MOST_CLASSES = 100


class Unread:
    """Stands in a checkpoint for a class that is not imported, and for its objects.

    Whatever a file does with it has no effect.

    Arguments
    ---------
    *arguments : object
        Are not kept.
    """

    def __new__(cls, *arguments: object) -> "Unread":  # noqa: D102
        return super().__new__(cls)

    def __init__(self, *arguments: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


# What a damaged pickle or archive can raise while it is read without its classes.
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

    Returns
    -------
    Path
        The file.

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
            f"There is no checkpoint {source}. Expected a file, a folder that holds "
            f"one checkpoint ({', '.join(SUFFIXES)}), or a file on the Hugging Face "
            f"hub as owner/name/file."
        )
    return _from_hub(f"{owner}/{name}", file)


def _only_checkpoint(folder: Path) -> Path:
    found = sorted(p for p in folder.iterdir() if p.suffix in SUFFIXES and p.is_file())
    if len(found) == 1:
        return found[0]
    names = sorted(p.name for p in folder.iterdir())
    if not found:
        raise FileNotFoundError(
            f"The folder {folder} holds no checkpoint ({', '.join(SUFFIXES)}). It "
            f"holds: {names or 'nothing'}."
        )
    raise ValueError(
        f"The folder {folder} holds {len(found)} checkpoints "
        f"({', '.join(p.name for p in found)}). Give the path of one of them."
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
            f"{repository}/{file} is neither a file here nor in the Hugging Face "
            f"cache, and the hub did not give it ({type(error).__name__}). To work "
            f"offline, run 'hf download {repository} {file} --local-dir FOLDER' where "
            f"there is a network, copy the file here and give its path in place of "
            f"{repository}/{file}."
        ) from error
    path = Path(folder) / file
    if not path.is_file():
        raise FileNotFoundError(
            f"{repository} on the Hugging Face hub, or its copy in the cache, has no "
            f"{file}."
        )
    return path


def load_legacy(path: str | Path) -> dict:
    """Read a checkpoint on the CPU without importing anything that it names.

    Arguments
    ---------
    path : str | Path
        A file written by ``torch.save``, in today's zip format or the older one.

    Returns
    -------
    dict
        Its content. Objects of other classes than ``argparse.Namespace``, and the
        classes themselves, are replaced by :class:`Unread`: schedules of old trainers,
        or what PyTorch Lightning keeps of a training.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file names a module of the operating system, cannot be read, or holds
        something else than a dictionary.

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
                f"loaded: it could run any code. Expected tensors and plain values. If "
                f"you trust the file, load it where that class is at home and save its "
                f"weights and configuration alone."
            ) from None
        raise ValueError(
            f"{path} ({Path(path).stat().st_size} bytes) cannot be read as a "
            f"checkpoint of PyTorch: it is damaged, cut off or of another kind. Copy "
            f"or download it again."
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f"The checkpoint {path} holds a {type(content).__name__}; expected a "
            f"dictionary."
        )
    return content


def _read(path: str | Path) -> object:
    """Read again for each class that is not known, with something in its place."""
    stand_ins: dict[str, type[Unread]] = {}
    while True:
        known = [(kind, name) for name, kind in stand_ins.items()]
        try:
            with torch.serialization.safe_globals([argparse.Namespace, *known]):
                # Mapped, so that reading again reads no tensors.
                return torch.load(
                    path,
                    map_location="cpu",
                    weights_only=True,
                    mmap=zipfile.is_zipfile(path),
                )
        except pickle.UnpicklingError as error:
            found = re.search(r"GLOBAL (\S+) was not an allowed global", str(error))
            name = found and (found[1] if "." in found[1] else f"builtins.{found[1]}")
            if not name or name in stand_ins or len(stand_ins) == _MOST_CLASSES:
                raise
            module, _, own_name = name.rpartition(".")
            stand_ins[name] = type(own_name, (Unread,), {"__module__": module})


def entries(content: Mapping, names: tuple[str, ...], source: str | Path) -> list:
    """Take entries out of a checkpoint.

    Arguments
    ---------
    content : Mapping
        A checkpoint or a part of it.
    names : tuple[str, ...]
        Keys that it must have, of dictionaries.
    source : str | Path
        The file, for the message.

    Returns
    -------
    list
        The values, in the order of the names.

    Raises
    ------
    ValueError
        If one is missing (a checkpoint of another encoder, as a rule) or no
        dictionary.

    Example
    -------
    >>> entries({"config": {}, "weights": {}}, ("config", "model"), "cpc.pt")
    Traceback (most recent call last):
    ...
    ValueError: cpc.pt has no model; it holds config, weights. Is it a checkpoint of \
another encoder, or of another version?
    """
    missing = [name for name in names if name not in content]
    if missing:
        raise ValueError(
            f"{source} has no {', no '.join(missing)}; it holds "
            f"{', '.join(map(str, content)) or 'nothing'}. Is it a checkpoint of "
            f"another encoder, or of another version?"
        )
    for name in names:
        if not isinstance(content[name], Mapping):
            raise ValueError(
                f"{source} holds a {type(content[name]).__name__} as {name}; expected "
                f"a dictionary."
            )
    return [content[name] for name in names]
