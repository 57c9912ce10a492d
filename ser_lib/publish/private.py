"""Remove what must not leave this machine: its paths, and texts of the corpus."""

import getpass
import json
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from ser_lib.corpora import Utterance
from ser_lib.settings import Settings

_FOLDERS = {"data_folder": "DATA", "results_folder": "results"}
_PATH_KEYS = re.compile(r"csv|.*_(folder|source|file)|export_to")
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]")
_TEXT_SUFFIXES = {".yaml", ".json", ".csv", ".txt", ".md", ".cff"}
_OF_THIS_MACHINE = ("trained_in", "upstreams_trained_in")


def public_settings(settings: Settings) -> str:
    """Return the flattened settings without folders of this machine.

    ``data_folder`` becomes ``DATA``, ``results_folder`` becomes ``results``; of any
    other local path, the last part remains.
    References and names on the hub stay.
    """
    yaml = YAML()
    tree = yaml.load(settings.text)
    _replace_paths(tree, "")
    text = StringIO()
    yaml.dump(tree, text)
    return text.getvalue()


def _replace_paths(node: Any, key: str) -> None:
    """Replace the paths below a node of a YAML tree, in place."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            name_of_path = "data_folder" if key == "corpora" else str(name)
            _replace_one(node, name, value, name_of_path)
    elif isinstance(node, list):
        for k, value in enumerate(node):
            _replace_one(node, k, value, key)


def _replace_one(node: Any, index: Any, value: Any, key: str) -> None:
    if not isinstance(value, str):
        _replace_paths(value, key)
    elif key in _FOLDERS and not _is_reference(value):
        node[index] = _FOLDERS[key]
    elif _is_local(value, key):
        node[index] = _last_part(value)


def _is_local(text: str, key: str) -> bool:
    if _is_reference(text) or "\n" in text:
        return False
    if text.startswith(("/", "~", "./", "../", "\\\\")) or _WINDOWS.match(text):
        return True
    is_path = bool(_PATH_KEYS.fullmatch(key)) and "/" in text
    return is_path and (not key.endswith("_source") or Path(text).exists())


def _is_reference(text: str) -> bool:
    return "<" in text


def _last_part(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1] or "PATH"


def public_utterances(
    utterances: Sequence[Utterance], data_folder: str | Path
) -> list[Utterance]:
    """Return a part of a fold without transcripts, its paths relative to the data."""
    return [
        replace(u, text="", path=_relative(u.path, data_folder)) for u in utterances
    ]


def _relative(path: str, data_folder: str | Path) -> str:
    """Return a path below the data folder; of one elsewhere, its last part."""
    if Path(path).is_absolute() and Path(path).is_relative_to(data_folder):
        return Path(path).relative_to(data_folder).as_posix()
    is_outside = Path(path).is_absolute() or ".." in Path(path).parts
    return _last_part(path) if is_outside else path


def public_fold_info(text: str) -> str:
    """Return ``fold.json`` without the folders of the checkpoints."""
    info = {k: v for k, v in json.loads(text).items() if k not in _OF_THIS_MACHINE}
    return json.dumps(info, indent=1) + "\n"


def check_private(folder: Path, settings: Sequence[Settings]) -> None:
    """Search all texts of a pack for folders and names of this machine.

    Raises
    ------
    ValueError
        If there is one, with the file and line: a note, or an id, may have it.
    """
    words = _private_words(settings)
    pattern = re.compile("|".join(map(re.escape, words)))
    for path in sorted(folder.rglob("*")):
        if path.suffix not in _TEXT_SUFFIXES:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
            if found := pattern.search(line):
                raise ValueError(
                    f"{path.relative_to(folder)}, line {number}, would publish "
                    f"{found[0]!r}, a path or name of this machine. Remove it from "
                    f"the run (its note, ids or settings), then publish it again."
                )


def _private_words(settings: Sequence[Settings]) -> list[str]:
    paths = {str(Path.home()), str(Path.cwd())}
    for own in settings:
        for key in ("data_folder", "results_folder", "output_folder"):
            if key in own and isinstance(own[key], str):
                paths.add(str(Path(own[key]).absolute()))
    words = {f"{path}/" for path in paths if len(Path(path).parts) > 1}
    return sorted({*words, f"@{socket.gethostname()}", f"/{getpass.getuser()}/"})
