"""Resume an interrupted ``python -m ser_lib.predict``, with hidden files:

- ``settings.json``: model and settings of the results. A command with others must not
  add to them.
- ``files.jsonl``: size and modification time of each finished recording. If they have
  changed, it is processed again. Each result adds a line.
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
    """The progress of an output, which an earlier run may have started.

    Only one run at a time has it open; others wait until it is closed.

    Arguments
    ---------
    out : Path
        The output.
    hidden : str
        Beginning of the paths of the hidden files.
    paths : Mapping[str, Path]
        Name in the output -> path of each recording to process.
    """

    def __init__(self, out: Path, hidden: str, paths: Mapping[str, Path]) -> None:
        self._out = out
        self._settings_path = Path(f"{hidden}settings.json")
        self._stamps_path = Path(f"{hidden}files.jsonl")
        self._stamps_file: TextIO | None = None
        self._held = ExitStack()
        make_folder(self._stamps_path.parent)
        self._held.enter_context(one_at_a_time(Path(f"{hidden}lock"), out))
        stamps = {name: _stamp(path) for name, path in paths.items()}
        self._now = {name: stamp for name, stamp in stamps.items() if stamp}

    def check_settings(self, settings: Mapping, has_results: bool) -> None:
        """Compare the settings with those of existing results, then write them.

        Arguments
        ---------
        settings : Mapping
            Everything that the results depend on.
        has_results : bool
            Whether the output has any results.

        Raises
        ------
        ValueError
            If the results are from other settings, or from another program.
        """
        # As they will be read: for example, a tuple becomes a list.
        settings = json.loads(json.dumps(settings))
        if has_results:
            before = self._read_settings()
            keys = before.keys() | settings.keys()
            changed = sorted(k for k in keys if before.get(k) != settings.get(k))
            if changed:
                raise ValueError(
                    f"{self._out} was started with another "
                    f"{' and another '.join(changed)}. Choose another --out, or remove "
                    f"it to start again."
                )
        with atomic_path(self._settings_path) as unfinished:
            text = json.dumps(settings, indent=1) + "\n"
            unfinished.write_text(text, encoding="utf-8")

    def unchanged(self, done: Collection[str]) -> set[str]:
        """Return the finished recordings that have not changed since.

        Those that this command does not process, or that were removed, count as
        unchanged.
        """
        before = self._read_stamps()
        if before is None:
            before = {name: self._now[name] for name in done if name in self._now}
            if before:
                print(
                    f"{self._out} is from a version that did not record changes of "
                    f"recordings: its {len(before)} results are kept. Remove it to "
                    f"compute them again.",
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
        """Record that the output now has the result of a recording."""
        if name in self._now:
            with naming(self._stamps_path):
                self._stamps_file.write(_line(name, self._now[name]))
                self._stamps_file.flush()

    def close(self) -> None:
        """Release the output for the next run."""
        self._held.close()

    def _read_settings(self) -> dict:
        hidden = self._settings_path
        if not hidden.is_file():
            raise ValueError(
                f"{self._out} exists and was not written by this command "
                f"({hidden.name} is missing). Choose another --out."
            )
        try:
            settings = json.loads(hidden.read_text(encoding="utf-8"))
        except ValueError as error:
            settings = error
        if not isinstance(settings, dict):
            raise ValueError(
                f"{hidden} is damaged: expected the settings of {self._out}, found "
                f"{str(settings)[:100]!r}. Choose another --out."
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
            except (ValueError, TypeError):  # an interrupted write
                continue
        return stamps

    def _write_stamps(self, stamps: Mapping[str, list[int]]) -> None:
        path = self._stamps_path
        with atomic_path(path) as unfinished:
            lines = [_line(name, stamp) for name, stamp in stamps.items()]
            unfinished.write_text("".join(lines), encoding="utf-8")
        self._stamps_file = self._held.enter_context(open(path, "a", encoding="utf-8"))


def _stamp(path: Path) -> list[int]:
    """Return size and modification time of a file; an empty list if missing."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: NUL in its name
        return []
    return [status.st_size, status.st_mtime_ns]


def _line(name: str, stamp: list[int]) -> str:
    return json.dumps([name, *stamp]) + "\n"
