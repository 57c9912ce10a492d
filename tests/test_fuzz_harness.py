"""The fuzzer itself: faults that are planted must be found, and sound commands not."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from fuzz import forked, verdict
from fuzz.case import Case

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parent
SOUND = "print('label')"
REFUSES = "import sys; print('a.wav is not audio', file=sys.stderr); sys.exit(2)"
SAYS_NOTHING = "import sys; sys.exit(2)"
BARE_KEY = "import sys; print(KeyError('labels'), file=sys.stderr); sys.exit(2)"
# What the command does, the exit codes that are promised, what is to be found.
PLANTED = {
    "sound": (SOUND, {0}, []),
    "refuses": (REFUSES, {2}, []),
    "refuses what is sound": (REFUSES, {0}, ["code 0, found 2"]),
    "takes what is not": (SOUND, {1, 2}, ["code 1 or 2, found 0"]),
    "shows a traceback": ("{}['labels']", {1}, ["no traceback"]),
    "says nothing": (SAYS_NOTHING, {2}, ["a message on stderr"]),
    "says a bare key": (BARE_KEY, {2}, ["a message on stderr"]),
    "sleeps": ("import time; time.sleep(60)", {0}, ["an end within"]),
    "computes": ("while True: pass", {0}, ["an end within"]),
    "leaks": ("x = b'x' * 400_000_000", {0}, ["GB"]),
    "asks for a terabyte": ("x = b'x' * 10**12", {1}, ["GB", "no traceback"]),
    "crashes": ("import os; os.abort()", {2}, ["code 2, found -6", "a message"]),
    "runs its input": ("open('canary', 'w').close()", {0}, ["nothing of the input"]),
    "leaves no file": (SOUND, {0}, ["no file is there"]),
}
CANNOT_BE_MADE = """
import sys
from pathlib import Path
from fuzz.case import Case
from fuzz.forked import run_all
root = Path(sys.argv[1])
(root / "a").touch()
case = Case("none", lambda _: (root / "a" / "b").write_text(""), {0})
list(run_all([(0, case)], root))
"""
DRAWS = """
import json, sys
from fuzz.case import draw
from hypothesis import strategies
numbers = strategies.lists(strategies.integers())
print(json.dumps(draw(numbers, 20, seed=int(sys.argv[1]))))
"""
REAL = ("sound", "refuses", "shows a traceback", "sleeps")


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, str]:
    """What the harness says of each, from a process that has started no thread."""
    root = tmp_path_factory.mktemp("planted")
    done = _python(__file__, str(root))
    done.check_returncode()
    return dict(line.split("\t") for line in done.stdout.splitlines())


@pytest.mark.parametrize("name", PLANTED)
def test_each_planted_fault_is_found_and_nothing_else(found, name):
    _, _, expected = PLANTED[name]
    findings = [text for text in found[name].split("|") if text]
    assert len(findings) == len(expected)
    assert all(part in text for part, text in zip(expected, findings, strict=True)), (
        findings
    )


def test_a_command_of_its_own_process_is_judged_alike(found):
    for name in REAL:
        assert found[f"{name}, real"] == found[name]


def test_a_case_that_cannot_be_made_is_not_taken_for_a_finding(tmp_path):
    done = _python("-c", CANNOT_BE_MADE, str(tmp_path))
    last = done.stderr.rstrip().splitlines()[-1]
    assert done.returncode == 1 and "PreparationError" in done.stderr
    assert last == f"NotADirectoryError: [Errno 20] Not a directory: '{tmp_path}/a/b'"


def test_the_same_seed_draws_the_same_inputs():
    drawn = [_python("-c", DRAWS, seed).stdout for seed in ("3", "3", "4")]
    assert len(json.loads(drawn[0])) == 20
    assert drawn[0] == drawn[1] != drawn[2]


def _python(*arguments: str) -> subprocess.CompletedProcess:
    paths = {"PYTHONPATH": f"{HERE}:{HERE.parent}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=paths, capture_output=True, text=True)


def _no_file(folder, outcome):
    return "" if list(folder.iterdir()) else "expected a file, no file is there"


def _planted(root: Path):
    for name, (code, codes, _) in PLANTED.items():
        script = root / f"{name}.py"
        script.write_text(code)
        check = {"check": _no_file} if name == "leaves no file" else {}
        case = Case(name, lambda _, script=script: [script], codes, **check)
        yield case
        if name in REAL:
            yield replace(case, title=f"{name}, real", real=True)


if __name__ == "__main__":
    forked.HANG_S, forked.REAL_START_S = 3.0, 0.0
    verdict.MOST_RSS_BYTES = 300_000_000
    below = Path(sys.argv[1])
    for _, case, folder, outcome in forked.run_all(enumerate(_planted(below)), below):
        texts = verdict.findings_of(case, folder, outcome)
        print(case.title, "|".join(texts), sep="\t")
