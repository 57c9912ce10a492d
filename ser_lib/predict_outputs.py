"""What ``python -m ser_lib.predict`` writes, and how it goes on where it stopped.

Rows are written as they come. When the same command is started again, what is there is
kept and not done again, but for errors (the file may have been mended since), the
standard input, and rows that a kill left incomplete. A hidden file beside the output
says which model and settings it is from; another command must not add to it.
"""

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ser_lib.files import atomic_path
from ser_lib.predict_inputs import STANDARD_INPUT, Item, printable
from ser_lib.predict_rows import Encoder
from ser_lib.timeline import Timeline
from ser_lib.timeline_formats import FORMATS, write_timeline

TIMELINE_SUFFIXES = {"rttm": ".rttm", "audacity": ".txt"}


@dataclass(frozen=True)
class Result:
    """What was found out about a recording.

    Arguments
    ---------
    item : Item
        The recording.
    rows : list[dict]
        Its rows: one, or one for each segment.
    timeline : Timeline | None
        Its timeline, if that was asked for.
    error : str
        What went wrong instead.
    """

    item: Item
    rows: list[dict] = field(default_factory=list)
    timeline: Timeline | None = None
    error: str = ""


class RowOutput:
    """Rows of all recordings, in one file or on standard output.

    Arguments
    ---------
    out : Path | None
        The file; None for standard output.
    encoder : Encoder
        Columns and format.
    settings : Mapping
        What the rows depend on: model, labels, windows.

    Raises
    ------
    ValueError
        If the file is there and was not written with the same settings.
    """

    def __init__(self, out: Path | None, encoder: Encoder, settings: Mapping) -> None:
        self._encoder, self._stream = encoder, sys.stdout
        kept: list[dict] = []
        if out is not None:
            hidden = out.with_name(f".{out.name}.settings.json")
            is_there = out.is_file() and out.stat().st_size > 0
            _check_settings(out, hidden, settings, is_there)
            # A kill may cut a letter of several bytes; its row is done again.
            text = out.read_text(encoding="utf-8", errors="replace") if is_there else ""
            kept = _complete(encoder.read(text))
        self._done = {row["path"] for row in kept}
        text = encoder.begin() + encoder.rows(kept)
        if out is not None:
            with atomic_path(out) as unfinished:
                unfinished.write_text(text, encoding="utf-8", newline="\n")
            self._stream = open(out, "a", encoding="utf-8", newline="\n")
            text = ""
        self._write(text)

    def is_done(self, item: Item) -> bool:
        """Tell whether the rows of a recording are there already."""
        return item.name in self._done

    def write(self, result: Result) -> None:
        """Add the rows of a recording."""
        rows = result.rows
        if result.error:
            rows = [{"path": result.item.name, "error": printable(result.error)}]
        self._write(self._encoder.rows(rows))

    def close(self) -> None:
        """Finish the file."""
        self._write(self._encoder.end())
        if self._stream is not sys.stdout:
            self._stream.close()

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError as error:  # a full disk tells no name
            error.filename = self._stream.name
            raise


def _complete(rows: Sequence[dict]) -> list[dict]:
    """Leave out errors, standard input, and recordings that lack some of their rows."""
    counts = Counter(row["path"] for row in rows)
    return [
        row
        for row in rows
        if not row["error"]
        and row["path"] != STANDARD_INPUT
        and counts[row["path"]] == int(row.get("n_segments", 1))
    ]


class FolderOutput:
    """A file for each recording, or the same text on standard output.

    Errors are not written; the console has them.

    Arguments
    ---------
    out : Path | None
        The folder; None for standard output.
    file_format : str
        ``rttm`` or ``audacity``.
    settings : Mapping
        As for :class:`RowOutput`.

    Raises
    ------
    ValueError
        If the folder holds files that were not written with the same settings.
    """

    def __init__(self, out: Path | None, file_format: str, settings: Mapping) -> None:
        self._out, self._format = out, file_format
        if out is not None:
            if out.exists() and not out.is_dir():
                raise ValueError(
                    f"{out} is a file; {file_format} needs a folder, for a file for "
                    f"each recording."
                )
            is_there = out.is_dir() and any(out.iterdir())
            _check_settings(out, out / ".settings.json", settings, is_there)

    def is_done(self, item: Item) -> bool:
        """Tell whether the file of a recording is there already."""
        is_file = self._out is not None and item.name != STANDARD_INPUT
        return is_file and self._path(item).is_file()

    def write(self, result: Result) -> None:
        """Write the file of a recording."""
        if result.error:
            return
        if self._out is None:
            print(FORMATS[self._format](result.timeline), end="", flush=True)
        else:
            write_timeline(self._path(result.item), result.timeline, self._format)

    def close(self) -> None:
        """Do nothing: each file is complete."""

    def _path(self, item: Item) -> Path:
        return self._out / f"{item.short_name}{TIMELINE_SUFFIXES[self._format]}"


def _check_settings(out: Path, hidden: Path, settings: Mapping, is_there: bool) -> None:
    """Compare with the settings that an output was begun with, or write them down."""
    # As they will be read: a tuple, for instance, becomes a list.
    settings = json.loads(json.dumps(settings))
    if is_there:
        if not hidden.is_file():
            raise ValueError(
                f"{out} is there already and was not written by this command "
                f"({hidden.name} is missing). Choose another --out."
            )
        before = json.loads(hidden.read_text(encoding="utf-8"))
        keys = before.keys() | settings.keys()
        changed = sorted(k for k in keys if before.get(k) != settings.get(k))
        if changed:
            raise ValueError(
                f"{out} was begun with another {' and another '.join(changed)}. Choose "
                f"another --out, or remove it to start again."
            )
    with atomic_path(hidden) as unfinished:
        unfinished.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
