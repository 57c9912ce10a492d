"""Compares what a command did with what every command promises."""

from pathlib import Path

from fuzz.case import CANARY, OK, Case, Outcome
from fuzz.forked import HANG_S, MOST_RSS_BYTES

TRACEBACK = "Traceback (most recent call last)"
_OUT_OF_MEMORY = ("MemoryError", "can't allocate memory", "bad_alloc")
# What Python's own errors say by themselves, such as KeyError: 'labels'.
_FEWEST_WORDS = 3


def findings_of(case: Case, folder: Path, outcome: Outcome) -> list[str]:
    """What was not as promised.

    Arguments
    ---------
    case : Case
        The input.
    folder : Path
        Where it ran.
    outcome : Outcome
        What it did.

    Returns
    -------
    list[str]
        One text for each broken promise.
    """
    if outcome.hung:
        return [f"expected an end within {HANG_S:.0f} s, found none"]
    printed = outcome.stdout + outcome.stderr
    found = []
    if outcome.peak_rss_bytes > MOST_RSS_BYTES or any(
        sign in printed for sign in _OUT_OF_MEMORY
    ):
        found.append(
            f"expected at most {MOST_RSS_BYTES / 1e9:.1f} GB, found "
            f"{outcome.peak_rss_bytes / 1e9:.1f} GB or more"
        )
    if outcome.code not in case.codes:
        expected = " or ".join(map(str, sorted(case.codes)))
        found.append(f"expected exit code {expected}, found {outcome.code}")
    if TRACEBACK in printed:
        found.append("expected no traceback, found one")
    elif not (outcome.code == OK or case.may_be_silent or _has_message(outcome)):
        found.append("expected a message on stderr, found next to none")
    if (folder / CANARY).exists():
        found.append("expected that nothing of the input is run, found that it was")
    if not found and (more := case.check(folder, outcome)):
        found.append(more)
    return found


def told(case: Case, outcome: Outcome, findings: list[str]) -> str:
    """One line of a report: the input, what was expected, what came."""
    last = _exception(outcome.stderr) or _last_line(outcome.stderr)
    text = f"{_shortened(case.title)}: {'; '.join(findings)}"
    return text + (f" ({_shortened(last)})" if last else "")


def _has_message(outcome: Outcome) -> bool:
    return len(_last_line(outcome.stderr).split()) >= _FEWEST_WORDS


def _exception(text: str) -> str:
    """The line of the last traceback that names the error."""
    _, _, after = text.rpartition(TRACEBACK)
    lines = [line for line in after.splitlines()[1:] if line[:1].strip()]
    return lines[0] if TRACEBACK in text and lines else ""


def _last_line(text: str) -> str:
    lines = [line for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def _shortened(text: str, length: int = 200) -> str:
    return text if len(text) <= length else f"{text[:length]}..."
