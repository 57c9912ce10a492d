"""Where the command line writes to: links, devices, inputs, closed and full outputs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from predict_runner import columns, rows_of, run, write_three_files
from stub_recognizer import write_wave
from test_files import small_disk

TESTS = Path(__file__).parent


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_three_files(tmp_path / "in")


# ---- what is not a regular file


def test_rows_go_through_a_link_to_its_target(folder, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "rows.csv").symlink_to("disk/real.csv")
    for n_before in (0, 3):
        code, _, err = run(folder, "--out", tmp_path / "rows.csv")
        assert code == 0 and f"{n_before} already done" in err
        assert (tmp_path / "rows.csv").is_symlink()
        assert len(rows_of((tmp_path / "disk" / "real.csv").read_text())) == 3


def test_a_device_takes_rows_and_stays_a_device(folder):
    ours, terminal = os.openpty()
    try:
        path = Path(os.ttyname(terminal))
        hidden = set(path.parent.iterdir())
        assert run(folder, "--out", path)[0] == 0
        rows = rows_of(os.read(ours, 10_000).decode().replace("\r\n", "\n"))
        assert columns(rows, "label") == [("quiet",), ("loud",), ("loud",)]
        assert path.is_char_device() and set(path.parent.iterdir()) == hidden
    finally:
        os.close(terminal)
        os.close(ours)


def test_a_fifo_takes_rows_if_somebody_reads(folder, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    code, _, err = run(folder, "--out", fifo)
    assert code == 2 and "fifo is a FIFO that no program reads" in err
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run(folder, "--out", fifo)[0] == 0
        assert len(rows_of(os.read(reader, 10_000).decode())) == 3
    finally:
        os.close(reader)
    assert fifo.is_fifo()
    assert {path.name for path in tmp_path.iterdir()} == {"in", "fifo"}


# ---- outputs that are inputs


def test_an_output_that_is_an_input_by_any_name_is_refused(folder, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("path\nin/a.wav\n")
    (folder / "empty.wav").touch()  # an empty output would be begun
    (tmp_path / "link.csv").symlink_to(table)
    (tmp_path / "hard.csv").hardlink_to(table)
    before = {path: path.read_bytes() for path in [*folder.glob("*.wav"), table]}
    for given, out in (
        (table, table),
        (table, tmp_path / "in" / ".." / "table.csv"),
        (table, tmp_path / "link.csv"),
        (table, tmp_path / "hard.csv"),
        (table, folder / "a.wav"),
        (folder, folder / "empty.wav"),
        (folder, folder / "sub" / ".." / "a.wav"),
    ):
        code, _, err = run(given, "--out", out)
        assert code == 2 and "is also an input" in err
    assert {path: path.read_bytes() for path in before} == before


def test_a_file_in_place_of_the_folder_for_pictures_is_refused(folder, tmp_path):
    (tmp_path / "file").touch()
    code, out, err = run(folder, "--timeline", "--plot", tmp_path / "file")
    assert (code, out) == (2, "")
    assert "file is a file; expected a folder" in err


# ---- what the system refuses


def test_a_closed_standard_input_is_told(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    code, out, _ = run("-")
    assert code == 1
    assert "Standard input is closed" in rows_of(out)[0]["error"]


def test_a_closed_standard_output_is_told(folder):
    script = (
        "import sys; from ser_lib.predict import __main__ as predict\n"
        "from stub_recognizer import *\n"
        "from ser_lib.utils.command import run_command\n"
        "predict.load_recognizer = lambda source, device: StubRecognizer()\n"
        "sys.stdout = None\n"
        f"run_command(predict.main, arguments=['MODEL', {str(folder)!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={
            **os.environ,
            "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS / 'helpers'}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Standard output is closed" in done.stderr


def test_a_full_disk_is_told_with_the_name_of_the_output(folder, tmp_path):
    out = tmp_path / "rows.csv"
    for i in range(40):
        write_wave(folder / f"{i}.wav", (1, 0.75))
    with small_disk(4000):
        code, _, err = run(folder, "--out", out)
    assert code == 2 and f"{out}: File too large" in err
    assert run(folder, "--out", out)[0] == 0
    assert len(rows_of(out.read_text())) == 43
