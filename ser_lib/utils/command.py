"""How all commands end.

``run_command`` calls the main function of a command. A mistake of the user, Ctrl-C, a
full disk or a closed pipe ends in one message without a traceback; a bug keeps its
traceback. The exit codes are

==== ====================================================================
0    success
1    a bug, or a failure that the command reports (such as a failed file)
2    a user's mistake: options, settings, files, disk space
130  interrupted by Ctrl-C
141  the reader of a pipe has gone (``| head``)
==== ====================================================================

This module imports nothing heavy, so that wrong usage is reported at once.
"""

import contextlib
import io
import logging
import os
import re
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType, TracebackType
from typing import TextIO

from ser_lib import __version__
from ser_lib.utils.files import is_full_disk

RESUMES = "Run the same command again to resume."
RESUMES_WITH_OUT = "With --out, the same command resumes."
STARTS_OVER = "Run the same command again to start over."

BUG = 1
MISTAKE = 2
INTERRUPTED = 128 + 2  # SIGINT, as a shell has it
READER_IS_GONE = 128 + 13  # SIGPIPE

# Marks the message of an exception that a DataLoader worker raised.
_WORKER_TRACEBACK = "\nOriginal Traceback (most recent call last):\n"
_OUR_FOLDER = f"{Path(__file__).resolve().parents[1]}{os.sep}"

Main = Callable[[Sequence[str]], int | None]

# Set by Ctrl-C; see raise_if_interrupted.
_CTRL_C = threading.Event()


