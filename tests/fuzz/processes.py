"""Processes of their own: signals, closed streams, full disks, devices, races."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fuzz.case import FILE_FAILED, OK, USER_ERROR, Case, Common, Outcome
from fuzz.forked import cpu_s
from fuzz.rows import one_row, read_rows

INTERRUPTED = {130, -signal.SIGINT}
READER_IS_GONE = {OK, 141, -signal.SIGPIPE}
PREDICT = "ser_lib.predict"
_NULL, _FULL = 3, 7  # minor numbers of these devices


def cases(common: Common, n: int, seed: int) -> Iterator[Case]:
    """All are written down."""
    yield from _input_streams(common)
    yield from _output_streams(common)
    yield from _signals(common)
    yield from _outputs(common)
    yield from _races(common)
    if os.geteuid() == 0:
        yield from _devices(common)
    else:
        print("Only root can make devices: those of the kind processes are left out.")


def _real(title: str, prepare: Callable[[Path], list], codes: set[int], **more) -> Case:
    return Case(title, prepare, codes, real=True, **more)


def _input_streams(common: Common) -> Iterator[Case]:
    predict = [PREDICT, common.model, "-"]

    def from_file(path: Path) -> Callable[[Path], list]:
        def prepare(folder: Path) -> list:
            os.dup2(os.open(path, os.O_RDONLY), 0)
            return predict

        return prepare

    def from_pipe(folder: Path) -> list:
        cat = subprocess.Popen(["cat", common.wav], stdout=subprocess.PIPE)
        os.dup2(cat.stdout.fileno(), 0)
        return predict

    def closed(folder: Path) -> list:
        os.close(0)
        return predict

    def from_folder(folder: Path) -> list:
        os.dup2(os.open(folder, os.O_RDONLY), 0)
        return predict

    yield _real("stdin: a file", from_file(common.wav), {OK}, check=one_row)
    yield _real("stdin: a pipe", from_pipe, {OK}, check=one_row)
    table = from_file(common.table)
    yield _real("stdin: a table", table, {FILE_FAILED}, check=one_row)
    yield _real("stdin: nothing", lambda _: predict, {FILE_FAILED}, check=one_row)
    yield _real("stdin: closed", closed, {FILE_FAILED, USER_ERROR})
    yield _real("stdin: a folder", from_folder, {FILE_FAILED, USER_ERROR})


def _output_streams(common: Common) -> Iterator[Case]:
    commands = {
        "predict": [PREDICT, common.model, *[common.wav] * 1],
        "train": common.train("--prepare_only=True", "--folds=all"),
        "folds": ["ser_lib.folds", common.run],
    }
    for name, command in commands.items():

        def closed(folder: Path, command=command) -> list:
            os.close(1)
            return command

        def without_reader(folder: Path, command=command) -> list:
            reader, writer = os.pipe()
            os.close(reader)
            os.dup2(writer, 1)
            return command

        yield _real(f"{name}: stdout is closed", closed, {OK, USER_ERROR})
        title = f"{name} | true"
        yield _real(title, without_reader, READER_IS_GONE, may_be_silent=True)


def _interrupted(prepare: Callable, after_cpu_s: float) -> Callable[[Path], list]:
    """Send Ctrl-C to the process that becomes the command, after a little work."""

    def prepare_and_send(folder: Path) -> list:
        command, target = prepare(folder), os.getpid()
        if os.fork() == 0:
            end_s = cpu_s(target) + after_cpu_s
            while cpu_s(target) < end_s:
                time.sleep(0.01)
            os.kill(target, signal.SIGINT)
            os._exit(0)
        return command

    return prepare_and_send


def _signals(common: Common) -> Iterator[Case]:
    """Ctrl-C while a command imports, computes or trains."""

    def predict(folder: Path) -> list:
        return _predict_many(common, folder, 400)

    def train(folder: Path) -> list:
        return common.train("--number_of_epochs=500", f"--results_folder={folder}")

    for seconds in (0.5, 1.5, 4.0):
        title = f"predict: Ctrl-C after {seconds} s of work"
        yield _real(title, _interrupted(predict, seconds), INTERRUPTED)
    for seconds in (1.0, 3.0, 7.0):
        title = f"train: Ctrl-C after {seconds} s of work"
        yield _real(title, _interrupted(train, seconds), INTERRUPTED)


def _predict_many(common: Common, folder: Path, n: int) -> list:
    (folder / "in").mkdir()
    for k in range(n):
        shutil.copy(common.wav, folder / "in" / f"{k}.wav")
    return [PREDICT, common.model, "in", "--out=out.csv", "--batch_size=1"]


def _outputs(common: Common) -> Iterator[Case]:
    """What --out names is written to or refused, never lost."""
    predict = [PREDICT, common.model, common.wav, "--out=out.csv"]

    def link(folder: Path) -> list:
        (folder / "target").touch()
        (folder / "out.csv").symlink_to("target")
        return predict

    def fifo(folder: Path) -> list:
        os.mkfifo(folder / "out.csv")
        os.open(folder / "out.csv", os.O_RDWR)  # or the command would wait for a reader
        return predict

    def notes(folder: Path) -> list:
        (folder / "out.csv").write_text("mine\n")
        return predict

    either = {OK, USER_ERROR}
    yield Case("--out is a link", link, either, _link_is_kept)
    yield Case("--out is a FIFO", fifo, either, _is_kept("out.csv", stat.S_ISFIFO))
    yield Case("--out is the user's", notes, {USER_ERROR}, _notes_are_kept)


def _link_is_kept(folder: Path, outcome: Outcome) -> str:
    if not (folder / "out.csv").is_symlink():
        return "the link was replaced"
    n_rows = len(read_rows((folder / "target").read_text()))
    return "" if outcome.code or n_rows == 1 else f"the target has {n_rows} rows"


def _notes_are_kept(folder: Path, outcome: Outcome) -> str:
    is_kept = (folder / "out.csv").read_text() == "mine\n"
    return "" if is_kept else "a file of the user was replaced"


def _is_kept(name: str, is_kind: Callable[[int], bool]) -> Callable:
    def check(folder: Path, outcome: Outcome) -> str:
        mode = (folder / name).lstat().st_mode
        return "" if is_kind(mode) else f"{name} was replaced"

    return check


def _races(common: Common) -> Iterator[Case]:
    """Two commands with one output."""
    n = 40

    def at_once(folder: Path) -> list:
        predict = _predict_many(common, folder, n)
        first = [sys.executable, "-m", *map(str, predict)]
        subprocess.Popen(first, stderr=subprocess.DEVNULL)
        return predict

    def again(folder: Path) -> list:
        predict = _predict_many(common, folder, n)
        first = [sys.executable, "-m", *map(str, predict)]
        subprocess.run(first, check=True, stderr=subprocess.DEVNULL)
        return predict

    def all_or_refused(folder: Path, outcome: Outcome) -> str:
        n_rows = len(read_rows((folder / "out.csv").read_text()))
        is_kept = n_rows == n or outcome.code != OK
        return "" if is_kept else f"exit code 0 with {n_rows} of {n} rows"

    yield _real("two with one --out", at_once, {OK, USER_ERROR}, check=all_or_refused)
    yield Case("the same command twice", again, {OK}, all_or_refused)


def _devices(common: Common) -> Iterator[Case]:
    """Nodes like /dev/null and /dev/full, made for the case."""

    def node(folder: Path, minor: int) -> Path:
        os.mknod(folder / "node", 0o20666, os.makedev(1, minor))
        return folder / "node"

    is_kept = _is_kept("node", stat.S_ISCHR)

    def to_null(folder: Path) -> list:
        return [PREDICT, common.model, common.wav, f"--out={node(folder, _NULL)}"]

    def to_full(folder: Path) -> list:
        return [PREDICT, common.model, common.wav, f"--out={node(folder, _FULL)}"]

    def stdout_is_full(folder: Path) -> list:
        os.dup2(os.open(node(folder, _FULL), os.O_WRONLY), 1)
        return [PREDICT, common.model, common.wav]

    yield Case("--out is like /dev/null", to_null, {OK, USER_ERROR}, is_kept)
    yield Case("--out is like /dev/full", to_full, {USER_ERROR}, is_kept)
    yield _real("stdout is like /dev/full", stdout_is_full, {USER_ERROR}, check=is_kept)

    def export_to_device(folder: Path) -> list:
        return ["ser_lib.export", common.run, node(folder, _NULL)]

    yield Case("an export to a device", export_to_device, {USER_ERROR}, is_kept)
