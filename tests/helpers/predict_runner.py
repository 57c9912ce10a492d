"""Run the command line in this process, with the stub model."""

import csv
import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from stub_recognizer import StubRecognizer, write_wave

from ser_lib.predict import __main__ as predict
from ser_lib.utils.command import run_command


def run(*arguments, recognizer=None) -> tuple[int, str, str]:
    """Return the exit code, stdout and stderr."""
    recognizer = recognizer or StubRecognizer()
    loader = patch.object(predict, "load_recognizer", lambda source, device: recognizer)
    out, err = io.StringIO(), io.StringIO()
    with loader, redirect_stdout(out), redirect_stderr(err):
        try:
            run_command(predict.main, arguments=["MODEL", *map(str, arguments)])
            code = 0
        except SystemExit as stopped:
            code = stopped.code
    return code, out.getvalue(), err.getvalue()


def rows_of(text: str) -> list[dict]:
    return list(csv.DictReader(io.StringIO(text)))


def columns(rows, *names):
    return [tuple(row[name] for name in names) for row in rows]


def write_three_files(folder: Path) -> Path:
    """Write files of different lengths; "b" is in a separate folder."""
    write_wave(folder / "a.wav", (1, 0.25))
    write_wave(folder / "sub" / "b.flac", (3, 0.75))
    write_wave(folder / "z.wav", (2, 0.875))
    return folder
