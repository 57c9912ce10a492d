"""Tables of one's own recordings, as people have them and as nobody should."""

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
from hypothesis import strategies as st

from fuzz.audio import RATE_HZ, speech
from fuzz.case import OK, USER_ERROR, Case, Common, draw

HEADER = ["path", "label", "speaker"]
_SPLITS = ["train", "train", "train", "train", "valid", "valid", "valid", "valid"]
_ODD_TEXTS = (
    "p_sad", "error", "path", "a, b", 'a "b"', "a\nb", "a\tb", "=1+1", "<labels>", "",
    "!apply:os.getcwd", "null", "true", "1e5", "0", "-1", "nan", "{a: b}", "[a]", "# a",
    "$HOME", "%s", "{0}", "é", "e\u0301", "怒り", "😡", "a" * 5000, "../../x", "\x7f",
    "\u202e", "\ufeff", "a\rb", "&a", "*a", "'", "\\", "a: b",
)  # fmt: skip
_CELLS = st.one_of(st.text(max_size=12), st.sampled_from([*_ODD_TEXTS, "sad", "A"]))
_GRIDS = st.lists(st.lists(_CELLS, min_size=2, max_size=5), max_size=8)
_CHANGES = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(list('",;\n\r\t\0 x')), st.booleans()),
    min_size=1,
    max_size=6,
)
_TRAINED_ON = {
    "NaN": lambda wav: wav * np.nan,
    "1e30": lambda wav: wav * 1e30,
    "scaled as 16-bit integers": lambda wav: wav * 32767,
    "empty": lambda wav: wav[:0],
    "10 ms long": lambda wav: wav[:160],
}


