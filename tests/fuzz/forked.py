"""Runs commands in forked children, each with limits of its own.

Importing torch and SpeechBrain takes seconds, so the parent imports them once; a child
has them at once, and is measured as a process of its own. The parent must have started
no thread.
"""

import os
import resource
import runpy
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fuzz.case import Case, Outcome

HANG_S = 10.0
REAL_START_S = 20.0  # what an interpreter of its own may take to import everything
MOST_RSS_BYTES = 2 * 1024**3
# Above what is a finding, so that most of it is measured, and far below the machine's.
_MOST_ADDED_BYTES = 3 * 1024**3
_POLL_S = 0.02
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_FAILED_TO_PREPARE = 99


class PreparationError(Exception):
    """A case could not be made: a fault of the case, not of the command."""


@dataclass
class _Child:
    """A command that runs.

    Time counts from where the command begins. A machine may be busy, so what hangs is
    what takes ``HANG_S`` of processor time, or has not moved for so long.
    """

    index: int
    case: Case
    folder: Path
    pid: int
    begun: Path
    cpu_before_s: float | None = None
    cpu_s: float = 0.0
    moved_at: float = 0.0
    hung: bool = False

    def watch(self) -> None:
        """Kill it when it hangs."""
        if not self.begun.exists():
            return
        now, used_s = time.monotonic(), cpu_s(self.pid)
        if self.cpu_before_s is None:
            self.cpu_before_s, self.moved_at = used_s, now
        if used_s > self.cpu_s:
            self.cpu_s, self.moved_at = used_s, now
        limit_s = HANG_S + self.case.real * REAL_START_S
        spent_s = used_s - self.cpu_before_s
        if max(spent_s, now - self.moved_at) > limit_s and not self.hung:
            self.hung = True
            _kill_group(self.pid)


def run_all(
    cases: Iterable[tuple[int, Case]], root: Path, n_at_once: int = 2
) -> Iterator[tuple[int, Case, Path, Outcome]]:
    """Run cases, some at the same time.

    Arguments
    ---------
    cases : Iterable[tuple[int, Case]]
        With the number of each.
    root : Path
        Below it, each gets a folder of its own.
    n_at_once : int
        How many run at the same time.

    Yields
    ------
    tuple[int, Case, Path, Outcome]
        In the order in which they end. The folder is there for the checks.
    """
    waiting = iter(cases)
    running: list[_Child] = []
    try:
        while True:
            while len(running) < n_at_once and (following := next(waiting, None)):
                running.append(_start(*following, root))
            if not running:
                return
            for child in list(running):
                pid, status, usage = os.wait4(child.pid, os.WNOHANG)
                if not pid:
                    child.watch()
                    continue
                running.remove(child)
                _kill_group(child.pid)  # helpers that the case or command left
                outcome = _outcome(child, status, usage)
                yield child.index, child.case, child.folder, outcome
            time.sleep(_POLL_S)
    finally:
        for child in running:
            _kill_group(child.pid)


def _start(index: int, case: Case, root: Path) -> _Child:
    folder = root / f"case_{index}"
    folder.mkdir()
    begun = root / f"case_{index}.begun"
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _become(case, folder, begun)
    return _Child(index, case, folder, pid, begun)


def _become(case: Case, folder: Path, begun: Path) -> None:
    """Be the command; never return, since the parent's frames are below this one."""
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # A shell lets its background jobs ignore it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(folder)
        _redirect(folder)
        try:
            command = [str(part) for part in case.prepare(folder)]
        except BaseException:  # noqa: BLE001  told by the parent
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(_FAILED_TO_PREPARE)
        begun.touch()
        _limit_memory()
        if case.real:
            os.execv(sys.executable, [sys.executable, *_interpreted(command)])
        code = _run_here(command)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    finally:
        os._exit(1)


def _redirect(folder: Path) -> None:
    for fd, name in ((1, "out"), (2, "err")):
        file = os.open(f"{folder}.{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, fd)
        os.close(file)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    # Whatever stood for them in the parent; as the interpreter opens them.
    sys.stdin = open(0, closefd=False)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = open(2, "w", 1, "utf-8", "backslashreplace", closefd=False)


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + _MOST_ADDED_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _interpreted(command: list[str]) -> list[str]:
    return command if command[0].endswith(".py") else ["-m", *command]


def _run_here(command: list[str]) -> int:
    """Run a command as the interpreter does, and give its exit code."""
    program, sys.argv = command[0], command
    sys.path[0] = str(Path(program).parent) if program.endswith(".py") else os.getcwd()
    try:
        if program.endswith(".py"):
            runpy.run_path(program, run_name="__main__")
        else:
            for imported in (program, f"{program}.__main__"):
                sys.modules.pop(imported, None)  # it must not be told so
            runpy.run_module(program, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return _code_of(end)
    except BaseException:  # noqa: BLE001  the interpreter, too, shows all of them
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _code_of(end: SystemExit) -> int:
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    print(end.code, file=sys.stderr)
    return 1


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def cpu_s(pid: int) -> float:
    """Processor time of a process and of those children of it that have ended.

    Arguments
    ---------
    pid : int
        Its number.

    Returns
    -------
    float
        In seconds; 0 if it has ended.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, text.rpartition(")")[2].split()[11:15])) / _TICKS_PER_S


def _outcome(child: _Child, status: int, usage: resource.struct_rusage) -> Outcome:
    stdout, stderr = (
        Path(f"{child.folder}.{name}").read_text(encoding="utf-8", errors="replace")
        for name in ("out", "err")
    )
    code = os.waitstatus_to_exitcode(status)
    if code == _FAILED_TO_PREPARE:
        raise PreparationError(f"{child.case.title}: {stderr}")
    total_s = usage.ru_utime + usage.ru_stime
    return Outcome(
        code,
        stdout,
        stderr,
        total_s - (child.cpu_before_s or 0.0),
        usage.ru_maxrss * 1024,
        child.hung,
    )
