"""The command line and what is in a folder: odd names, links, closed folders."""

import csv
import json
import os
from pathlib import Path

import pytest
from other_user import open_folder, without_rights_of_root
from predict_runner import columns, rows_of, run
from stub_recognizer import StubRecognizer, write_wave

from ser_lib.utils.file_names import printable

ODD_NAMES = [
    b"\xff.wav",  # not UTF-8
    b"\\udcff.wav",  # what the first one looks like when it is printed
    b"carriage\rreturn.wav",
    b"line\nbreak.wav",
    b"ends\r\n.wav",
    b'quote", comma.wav',
    b"\x1b[31mred.wav",
    "größe 日本.wav".encode(),
    b" .wav",
    b"$x$.wav",
    b"-.wav",
    b"n" * 250 + b".wav",  # 254 bytes, and "é" takes two
    b"n" * 250 + b"2.wav",
    "é".encode() * 125 + b".wav",
]


@pytest.fixture
def odd(tmp_path) -> Path:
    folder = tmp_path / "odd"
    content = write_wave(folder / "a.wav", (1, 0.75)).read_bytes()
    (folder / "a.wav").unlink()
    for name in ODD_NAMES:
        (folder / os.fsdecode(name)).write_bytes(content)
    return folder


@pytest.mark.parametrize("row_format", ["csv", "json", "jsonl"])
@pytest.mark.parametrize("options", [[], ["--timeline"]])
def test_files_of_any_name_are_done_once(odd, tmp_path, row_format, options):
    out = tmp_path / "rows"
    command = [odd, *options, "--format", row_format, "--out", out]
    recognizer = StubRecognizer()
    code, _, err = run(*command, recognizer=recognizer)
    assert code == 0 and f"{len(ODD_NAMES)} done" in err
    if row_format == "csv":
        with open(out, encoding="utf-8", newline="") as f:
            rows = list(csv.DictReader(f))
    else:
        text = out.read_text(encoding="utf-8")
        rows = json.loads(text) if row_format == "json" else None
        rows = rows or [json.loads(line) for line in text.splitlines()]
    expected = {printable(str(odd / os.fsdecode(name))) for name in ODD_NAMES}
    assert {row["path"] for row in rows} == expected
    assert len(rows) == len(ODD_NAMES)
    assert {row["label"] for row in rows} == {"loud"}
    recognizer.batches.clear()
    before = out.read_bytes()
    code, _, err = run(*command, recognizer=recognizer)
    assert (code, recognizer.batches) == (0, [])
    assert f"{len(ODD_NAMES)} already done" in err
    assert out.read_bytes() == before


@pytest.mark.parametrize("file_format", ["rttm", "audacity"])
def test_files_of_any_name_get_files_of_their_own(odd, tmp_path, file_format):
    common = [odd, "--timeline", "--format", file_format]
    code, _, _ = run(*common, "--out", tmp_path / "out")
    assert code == 0
    files = [p for p in (tmp_path / "out").iterdir() if not p.name.startswith(".")]
    # One name begins with a dot, as do those of the hidden files.
    assert len(files) == len(ODD_NAMES)
    _, _, err = run(*common, "--out", tmp_path / "out")
    assert f"{len(ODD_NAMES)} already done" in err
    if file_format == "rttm":
        lines = b"".join(path.read_bytes() for path in files).decode().splitlines()
        assert [len(line.split(" ")) for line in lines] == [10] * len(ODD_NAMES)


def test_a_picture_is_drawn_whatever_the_name(tmp_path):
    content = write_wave(tmp_path / "a.wav", (1, 0.75)).read_bytes()
    names = [b"\xff.wav", b"line\nbreak.wav", b"n" * 250 + b".wav"]
    for name in names:
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / os.fsdecode(name)).write_bytes(content)
    code, _, _ = run(tmp_path / "in", "--timeline", "--plot", tmp_path / "pictures")
    assert code == 0
    pictures = list((tmp_path / "pictures").iterdir())
    assert len(pictures) == 3
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in pictures)


