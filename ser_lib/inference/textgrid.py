"""Read the intervals of a TextGrid of Praat, strictly.

Praat's text formats are a list of texts in double quotes, numbers and flags in angle
brackets that stand alone; all else is for people
(https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html). Libraries such as
praatio accept a file that is cut off and leave out the rest.
"""

import re
from pathlib import Path
from typing import NamedTuple

_TOKEN = re.compile(
    r'"(?P<text>(?:[^"]|"")*)"'
    r"|(?<!\S)(?P<flag><\w+>)(?!\S)"
    r"|(?<!\S)(?P<number>[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?!\S)"
    r"|(?<!\S)!.*"
)
_UTF_16 = b"\xff\xfe", b"\xfe\xff"


class Interval(NamedTuple):
    """A part of a recording with a text, in a tier."""

    tier: str
    start_s: float
    end_s: float
    text: str


def read_intervals(path: str | Path) -> list[list[Interval]]:
    """Return the intervals of each interval tier; point tiers are left out.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is not a TextGrid in one of Praat's text formats, is cut off, or holds
        more than it says.

    Example
    -------
    >>> path = Path(getfixture("tmp_path")) / "a.TextGrid"
    >>> tier = '"IntervalTier" "Ann" 0 2 1  0 2 "hello"'
    >>> _ = path.write_text(f'"ooTextFile" "TextGrid" 0 2 <exists> 1 {tier}')
    >>> read_intervals(path)
    [[Interval(tier='Ann', start_s=0.0, end_s=2.0, text='hello')]]
    """
    tokens = _Tokens(Path(path))
    if not tokens.text().startswith("ooTextFile") or tokens.text() != "TextGrid":
        raise tokens.refusal("it does not begin as one")
    tokens.skip_numbers(2)
    tokens.take("flag")
    tiers = [_read_tier(tokens) for _ in range(tokens.count())]
    if tokens.is_left():
        raise tokens.refusal("it goes on after its last tier")
    return [tier for tier in tiers if tier is not None]


def _read_tier(tokens: "_Tokens") -> list[Interval] | None:
    kind, name = tokens.text(), tokens.text()
    tokens.skip_numbers(2)
    size = tokens.count()
    if kind == "IntervalTier":
        values = tokens.number, tokens.number, tokens.text
        return [Interval(name, *(read() for read in values)) for _ in range(size)]
    if kind != "TextTier":
        raise tokens.refusal(f"it has a tier of the kind {kind[:80]!r}")
    for _ in range(size):
        tokens.skip_numbers(1)
        tokens.text()
    return None


class _Tokens:
    """Takes the values of a TextGrid, one after the other."""

    def __init__(self, path: Path) -> None:
        self._path, content = path, path.read_bytes()
        encoding = "utf-16" if content.startswith(_UTF_16) else "utf-8-sig"
        try:
            found = _TOKEN.finditer(content.decode(encoding))
        except UnicodeDecodeError as error:
            raise self.refusal(f"it is not text in {encoding}") from error
        self._tokens = [match for match in found if match.lastgroup]
        self._next = 0

    def refusal(self, why: str) -> ValueError:
        return ValueError(f"{self._path} cannot be read as a TextGrid of Praat: {why}.")

    def is_left(self) -> bool:
        return self._next < len(self._tokens)

    def take(self, kind: str) -> str:
        if not self.is_left():
            raise self.refusal(f"it is cut off, expected a {kind}")
        match = self._tokens[self._next]
        if match.lastgroup != kind:
            raise self.refusal(f"found {match.group()[:80]!r}, expected a {kind}")
        self._next += 1
        return match[kind]

    def text(self) -> str:
        return self.take("text").replace('""', '"')

    def number(self) -> float:
        return float(self.take("number"))

    def skip_numbers(self, n: int) -> None:
        for _ in range(n):
            self.take("number")

    def count(self) -> int:
        text = self.take("number")
        if not text.isdecimal():
            raise self.refusal(f"found {text!r}, expected a count")
        return int(text)
