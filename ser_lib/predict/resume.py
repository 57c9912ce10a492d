"""How ``python -m ser_lib.predict`` goes on where it stopped.

Hidden files beside an output hold what is needed for that:

- ``settings.json``: model and settings that the results are from. A command with others
  must not add to them.
- ``files.jsonl``: size and time of the last change of each recording that is done. If
  they differ now, it is done again. A line is added for each result.
- ``lock``: held by the run that writes.
"""

import json
import os
import sys
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from ser_lib.utils.files import (
    atomic_path,
    make_folder,
    naming,
    one_at_a_time,
)


class Progress:
    """What an output that may have been begun before is from.

    One run at a time holds it, until it is closed; others wait.

    Arguments
    ---------
    out : Path
        The output, as messages name it.
    hidden : str
        What the paths of the hidden files begin with.
    recordings : Mapping[str, Path]
        The recordings that are to be done, by the names that they have in the output.
    """

    def __init__(self, out: Path, hidden: str, recordings: Mapping[str, Path]) -> None:
        self._out = out
        self._settings_path = Path(f"{hidden}settings.json")
        self._stamps_path = Path(f"{hidden}files.jsonl")
        self._stamps_file: TextIO | None = None
        self._held = ExitStack()
        make_folder(self._stamps_path.parent)
        self._held.enter_context(one_at_a_time(Path(f"{hidden}lock"), out))
        stamps = {name: _stamp(path) for name, path in recordings.items()}
        self._now = {name: stamp for name, stamp in stamps.items() if stamp}

    def check_settings(self, settings: Mapping, is_there: bool) -> None:
        """Compare with the settings of results that are there, or write them down.

        Arguments
        ---------
        settings : Mapping
            What the results depend on.
        is_there : bool
            Whether the output holds anything.

        Raises
        ------
        ValueError
            If what is there is from other settings, or not from this command.
        """
        # As they will be read: a tuple, for instance, becomes a list.
        settings = json.loads(json.dumps(settings))
        if is_there:
            before = self._read_settings()
            keys = before.keys() | settings.keys()
            changed = sorted(k for k in keys if before.get(k) != settings.get(k))
            if changed:
                raise ValueError(
                    f"{self._out} was begun with another "
                    f"{' and another '.join(changed)}. Choose another --out, or remove "
                    f"it to start again."
                )
        with atomic_path(self._settings_path) as unfinished:
            text = json.dumps(settings, indent=1) + "\n"
            unfinished.write_text(text, encoding="utf-8")

    def unchanged(self, done: Collection[str]) -> set[str]:
        """Leave out the recordings that have changed since they were done.

        A recording that is not to be done now, or was removed, counts as unchanged.

        Arguments
        ---------
        done : Collection[str]
            The recordings whose results are there.

        Returns
        -------
        set[str]
            The others.
        """
        before = self._read_stamps()
        if before is None:
            before = {name: self._now[name] for name in done if name in self._now}
            if before:
                print(
                    f"{self._out} is from a version that did not note when recordings "
                    f"were changed: the {len(before)} results in it are kept. Remove "
                    f"it to do them again.",
                    file=sys.stderr,
                )
        kept = {
            name
            for name in done
            if name not in self._now or before.get(name) == self._now[name]
        }
        self._write_stamps({name: before[name] for name in kept if name in before})
        return kept

    def note(self, name: str) -> None:
        """Write down what a result that is now in the output is from.

        Arguments
        ---------
        name : str
            The recording.
        """
        if name in self._now:
            with naming(self._stamps_path):
                self._stamps_file.write(_line(name, self._now[name]))
                self._stamps_file.flush()

    def close(self) -> None:
        """Let the next run in."""
        self._held.close()

    def _read_settings(self) -> dict:
        hidden = self._settings_path
        if not hidden.is_file():
            raise ValueError(
                f"{self._out} is there already and was not written by this command "
                f"({hidden.name} is missing). Choose another --out."
            )
        try:
            settings = json.loads(hidden.read_text(encoding="utf-8"))
        except ValueError as error:
            settings = error
        if not isinstance(settings, dict):
            raise ValueError(
                f"{hidden} is damaged: expected the settings that {self._out} was "
                f"begun with, found {str(settings)[:100]!r}. Choose another --out."
            )
        return settings

    def _read_stamps(self) -> dict[str, list[int]] | None:
        if not self._stamps_path.is_file():
            return None
        text = self._stamps_path.read_text(encoding="utf-8", errors="replace")
        stamps = {}
        for line in text.splitlines():
            try:
                name, *stamp = json.loads(line)
                stamps[name] = stamp
            except (ValueError, TypeError):  # the last line before a kill
                continue
        return stamps

    def _write_stamps(self, stamps: Mapping[str, list[int]]) -> None:
        path = self._stamps_path
        with atomic_path(path) as unfinished:
            lines = [_line(name, stamp) for name, stamp in stamps.items()]
            unfinished.write_text("".join(lines), encoding="utf-8")
        self._stamps_file = self._held.enter_context(open(path, "a", encoding="utf-8"))


def _stamp(path: Path) -> list[int]:
    """Size and time of the last change; nothing for what is not there."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: NUL in its name
        return []
    return [status.st_size, status.st_mtime_ns]


def _line(name: str, stamp: list[int]) -> str:
    return json.dumps([name, *stamp]) + "\n"