def cases(common: Common, n: int, seed: int) -> Iterator[Case]:
    """What is written down, then at least 20 that are drawn."""
    given = [*_sound(common), *_unsound(common), *_odd_words(common), *_audio(common)]
    yield from given
    n_drawn = max(20, n - len(given))
    for grid in draw(_GRIDS, n_drawn // 4, seed):
        text = _text([HEADER, *grid])
        yield _prepared(common, f"rows {grid}", text, {OK, USER_ERROR})
    for changes in draw(_CHANGES, n_drawn - n_drawn // 4, seed):
        text = _changed(_text(_rows(common)), changes)
        yield _prepared(common, f"characters {changes}", text, {OK, USER_ERROR})


def _prepared(
    common: Common, title: str, table: str | bytes | Callable, codes: set[int]
) -> Case:
    """Check a table and write its folds."""

    def prepare(folder: Path) -> list:
        path = folder / "my.csv"
        if callable(table):
            table(path)
        else:
            path.write_bytes(table.encode() if isinstance(table, str) else table)
        return common.train(f"--csv={path}", "--prepare_only=True", "--folds=all")

    return Case(title, prepare, codes)


def _rows(common: Common, more: dict[str, list] | None = None) -> list[list[str]]:
    """The rows of a table that is sound, with absolute paths; and more columns."""
    rows = [HEADER]
    for speaker in "ABC":
        for label in ("angry", "sad"):
            for k in (0, 1):
                path = common.table.parent / speaker / f"{label}{k}.wav"
                rows.append([str(path), label, speaker])
    for name, values in (more or {}).items():
        column = [name, *values]
        rows = [[*row, value] for row, value in zip(rows, column, strict=True)]
    return rows


def _with(rows: list[list[str]], line: int, column: int, value: str) -> list:
    """Change one value; line 0 is the header."""
    changed = [list(row) for row in rows]
    changed[line][column] = value
    return changed


def _text(rows: list, delimiter: str = ",", newline: str = "\n") -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=newline).writerows(rows)
    return text.getvalue()


def _sound(common: Common) -> Iterator[Case]:
    rows = _rows(common)
    inside = [
        [cell.replace("/corpus/", "/corpus/../corpus/") for cell in r] for r in rows
    ]
    tables = {
        "absolute paths": _text(rows),
        "a byte order mark": b"\xef\xbb\xbf" + _text(rows).encode(),
        "lines of Windows": _text(rows, newline="\r\n"),
        "blank lines": _text(rows).replace("\n", "\n\n"),
        "no newline at the end": _text(rows).strip(),
        "paths with ..": _text(inside),
        "columns that nobody knows": _text(
            _rows(common, {"mood": list("abcdefghijkl")})
        ),
        "texts": _text(_rows(common, {"text": ['Yes, \'tis "so"!\nSo.'] * 12})),
        "splits": _text(_rows(common, {"split": [*_SPLITS, *["test"] * 4]})),
        "folds": _text(_rows(common, {"fold": [*"111122223333"]})),
        "many columns": _text(
            [row + [f"{i}-{k}" for k in range(10_000)] for i, row in enumerate(rows)]
        ),
    }
    for title, table in tables.items():
        yield _prepared(common, title, table, {OK})
    for words in (("1", "2"), ("wütend 😡", "悲しい"), ("0.5", "-1"), ("true", "no")):
        named = [
            [w if w not in ("angry", "sad") else words[w == "sad"] for w in r]
            for r in rows
        ]
        yield _prepared(common, f"the labels {words}", _text(named), {OK})


def _unsound(common: Common) -> Iterator[Case]:
    rows = _rows(common)
    one_class = [
        [c.replace("sad", "angry") if k == 1 else c for k, c in enumerate(r)]
        for r in rows
    ]
    one_speaker = [rows[0], *([p, label, "A"] for p, label, _ in rows[1:])]
    tables = {
        "no byte": b"",
        "the header alone": _text(rows[:1]),
        "no header": _text(rows[1:]),
        "semicolons": _text(rows, ";"),
        "tabs": _text(rows, "\t"),
        "UTF-16": _text(rows).encode("utf-16"),
        "Latin-1": _text(_with(rows, 1, 1, "wütend")).encode("latin-1"),
        "a NUL": _text(_with(rows, 2, 1, "s\0d")),
        "NULs alone": bytes(10_000),
        "audio": lambda path: path.write_bytes(common.wav.read_bytes()),
        "a folder": lambda path: path.mkdir(),
        "nothing": lambda path: None,
        "a link to itself": lambda path: path.symlink_to(path),
        "no column label": _text([[p, s] for p, _, s in rows]),
        "a column twice": _text([[p, *r] for p, *r in [[r[0], *r] for r in rows]]),
        "a value too many": _text([*rows, [*rows[-1], "more"]]),
        "a value too few": _text([*rows, rows[-1][:2]]),
        "an open quotation mark": _text(rows).replace("sad", '"sad', 1),
        "no label": _text(_with(rows, 3, 1, "")),
        "no speaker": _text(_with(rows, 3, 2, "  ")),
        "no path": _text(_with(rows, 3, 0, "")),
        "one class": _text(one_class),
        "one speaker": _text(one_speaker),
        "a row twice": _text([*rows, rows[-1]]),
        "a path twice, written differently": _text(
            [*rows, [rows[-1][0].replace("/C/", "/./C/"), *rows[-1][1:]]]
        ),
        "a file that is not there": _text(_with(rows, 4, 0, "nothing.wav")),
        "a folder for a file": _text(_with(rows, 4, 0, "..")),
        "itself for a file": _text(_with(rows, 4, 0, "my.csv")),
        "a path with a NUL": _text(_with(rows, 4, 0, "a\0.wav")),
        "a path of 10,000 letters": _text(_with(rows, 4, 0, "a" * 10_000)),
        "an unknown split": _text(_rows(common, {"split": ["dev"] * 12})),
        "a split for a speaker in two parts": _text(
            _rows(common, {"split": [*["test", "train", "valid"] * 4]})
        ),
        "a fold that is a word": _text(_rows(common, {"fold": ["one"] * 12})),
        "the fold -1": _text(_rows(common, {"fold": ["-1", "2", "3"] * 4})),
        "a fold of 5,000 digits": _text(_rows(common, {"fold": ["9" * 5000] * 12})),
        "a fold in Arabic digits": _text(_rows(common, {"fold": ["٣", "²", "1"] * 4})),
        "one fold": _text(_rows(common, {"fold": ["1"] * 12})),
        "ids twice": _text(_rows(common, {"id": ["a"] * 12})),
    }
    for title, table in tables.items():
        yield _prepared(common, title, table, {USER_ERROR})
    large = _text(_rows(common, {"text": ["a" * 200_000] * 12}))
    yield _prepared(common, "a text of 200,000 letters", large, {OK, USER_ERROR})


def _odd_words(common: Common) -> Iterator[Case]:
    """One file of each speaker has the odd word for a label, speaker or id."""
    for word in _ODD_TEXTS:
        rows = _rows(common, {"id": [f"{word}{k}" for k in range(12)]})
        for line in (1, 5, 9):
            rows = _with(rows, line, 1, word)
        rows = [[c if c != "A" else word + "A" for c in row] for row in rows]
        title = f"the label, speaker and id {word[:50]!r}"
        yield _prepared(common, title, _text(rows), {OK, USER_ERROR})


def _audio(common: Common) -> Iterator[Case]:
    """Nothing is trained on what is not speech."""
    for title, spoil in _TRAINED_ON.items():

        def prepare(folder: Path, spoil=spoil) -> list:
            path = folder / "spoilt.wav"
            soundfile.write(path, spoil(speech()), RATE_HZ, "FLOAT")
            (folder / "my.csv").write_text(_text(_with(_rows(common), 5, 0, path.name)))
            return common.train(f"--csv={folder / 'my.csv'}", "--folds=all")

        yield Case(f"audio that is {title}", prepare, {USER_ERROR})


def _changed(text: str, changes: list[tuple[float, str, bool]]) -> str:
    """Insert characters, or put them in the place of others."""
    for place, letter, replaces in changes:
        k = int(place * len(text))
        text = text[:k] + letter + text[k + replaces :]
    return text
