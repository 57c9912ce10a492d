"""Names of files and folders: each recording gets its row, whatever it is called."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import soundfile
from hypothesis import strategies as st

from fuzz.audio import RATE_HZ, speech
from fuzz.case import FILE_FAILED, OK, USER_ERROR, Case, Common, Outcome, draw
from fuzz.rows import read_rows, sound_rows

_ODD = (
    "a b", "a\nb", "a\rb", "a\r\nb", 'a"b', "a'b", "a,b", "-a", "--out", "=1+1", "@a",
    "+a", "#a", "a;b", "a\tb", "é", "e\u0301", "怒り", "😡", "\udcff\udcfe", "a\udce9",
    "$HOME", "`a`", "{a}", "%s", "a\\b", "~", "*", "[a]", "CON", ".a", "a.", " ",
    "a" * 246, "é" * 123, "a" * 240, "\x01", "\x7f", "\u202e", "\ufeff", "\u2028",
    "\x85", "\x0b", "<a>", "!a", "&a", "null", "fold_1", "a.csv", "nan",
)  # fmt: skip
_DRAWN = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=("Cs",)),
    min_size=1,
    max_size=40,
).filter(lambda name: name not in (".", "..") and not name.startswith("._"))
_BYTES = st.binary(min_size=1, max_size=60).filter(
    lambda name: b"/" not in name and b"\0" not in name and not name.startswith(b".")
)


def cases(common: Common, n: int, seed: int) -> Iterator[Case]:
    """What is written down, then at least 20 that are drawn."""
    given = list(_special(common))
    yield from given
    for name in _ODD:
        yield _in_folder(common, name)
        if len(name.encode(errors="surrogateescape")) < 200:
            yield _as_argument(common, name)
    n_drawn = max(20, n - len(given) - 2 * len(_ODD))
    for name in draw(_DRAWN, n_drawn // 3, seed):
        yield _in_folder(common, name)
    for raw in draw(_BYTES, n_drawn // 3, seed):
        yield _in_folder(common, os.fsdecode(raw))
    for name in draw(_DRAWN, n_drawn // 3, seed + 1):
        yield _in_table(common, name)


def write_wav(path: Path) -> Path:
    """Write a recording under any name; libsndfile does not take all of them."""
    with open(path, "wb") as f:
        soundfile.write(f, speech(), RATE_HZ, format="WAV")
    return path


def _n_rows(n: int) -> Callable[[Path, Outcome], str]:
    def check(folder: Path, outcome: Outcome) -> str:
        rows = read_rows(outcome.stdout)
        if len(rows) != n:
            return f"expected {n} rows, found {len(rows)}"
        return sound_rows(folder, outcome)

    return check


def _in_folder(common: Common, name: str) -> Case:
    """A folder of that name with two files of that name below it."""

    def prepare(folder: Path) -> list:
        (folder / "in" / name).mkdir(parents=True)
        write_wav(folder / "in" / f"{name}.wav")
        write_wav(folder / "in" / name / f"{name}.wav")
        return ["ser_lib.predict", common.model, "in"]

    return Case(f"in a folder: {name!r}", prepare, {OK}, _n_rows(2))


def _as_argument(common: Common, name: str) -> Case:
    """The path of a file, and --out of that name."""

    def prepare(folder: Path) -> list:
        write_wav(folder / f"{name}.wav")
        options = ["--format=jsonl", f"--out={name}.jsonl"]
        return ["ser_lib.predict", common.model, *options, "--", f"{name}.wav"]

    def check(folder: Path, outcome: Outcome) -> str:
        lines = (folder / f"{name}.jsonl").read_bytes().count(b"\n")
        return "" if lines == 1 else f"expected one row in --out, found {lines}"

    return Case(f"as an argument: {name!r}", prepare, {OK}, check)


def _in_table(common: Common, name: str) -> Case:
    """A path in a table to train on; spaces at its ends may be lost."""

    def prepare(folder: Path) -> list:
        wav = write_wav(folder / f"{name}.wav")
        table = common.table.read_text(encoding="utf-8")
        table = table.replace("A/", f"{common.table.parent}/A/")
        table = table.replace("B/", f"{common.table.parent}/B/")
        table = table.replace("C/", f"{common.table.parent}/C/")
        cell = '"' + wav.name.replace('"', '""') + '"'
        path = folder / f"{name}.csv"
        with open(path, "w", encoding="utf-8", newline="") as f:
            f.write(f"{table}{cell},sad,A\n")
        return common.train(f"--csv={path}", "--prepare_only=True", "--folds=all")

    return Case(f"in a table: {name!r}", prepare, {OK, USER_ERROR})


def _special(common: Common) -> Iterator[Case]:
    def predict(*arguments: object) -> list:
        return ["ser_lib.predict", common.model, *arguments]

    def loop(folder: Path) -> list:
        write_wav(folder / "a.wav")
        (folder / "below").mkdir()
        (folder / "below" / "loop").symlink_to("..")
        (folder / "below" / "self").symlink_to("self")
        return predict(".")

    def linked(folder: Path) -> list:
        (folder / "there").mkdir()
        (folder / "in").mkdir()
        write_wav(folder / "there" / "a.wav")
        (folder / "in" / "link").symlink_to("../there")
        return predict("in")

    def deep(folder: Path) -> list:
        os.chdir(folder)
        for _ in range(20):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
        write_wav(Path("a.wav"))
        os.chdir(folder)
        return predict(".")

    def twice(folder: Path) -> list:
        write_wav(folder / "a.wav")
        return predict("a.wav", "./a.wav", folder / "a.wav", ".")

    yield Case("links that lead back", loop, {OK, FILE_FAILED}, sound_rows)
    yield Case("a linked folder", linked, {OK}, _n_rows(1))
    yield Case("a path of 4,000 letters", deep, {OK, FILE_FAILED}, sound_rows)
    yield Case("one file in four ways", twice, {OK}, sound_rows)
    yield Case("a name of 300 letters", lambda _: predict("a" * 300), {FILE_FAILED})
    yield Case("a path of 9,999 letters", lambda _: predict("a/" * 5000), {FILE_FAILED})
    yield Case("an empty folder", lambda _: predict("."), {FILE_FAILED})