def run_command(
    main: Main, again: str = STARTS_OVER, arguments: Sequence[str] | None = None
) -> None:
    """Call the main function of a command; exit the process unless it succeeds.

    Arguments
    ---------
    main : Callable
        Takes the command-line arguments and returns an exit code (None for 0). Import
        slow libraries inside it, so that Ctrl-C during the import is handled too.
    again : str
        What running the same command again does, for the message after an interruption
        or a full disk.
    arguments : Sequence[str] | None
        None for those of the process. With ``--debug`` among them, mistakes also show
        their traceback.

    Raises
    ------
    SystemExit
        With the exit code, if it is not 0.

    Example
    -------
    >>> run_command(lambda arguments: print(*arguments), arguments=["well"])
    well
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in arguments
    _CTRL_C.clear()
    # A log line that cannot be written (full disk, closed pipe) gets no traceback.
    logging.raiseExceptions = debug
    _replace_closed_streams()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        code = main(arguments) or 0
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the outermost
        message, code = _explain(error, main, again)
        if debug or code == BUG:
            message = f"{''.join(traceback.format_exception(error))}\n{message}"
        _report(message)
    finally:
        _CTRL_C.clear()
    _discard_unwritable_output()
    if code:
        sys.exit(code)


def raise_if_interrupted() -> None:
    """Raise KeyboardInterrupt if Ctrl-C was pressed and a library swallowed it.

    Python raises it wherever the program is: in a destructor, or below a bare
    ``except`` of a library, it is lost and the program goes on. Long loops call this.
    """
    if _CTRL_C.is_set():
        raise KeyboardInterrupt


def report_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print an uncaught exception as Python does, but Ctrl-C as one line.

    It serves as ``sys.excepthook``.
    """
    if isinstance(error, KeyboardInterrupt):
        print(f"Interrupted. {STARTS_OVER}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, but exit at once while torch is being imported.

    Its C++ code calls Python during the import and would abort on the exception.
    """
    _CTRL_C.set()
    spec = getattr(sys.modules.get("torch"), "__spec__", None)
    if getattr(spec, "_initializing", False):
        print(f"Interrupted. {STARTS_OVER}", file=sys.stderr, flush=True)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    signal.default_int_handler(number, frame)


def _explain(error: BaseException, main: Main, again: str) -> tuple[str, int]:
    """Return a message and an exit code for the error that ended a command."""
    # A library that Ctrl-C interrupts may fail in another way.
    if isinstance(error, KeyboardInterrupt) or _CTRL_C.is_set():
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C exits at once
        return f"Interrupted. {again}", INTERRUPTED
    if isinstance(error, BrokenPipeError) and _reader_is_gone():
        return "", READER_IS_GONE
    if is_full_disk(error):
        return f"{_text(error)}. Free some space. {again}", MISTAKE
    if _is_users_mistake(error, main):
        return _text(error), MISTAKE
    return _how_to_report(), BUG


def _is_users_mistake(error: BaseException, main: Main) -> bool:
    """Return whether our code, or the system for a named file, refused something.

    A ValueError from a library is a bug: our code should have checked first.
    """
    if isinstance(error, OSError) and error.filename is not None:
        return True
    if not isinstance(error, ValueError | OSError | ModuleNotFoundError):
        return False
    raised_in = _raised_in(error)
    return raised_in.startswith(_OUR_FOLDER) or raised_in == main.__code__.co_filename


def _raised_in(error: BaseException) -> str:
    """Return the file whose code raised an exception, possibly in a worker process."""
    if _WORKER_TRACEBACK in str(error):
        return re.findall(r'^  File "(.+)", line \d+', str(error), re.MULTILINE)[-1]
    *_, (frame, _line) = traceback.walk_tb(error.__traceback__)
    return frame.f_code.co_filename


def _text(error: BaseException) -> str:
    """Return the message of an error; format system errors as other programs do."""
    if isinstance(error, OSError) and error.strerror:
        names = [os.fsdecode(n) for n in (error.filename, error.filename2) if n]
        return ": ".join([*names, error.strerror])
    if _WORKER_TRACEBACK in str(error):
        return str(error).rpartition(f"\n{type(error).__name__}: ")[2].strip()
    return str(error) or type(error).__name__


def _how_to_report() -> str:
    packages = []
    for name in ("torch", "speechbrain", "transformers"):
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            packages.append(f"no {name}")
    return (
        f"This looks like a bug. Please report it with the lines above, the command "
        f"and these versions: Python {sys.version.split()[0]}, ser_lib {__version__}, "
        f"{', '.join(packages)}."
    )


def _report(message: str) -> None:
    """Write to standard error and to the log file of the run, if it has one."""
    if not message:
        return
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # torchrun
        message = f"[process {os.environ.get('RANK')}] {message}"
    record = logging.makeLogRecord({"msg": "%s", "args": (message,), "name": __name__})
    record.levelno, record.levelname = logging.ERROR, "ERROR"
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)
    with contextlib.suppress(OSError):  # nowhere else to report it
        print(message, file=sys.stderr, flush=True)


class _ClosedStream(io.FileIO):
    """Replace a standard stream that was closed (``>&-``) before the program started.

    Otherwise the next file opened would get its descriptor, and with it whatever C
    libraries write to the stream.
    """

    def __init__(self, name: str) -> None:
        super().__init__(os.devnull, "r+")
        self._message = f"Standard {name} is closed, and this command needs it."

    def readinto(self, buffer: bytearray) -> int:
        raise OSError(self._message)

    def readall(self) -> bytes:
        raise OSError(self._message)

    def write(self, data: bytes) -> int:
        raise OSError(self._message)


def _replace_closed_streams() -> None:
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(_ClosedStream("input")))
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(_ClosedStream("output"), write_through=True)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")


def _reader_is_gone() -> bool:
    """Distinguish a closed pipe from another lost connection, such as to a worker."""
    poll = select.poll()
    for standard_output_or_error in (1, 2):
        poll.register(standard_output_or_error, select.POLLERR)
    gone = select.POLLERR | select.POLLHUP
    return any(event & gone for _fd, event in poll.poll(0))


def _can_flush(stream: TextIO) -> bool:
    try:
        stream.flush()
    except OSError:
        return False
    return True


def _discard_unwritable_output() -> None:
    """Prevent the traceback that Python prints at exit if it cannot flush a stream."""
    for stream in (sys.stdout, sys.stderr):
        if not _can_flush(stream):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