def test_messages_stay_on_one_line_and_cannot_act_on_the_terminal(tmp_path):
    (tmp_path / "a\n\x1b[31m.wav").write_text("no audio")
    _, out, err = run(tmp_path)
    failed = [line for line in err.splitlines() if "Failed" in line]
    assert len(failed) == 1 and r"a\n\x1b[31m.wav" in failed[0]
    assert rows_of(out)[0]["path"] == f"{tmp_path}/a\n\x1b[31m.wav"


# ---- tables


def test_a_table_may_name_files_in_other_letters_than_utf_8(odd, tmp_path):
    (tmp_path / "table.csv").write_bytes(b"path\nodd/\xff.wav\n")
    code, out, _ = run(tmp_path / "table.csv")
    assert code == 0
    assert columns(rows_of(out), "path", "label") == [(f"{odd}/\\udcff.wav", "loud")]


def test_what_is_wrong_in_a_table_is_told_by_rows(tmp_path):
    write_wave(tmp_path / "a.wav", (1, 0.75))
    (tmp_path / "folder").mkdir()
    names = ["a.wav", "nul\0.wav", "n" * 300, "folder", "a.wav/b.wav"]
    (tmp_path / "table.csv").write_text("path\n" + "\n".join(names) + "\n")
    out_file = tmp_path / "rows.csv"
    for _ in range(2):
        code, _, err = run(tmp_path / "table.csv", "--out", out_file)
        assert (code, "4 failed" in err) == (1, True)
        rows = rows_of(out_file.read_text())
        assert [row["path"] for row in rows] == [f"{tmp_path}/{name}" for name in names]
        assert [row["label"] for row in rows] == ["loud", "", "", "", ""]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path\na.wav\n".encode("utf-16"), "expected a column path"),
        (b'path\n"' + b"x" * 140_000, "field larger than field limit"),
    ],
)
def test_a_table_that_is_none_is_an_error_that_names_it(tmp_path, content, message):
    (tmp_path / "table.csv").write_bytes(content)
    code, out, _ = run(tmp_path / "table.csv")
    (row,) = rows_of(out)
    assert code == 1
    assert f"{tmp_path}/table.csv" in row["error"] and message in row["error"]


def test_a_table_that_is_a_fifo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "table.csv")
    code, out, _ = run(tmp_path / "table.csv")
    assert code == 1
    assert "table.csv is a device or FIFO" in rows_of(out)[0]["error"]


# ---- folders


def test_folders_that_cannot_be_read_are_named_and_counted_and_the_rest_goes_on():
    with open_folder() as folder:
        for name in ("a.wav", "closed/b.wav", "z.wav"):
            write_wave(folder / name, (1, 0.75))
        (folder / "closed").chmod(0)
        with without_rights_of_root():
            code, out, err = run(folder)
            only = run(folder / "closed")
        assert code == 1 and "2 done, 1 failed" in err
        rows = rows_of(out)
        names = [f"{folder}/{name}" for name in ("a.wav", "closed", "z.wav")]
        assert [row["path"] for row in rows] == names
        message = f"The folder {folder}/closed cannot be read: Permission denied."
        assert rows[1]["error"] == message and f"Failed: {message}" in err
        assert only[0] == 1
        assert columns(rows_of(only[1]), "path", "error") == [(names[1], message)]


def test_linked_folders_are_read_and_links_in_a_circle_end(tmp_path):
    write_wave(tmp_path / "in" / "a.wav", (1, 0.75))
    write_wave(tmp_path / "other" / "b.wav", (1, 0.25))
    (tmp_path / "in" / "link").symlink_to("../other")
    (tmp_path / "other" / "back").symlink_to("../in")
    code, out, _ = run(tmp_path / "in")
    assert code == 0
    names = [f"{tmp_path}/in/{name}" for name in ("a.wav", "link/b.wav")]
    assert columns(rows_of(out), "path", "label") == [
        (names[0], "loud"),
        (names[1], "quiet"),
    ]
