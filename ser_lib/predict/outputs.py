"""What ``python -m ser_lib.predict`` writes, and how it goes on where it stopped.

Rows are written as they come. When the same command is started again, what is there is
kept and not done again, but for errors (the file may have been mended since), files
that were changed since, the standard input, and rows that a kill left incomplete. What
is needed for that is in hidden files beside the output (``predict_resume.py``). A
device, FIFO or standard output takes rows, but cannot be gone on with.
"""

import csv
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import TextIOWrapper, UnsupportedOperation
from pathlib import Path
from typing import TextIO

from ser_lib.inference import FORMATS, Timeline, write_timeline
from ser_lib.predict.inputs import STANDARD_INPUT, Recording
from ser_lib.predict.resume import Progress
from ser_lib.predict.rows import Encoder
from ser_lib.utils.file_names import printable, shortened
from ser_lib.utils.files import (
    UNFINISHED,
    atomic_path,
    is_special,
    naming,
    open_special,
)

TIMELINE_SUFFIXES = {"rttm": ".rttm", "audacity": ".txt"}


@dataclass(frozen=True)
class Result:
    """What was found out about a recording.

    Arguments
    ---------
    item : Recording
        The recording.
    rows : list[dict]
        Its rows: one, or one for each segment.
    timeline : Timeline | None
        Its timeline, if that was asked for.
    error : str
        What went wrong instead.
    """

    item: Recording
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
    items : Sequence[Recording]
        The recordings.

    Raises
    ------
    ValueError
        If the file is there and was not written with the same settings.
    """

    def __init__(
        self,
        out: Path | None,
        encoder: Encoder,
        settings: Mapping,
        items: Sequence[Recording],
    ) -> None:
        self._encoder, self._out = encoder, out or Path("standard output")
        self._progress: Progress | None = None
        self._done: set[str] = set()
        with naming(self._out), ExitStack() as opened:
            if out is not None and not _is_standard_output(out) and not is_special(out):
                self._stream = self._go_on(out, opened, settings, items)
            else:
                self._stream = _open_stream(out, opened)
                self._write(encoder.begin())
            self._opened = opened.pop_all()

    def _go_on(
        self,
        out: Path,
        opened: ExitStack,
        settings: Mapping,
        items: Sequence[Recording],
    ) -> TextIO:
        """Begin a file with the rows in it that stay; give it to add to."""
        target = Path(os.path.realpath(out))  # the same by way of any link
        recordings = {i.name: i.path for i in items if i.name != STANDARD_INPUT}
        hidden = f"{target.parent}/.{shortened(target.name)}."
        self._progress = Progress(out, hidden, recordings)
        opened.callback(self._progress.close)
        is_there = out.is_file() and out.stat().st_size > 0
        self._progress.check_settings(settings, is_there)
        rows = _complete(_read_rows(out, self._encoder)) if is_there else []
        self._done = self._progress.unchanged({row["path"] for row in rows})
        kept = [row for row in rows if row["path"] in self._done]
        with atomic_path(out) as unfinished:
            text = self._encoder.begin() + self._encoder.rows(kept)
            unfinished.write_text(text, encoding="utf-8", newline="\n")
        return opened.enter_context(open(out, "a", encoding="utf-8", newline="\n"))

    def is_done(self, item: Recording) -> bool:
        """Tell whether the rows of a recording are there already."""
        return item.name in self._done

    def write(self, result: Result) -> None:
        """Add the rows of a recording."""
        rows = result.rows
        if result.error:
            rows = [{"path": result.item.name, "error": printable(result.error)}]
        self._write(self._encoder.rows(rows))
        if self._progress is not None:
            self._progress.note(result.item.name)

    def close(self) -> None:
        """Finish the file."""
        with naming(self._out), self._opened:
            self._write(self._encoder.end())

    def _write(self, text: str) -> None:
        with naming(self._out):
            self._stream.write(text)
            self._stream.flush()


def _is_standard_output(out: Path) -> bool:
    """Tell whether a path such as /dev/stdout leads there."""
    try:
        return os.path.samestat(os.stat(out), os.fstat(sys.stdout.fileno()))
    except (FileNotFoundError, AttributeError, UnsupportedOperation):
        return False  # no such file yet, no standard output, or one in memory


def _open_stream(out: Path | None, opened: ExitStack) -> TextIO:
    if out is None or _is_standard_output(out):
        return _standard_output()
    device = opened.enter_context(open_special(out))
    return opened.enter_context(TextIOWrapper(device, "utf-8", newline="\n"))


def _standard_output() -> TextIO:
    if isinstance(sys.stdout, TextIOWrapper):
        # Not every terminal has the letters of every name.
        sys.stdout.reconfigure(errors="backslashreplace")
    return sys.stdout


def _read_rows(out: Path, encoder: Encoder) -> list[dict]:
    # A kill may cut a letter of several bytes; its row is done again.
    with open(out, encoding="utf-8", errors="replace", newline="") as f:
        text = f.read()
    try:
        return encoder.read(text)
    except (ValueError, csv.Error) as error:
        raise ValueError(
            f"{out} was changed by another program: {error}. Choose another --out."
        ) from error


def _complete(rows: Sequence[dict]) -> list[dict]:
    """Leave out errors, standard input, and recordings that lack some of their rows."""
    counts = Counter(row["path"] for row in rows)
    return [
        row
        for row in rows
        if not row["error"]
        and row["path"] != STANDARD_INPUT
        and str(row["score"]) != "nan"  # as an earlier version wrote it
        and str(row.get("n_segments", 1)) == str(counts[row["path"]])
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
    items : Sequence[Recording]
        The recordings.

    Raises
    ------
    ValueError
        If the folder holds files that were not written with the same settings.
    """

    def __init__(
        self,
        out: Path | None,
        file_format: str,
        settings: Mapping,
        items: Sequence[Recording],
    ) -> None:
        self._out, self._format = out, file_format
        self._progress: Progress | None = None
        self._done: set[str] = set()
        if out is None:
            self._stream = _standard_output()
            return
        if out.exists() and not out.is_dir():
            raise ValueError(
                f"{out} is a file; {file_format} needs a folder, for a file for each "
                f"recording."
            )
        files = [item for item in items if item.name != STANDARD_INPUT]
        with ExitStack() as opened:
            recordings = {item.short_name: item.path for item in files}
            self._progress = Progress(out, f"{out}/.", recordings)
            opened.callback(self._progress.close)
            self._progress.check_settings(settings, _holds_files(out))
            done = {i.short_name for i in files if self._path(i).is_file()}
            self._done = self._progress.unchanged(done)
            self._opened = opened.pop_all()

    def is_done(self, item: Recording) -> bool:
        """Tell whether the file of a recording is there already."""
        return item.short_name in self._done and item.name != STANDARD_INPUT

    def write(self, result: Result) -> None:
        """Write the file of a recording."""
        if result.error:
            return
        if self._progress is None:
            self._stream.write(FORMATS[self._format](result.timeline))
            self._stream.flush()
        else:
            write_timeline(self._path(result.item), result.timeline, self._format)
            self._progress.note(result.item.short_name)

    def close(self) -> None:
        """Let the next run in; each file is complete."""
        if self._progress is not None:
            self._opened.close()

    def _path(self, item: Recording) -> Path:
        return self._out / f"{item.short_name}{TIMELINE_SUFFIXES[self._format]}"


def _holds_files(folder: Path) -> bool:
    names = (path.name for path in folder.iterdir())
    return any(name != ".lock" and not name.startswith(UNFINISHED) for name in names)
