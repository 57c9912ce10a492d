"""Progress has one style, and is quiet where there is no terminal."""

import ast
import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from miniature_run import RECIPE, miniature_options

from ser_lib.utils.progress import Progress, with_progress

ROOT = Path(__file__).parents[1]
LINE = re.compile(
    r"\rcounting: +\d+ %\|[# \d]*\| \d/4 things, \d\d:\d\d so far, (\d\d:\d\d|\?) left"
)
COUNT = """
import time
from ser_lib.utils.progress import with_progress
for _ in with_progress([1, 2, 3, 4], "counting", "things"):
    time.sleep(0.25)
"""


def on_a_terminal(command: list[str], **options) -> str:
    """Run a command whose standard error is a terminal; return what that shows."""
    ours, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=terminal, **options
    ) as process:
        os.close(terminal)
        shown = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
        process.stdout.read()
    os.close(ours)
    assert process.returncode == 0, shown.decode()
    return shown.decode()


def test_a_terminal_shows_what_how_far_and_the_time_left():
    shown = on_a_terminal([sys.executable, "-c", COUNT])
    lines = [match.group() for match in LINE.finditer(shown)]
    assert len(lines) >= 3
    assert "counting:   0 %" in lines[0] and "0/4 things" in lines[0]
    assert "counting: 100 %" in lines[-1] and "4/4 things" in lines[-1]


def test_a_pipe_shows_nothing():
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_what_was_done_before_counts():
    again = COUNT.replace('"things"', '"things", total=4, n_before=2')
    shown = on_a_terminal(
        [sys.executable, "-c", again.replace("[1, 2, 3, 4]", "[3, 4]")]
    )
    lines = [match.group() for match in LINE.finditer(shown)]
    assert "counting:  50 %" in lines[0] and "counting: 100 %" in lines[-1]


def test_lines_are_written_above_the_progress(capsys):
    with Progress("counting", 4, "things") as progress:
        progress.say("Failed: a.wav")
    assert capsys.readouterr().err == "Failed: a.wav\n"


def test_items_pass_unchanged_and_a_break_closes_the_progress():
    assert list(with_progress(iter("abc"), "reading", "letters")) == ["a", "b", "c"]
    assert next(iter(with_progress("abc", "reading", "letters"))) == "a"


def imported_by(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    sources = {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)}
    plain = [n.names for n in nodes if isinstance(n, ast.Import)]
    names = sources | {alias.name for names in plain for alias in names}
    return {name.split(".")[0] for name in names}


def test_only_one_module_imports_tqdm():
    paths = [*(ROOT / "ser_lib").rglob("*.py"), *(ROOT / "recipes").rglob("*.py")]
    found = [path for path in paths if "tqdm" in imported_by(path)]
    assert found == [ROOT / "ser_lib" / "utils" / "progress.py"]


@pytest.mark.slow
@pytest.mark.parametrize("is_terminal", [True, False])
def test_training_shows_epochs_and_tests_on_a_terminal_alone(tmp_path, is_terminal):
    options = miniature_options(tmp_path)
    options.remove("--noprogressbar")
    command = [sys.executable, "train.py", *options, f"--results_folder={tmp_path}/out"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = {"cwd": RECIPE, "env": environment}
    if is_terminal:
        shown = on_a_terminal(command, **run)
        assert re.search(r"training fold 1: +\d+ %.* steps, epoch=2 of 2", shown)
        assert re.search(r"testing fold 1: 100 %", shown)
        assert "it/s" not in shown  # tqdm's own style, as SpeechBrain has it
    else:
        done = subprocess.run(command, capture_output=True, text=True, **run)
        assert done.returncode == 0
        assert "%|" not in done.stderr and "\r" not in done.stderr
