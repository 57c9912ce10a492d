"""The outputs of ``python -m ser_lib.predict``.

Results are written as they arrive. When the same command is started again, it keeps
existing results except errors, incomplete rows, standard input, and recordings that
have changed since. Hidden files next to the output record what is needed for that
(``resume.py``). Devices, FIFOs and standard output cannot be resumed.
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

TIMELINE_SUFFIXES = {
    "rttm": ".rttm",
    "audacity": ".txt",
    "textgrid": ".TextGrid",
    "webvtt": ".vtt",
}


@dataclass(frozen=True)
class Result:
    """The result for a recording.

    Arguments
    ---------
    recording : Recording
        The recording.
    rows : list[dict]
        One row, or one per segment.
    timelines : Sequence[Timeline]
        Its timeline, or that of each speaker, if requested.
    error : str
        Why there is no result, or empty.
    """

    recording: Recording
    rows: list[dict] = field(default_factory=list)
    timelines: Sequence[Timeline] = ()
    error: str = ""


def result_rows(result: Result) -> list[dict]:
    """Return the rows of a result; an error is one row."""
    if result.error:
        return [{"path": result.recording.name, "error": printable(result.error)}]
    return result.rows


class RowOutput:
    """Rows of all recordings, in one file or on standard output.

    Arguments
    ---------
    out : Path | None
        The file; None for standard output.
    encoder : Encoder
        Columns and format.
    settings : Mapping
        Everything that the rows depend on: model, format, windows.
    recordings : Sequence[Recording]
        All recordings of the command.

    Raises
    ------
    ValueError
        If the file exists and was not written with the same settings.
    """

    def __init__(
        self,
        out: Path | None,
        encoder: Encoder,
        settings: Mapping,
        recordings: Sequence[Recording],
    ) -> None:
        self._encoder, self._out = encoder, out or Path("standard output")
        self._progress: Progress | None = None
        self._done: set[str] = set()
        with naming(self._out), ExitStack() as opened:
            if out is not None and not _is_standard_output(out) and not is_special(out):
                self._stream = self._resume(out, opened, settings, recordings)
            else:
                self._stream = _open_stream(out, opened)
                self._write(encoder.begin())
            self._opened = opened.pop_all()

    def _resume(
        self,
        out: Path,
        opened: ExitStack,
        settings: Mapping,
        recordings: Sequence[Recording],
    ) -> TextIO:
        """Rewrite a file with the rows to keep; return it, open for appending."""
        target = Path(os.path.realpath(out))  # the same through any link
        paths = {i.name: i.path for i in recordings if i.name != STANDARD_INPUT}
        hidden = f"{target.parent}/.{shortened(target.name)}."
        self._progress = Progress(out, hidden, paths)
        opened.callback(self._progress.close)
        has_rows = out.is_file() and out.stat().st_size > 0
        self._progress.check_settings(settings, has_rows)
        rows = _complete(_read_rows(out, self._encoder)) if has_rows else []
        self._done = self._progress.unchanged({row["path"] for row in rows})
        kept = [row for row in rows if row["path"] in self._done]
        with atomic_path(out) as unfinished:
            text = self._encoder.begin() + self._encoder.rows(kept)
            unfinished.write_text(text, encoding="utf-8", newline="\n")
        return opened.enter_context(open(out, "a", encoding="utf-8", newline="\n"))

    def is_done(self, recording: Recording) -> bool:
        """Return whether the file already has the rows of a recording."""
        return recording.name in self._done

    def write(self, result: Result) -> None:
        """Add the rows of a recording."""
        self._write(self._encoder.rows(result_rows(result)))
        if self._progress is not None:
            self._progress.note(result.recording.name)

    def close(self) -> None:
        """Finish the file."""
        with naming(self._out), self._opened:
            self._write(self._encoder.end())

    def _write(self, text: str) -> None:
        with naming(self._out):
            self._stream.write(text)
            self._stream.flush()


def _is_standard_output(out: Path) -> bool:
    """Return whether a path, such as /dev/stdout, is standard output."""
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
        # A terminal may not be able to show all characters of a name.
        sys.stdout.reconfigure(errors="backslashreplace")
    return sys.stdout


def _read_rows(out: Path, encoder: Encoder) -> list[dict]:
    # An interrupted write can split a character; that row is processed again.
    with open(out, encoding="utf-8", errors="replace", newline="") as f:
        text = f.read()
    try:
        return encoder.read(text)
    except (ValueError, csv.Error) as error:
        raise ValueError(
            f"{out} was changed by another program: {error}. Choose another --out."
        ) from error


def _complete(rows: Sequence[dict]) -> list[dict]:
    """Return the rows without standard input, failed and incomplete recordings.

    A turn that cannot be classified has an error, but its recording is complete.
    """
    counts = Counter(row["path"] for row in rows)
    return [
        row
        for row in rows
        if (not row["error"] or row.get("segment"))
        and row["path"] != STANDARD_INPUT
        and str(row["score"]) != "nan"  # written by an older version
        and str(row.get("n_segments", 1)) == str(counts[row["path"]])
    ]


class FolderOutput:
    """One file per recording, or the same text on standard output.

    Errors are only printed to the console.

    Arguments
    ---------
    out : Path | None
        The folder; None for standard output.
    file_format : str
        A key of ``TIMELINE_SUFFIXES``.
    settings, recordings
        See :class:`RowOutput`.

    Raises
    ------
    ValueError
        If the folder contains files that were not written with the same settings.
    """

    def __init__(
        self,
        out: Path | None,
        file_format: str,
        settings: Mapping,
        recordings: Sequence[Recording],
    ) -> None:
        self._out, self._format = out, file_format
        self._progress: Progress | None = None
        self._done: set[str] = set()
        if out is None:
            self._stream = _standard_output()
            return
        if out.exists() and not out.is_dir():
            raise ValueError(
                f"{out} is a file; --format {file_format} needs a folder, since it "
                f"writes one file per recording."
            )
        files = [
            recording for recording in recordings if recording.name != STANDARD_INPUT
        ]
        with ExitStack() as opened:
            paths = {recording.short_name: recording.path for recording in files}
            self._progress = Progress(out, f"{out}/.", paths)
            opened.callback(self._progress.close)
            self._progress.check_settings(settings, _holds_files(out))
            done = {i.short_name for i in files if self._path(i).is_file()}
            self._done = self._progress.unchanged(done)
            self._opened = opened.pop_all()

    def is_done(self, recording: Recording) -> bool:
        """Return whether the file of a recording has been written."""
        return recording.short_name in self._done and recording.name != STANDARD_INPUT

    def write(self, result: Result) -> None:
        """Write the file of a recording."""
        if result.error:
            return
        if self._progress is None:
            self._stream.write(FORMATS[self._format](result.timelines))
            self._stream.flush()
        else:
            write_timeline(self._path(result.recording), result.timelines, self._format)
            self._progress.note(result.recording.short_name)

    def close(self) -> None:
        """Release the folder for the next run."""
        if self._progress is not None:
            self._opened.close()

    def _path(self, recording: Recording) -> Path:
        return self._out / f"{recording.short_name}{TIMELINE_SUFFIXES[self._format]}"


def _holds_files(folder: Path) -> bool:
    names = (path.name for path in folder.iterdir())
    return any(name != ".lock" and not name.startswith(UNFINISHED) for name in names)
