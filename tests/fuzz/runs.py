"""Runs whose files were lost, cut off, edited or mixed: report, export and folds."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from hypothesis import strategies as st

from fuzz.case import OK, USER_ERROR, Case, Common, draw

REPORT, EXPORT, FOLDS = "ser_lib.evaluation.report", "ser_lib.export", "ser_lib.folds"
FORBIDDEN = 1  # ser_lib.folds says so if the folds break the protocol
_FILES = (
    "fold_1/fold.json", "fold_1/history.csv", "fold_1/predictions.csv",
    "fold_1/train.csv", "fold_1/test.csv", "corpus.yaml", "hyperparams.yaml",
    "report/report.json", "report/results.csv",
)  # fmt: skip
_CONTENTS = {
    "no byte": b"",
    "a newline": b"\n",
    "random bytes": bytes(range(256)),
    "NULs": bytes(1000),
    "UTF-16": "a,b\n1,2\n".encode("utf-16"),
    "an empty object": b"{}",
    "a list": b"[1, 2]",
    "a number": b"7",
    "null": b"null",
    "a header alone": b"id,speaker,label\n",
    "other columns": b"a,b\n1,2\n",
    "deep lists": b"[" * 100_000,
}
_REFUSED_AT_LEAST = {
    REPORT: {"report/report.json"},
    EXPORT: {"hyperparams.yaml"},
    FOLDS: {"fold_1/train.csv", "fold_1/test.csv"},
}
_PLACES = st.tuples(
    st.sampled_from(_FILES),
    st.floats(0, 1),
    st.sampled_from(["", "x", "-1", "NaN", '"', "{", "\n", ",", "\0", "9" * 400, "é"]),
    st.integers(0, 30),
    st.sampled_from([REPORT, EXPORT, FOLDS]),
)


def cases(common: Common, n: int, seed: int) -> Iterator[Case]:
    """What is written down, then at least 20 that are drawn."""
    given = [*_lost(common), *_folders(common), *_exports(common)]
    yield from given
    spoilt = st.tuples(
        st.sampled_from(_FILES),
        st.sampled_from(sorted(_CONTENTS)),
        st.sampled_from([REPORT, EXPORT, FOLDS]),
    )
    n_drawn = max(20, n - len(given))
    for name, content, command in draw(spoilt, n_drawn // 2, seed):
        title = f"{command}, {name}: {content}"
        write = _writer(name, _CONTENTS[content])
        yield _case(common, title, command, write, _codes(command, name))
    for place in draw(_PLACES, n_drawn - n_drawn // 2, seed):
        name, _, text, n_replaced, command = place
        title = f"{command}, {name} with {text!r} for {n_replaced} bytes at {place[1]}"
        yield _case(common, title, command, _editor(*place[:4]), _any(command))


def _codes(command: str, spoilt: str) -> set[int]:
    must_refuse = spoilt in _REFUSED_AT_LEAST[command]
    return {USER_ERROR} if must_refuse else _any(command)


def _any(command: str) -> set[int]:
    return {OK, FORBIDDEN, USER_ERROR} if command == FOLDS else {OK, USER_ERROR}


def _case(
    common: Common,
    title: str,
    command: str,
    spoil: Callable[[Path], None],
    codes: set[int],
    *options: str,
) -> Case:
    """Change a copy of the finished run, then report on it, export or audit it."""

    def prepare(folder: Path) -> list:
        shutil.copytree(common.run.parents[1], folder / "results")
        run = folder / "results" / common.run.relative_to(common.run.parents[1])
        spoil(run)
        out = [folder / "out"] if command == EXPORT and "out" not in options else []
        return [command, run, *out, *[o for o in options if o != "out"]]

    return Case(title, prepare, codes)


def _writer(name: str, content: bytes) -> Callable[[Path], None]:
    def spoil(run: Path) -> None:
        (run / name).write_bytes(content)

    return spoil


def _editor(name: str, place: float, text: str, n: int) -> Callable[[Path], None]:
    def spoil(run: Path) -> None:
        data = (run / name).read_bytes()
        k = int(place * len(data))
        (run / name).write_bytes(data[:k] + text.encode() + data[k + n :])

    return spoil


def _lost(common: Common) -> Iterator[Case]:
    """Files and folders that are gone."""
    for command in (REPORT, EXPORT, FOLDS):
        yield _case(common, f"{command} of a sound run", command, lambda _: None, {OK})
        for name in _FILES:

            def remove(run: Path, name: str = name) -> None:
                (run / name).unlink()

            title = f"{command} without {name}"
            yield _case(common, title, command, remove, _codes(command, name))
        yield Case(
            f"{command} of an empty folder",
            lambda folder, command=command: [command, ".", *_out(command)],
            {USER_ERROR},
        )
        yield Case(
            f"{command} of nothing",
            lambda folder, command=command: [command, "nothing", *_out(command)],
            {USER_ERROR},
        )
        yield Case(
            f"{command} of a file",
            lambda folder, command=command: [command, common.wav, *_out(command)],
            {USER_ERROR},
        )
        yield Case(
            f"{command} of a model folder",
            lambda folder, command=command: [command, common.model, *_out(command)],
            {USER_ERROR},
        )


def _out(command: str) -> list[str]:
    return ["out"] if command == EXPORT else []


def _copier(name: str) -> Callable[[Path], None]:
    return lambda run: shutil.copytree(run / "fold_1", run / name)


def _folders(common: Common) -> Iterator[Case]:
    """Folders beside those of the run."""

    names = (
        "fold_3 copy",
        "fold_9",
        "fold_0",
        "fold_one",
        "fold_" + "9" * 200,
        "fold_²",
    )
    makers = {f"a copy of fold 1 named {name[:20]!r}": _copier(name) for name in names}
    makers |= {
        "a file for fold 7": lambda run: (run / "fold_7").touch(),
        "an empty fold 7": lambda run: (run / "fold_7").mkdir(),
        "a link to itself for fold 7": lambda run: (run / "fold_7").symlink_to(
            "fold_7"
        ),
    }
    for command in (REPORT, EXPORT, FOLDS):
        for title, make in makers.items():
            yield _case(common, f"{command}: {title}", command, make, _any(command))

    def changed(run: Path) -> None:
        path = run / "fold_1" / "fold.json"
        fold_info = json.loads(path.read_text())
        path.write_text(json.dumps({**fold_info, "settings_key": "another"}))

    yield _case(common, "a fold of other settings", REPORT, changed, {OK, USER_ERROR})
    ensemble = "--ensemble"
    yield _case(
        common, "an ensemble of two runs", EXPORT, changed, {OK, USER_ERROR}, ensemble
    )


def _exports(common: Common) -> Iterator[Case]:
    """Where an export goes to, and what of."""

    def export(title: str, codes: set[int], *options: str) -> Case:
        return _case(common, title, EXPORT, lambda _: None, codes, "out", *options)

    yield export("an export to .", {USER_ERROR}, ".")
    yield export("an export to nothing", {USER_ERROR}, "")
    yield export("an export to /", {USER_ERROR}, "/")
    yield export("an export to ..", {USER_ERROR}, "..")
    yield export("an export to the run", {USER_ERROR}, "results")
    yield export("an export into /proc", {USER_ERROR}, "/proc/nothing/x")
    yield export("an export to a long name", {USER_ERROR}, "a" * 300)
    for fold in ("0", "-1", "99", "x", "1.5", "9" * 400, ""):
        yield export(f"the fold {fold[:9]!r}", {USER_ERROR}, "new", f"--fold={fold}")
    both = ("--fold=1", "--ensemble")
    yield export("a fold and an ensemble", {USER_ERROR}, "new", *both)
    yield export("an ensemble", {OK}, "new", "--ensemble")
    yield Case("an export over notes", *_over_notes(common))


def _over_notes(common: Common) -> tuple:
    """Export again into a folder where its user has put files of their own."""

    def prepare(folder: Path) -> list:
        shutil.copytree(common.model, folder / "out")
        (folder / "out" / "my_notes.txt").write_text("mine")
        (folder / "out" / ".git").mkdir()
        (folder / "out" / ".git" / "HEAD").write_text("mine")
        return [EXPORT, common.run, folder / "out"]

    def check(folder: Path, outcome) -> str:
        mine = [folder / "out" / name for name in ("my_notes.txt", ".git/HEAD")]
        lost = [path.name for path in mine if not path.is_file()]
        return f"files of the user are gone: {lost}" if lost else ""

    return prepare, {OK, USER_ERROR}, check
