"""What is done again and what is kept: changed recordings, two runs, NaN."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from predict_runner import rows_of, run, write_three_files
from stub_recognizer import StubRecognizer, write_wave

TESTS = Path(__file__).parent


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_three_files(tmp_path / "in")


def set_time(path: Path, seconds: float) -> None:
    os.utime(path, (seconds, seconds))


# ---- recordings that were changed


@pytest.mark.parametrize("row_format", ["csv", "json", "jsonl"])
@pytest.mark.parametrize("options", [[], ["--timeline"]])
def test_rows_of_a_recording_that_was_changed_are_done_again(
    folder, tmp_path, row_format, options
):
    out, recognizer = tmp_path / "rows", StubRecognizer()
    command = [folder, *options, "--format", row_format, "--out", out]
    assert run(*command)[0] == 0
    for changed_is in ("longer", "newer"):
        path = folder / "a.wav"
        before = path.stat().st_mtime
        duration_s = 2 if changed_is == "longer" else 1
        write_wave(path, (duration_s, 0.875))
        set_time(path, before if changed_is == "longer" else before + 10)
        recognizer.batches.clear()
        code, _, err = run(*command, recognizer=recognizer)
        assert code == 0
        assert "1 done, 0 failed, 2 already done." in err
        assert len(recognizer.batches) == 1
        text = out.read_text()
        assert text.count("a.wav") == 1
        assert "loud" in text.split("a.wav")[1]
    _, _, err = run(*command)
    assert "0 done, 0 failed, 3 already done." in err


@pytest.mark.parametrize("file_format", ["rttm", "audacity"])
def test_files_of_a_recording_that_was_changed_are_done_again(
    folder, tmp_path, file_format
):
    out = tmp_path / "out"
    command = [folder, "--timeline", "--format", file_format, "--out", out]
    assert run(*command)[0] == 0
    written = next(path for path in out.iterdir() if path.name.startswith("a.wav"))
    assert "quiet" in written.read_text()
    write_wave(folder / "a.wav", (1, 0.875))
    set_time(folder / "a.wav", 1e9)
    _, _, err = run(*command)
    assert "1 done, 0 failed, 2 already done." in err
    assert "loud" in written.read_text()


def test_rows_stay_when_the_recording_is_gone_or_not_asked_for(folder, tmp_path):
    out = tmp_path / "rows.csv"
    (tmp_path / "table.csv").write_text("path\nin/a.wav\nin/z.wav\n")
    assert run(tmp_path / "table.csv", "--out", out)[0] == 0
    text = out.read_text()
    (folder / "a.wav").unlink()
    code, _, err = run(tmp_path / "table.csv", "--out", out)
    assert code == 0 and "2 already done" in err
    assert run(folder / "z.wav", "--out", out)[0] == 0
    assert out.read_text() == text


def test_an_output_of_an_earlier_version_is_kept_and_that_is_said(folder, tmp_path):
    out = tmp_path / "rows.csv"
    assert run(folder, "--out", out)[0] == 0
    (tmp_path / ".rows.csv.files.jsonl").unlink()  # earlier versions wrote none
    text = out.read_text()
    code, _, err = run(folder, "--out", out)
    assert code == 0 and out.read_text() == text
    assert "rows.csv is from a version that did not record changes" in err
    assert "3 already done" in err
    set_time(folder / "a.wav", 1e9)
    _, _, err = run(folder, "--out", out)
    assert "1 done, 0 failed, 2 already done" in err and "version" not in err


def test_wherever_the_notes_are_cut_no_row_is_trusted_without_them(folder, tmp_path):
    out, notes = tmp_path / "rows.csv", tmp_path / ".rows.csv.files.jsonl"
    assert run(folder, "--out", out)[0] == 0
    whole, rows = notes.read_bytes(), sorted(rows_of(out.read_text()), key=str)
    for n_bytes in range(0, len(whole), 13):
        notes.write_bytes(whole[:n_bytes])
        n_noted = whole[:n_bytes].count(b"]")  # a line is whole without its end
        _, _, err = run(folder, "--out", out)
        assert f"{3 - n_noted} done, 0 failed, {n_noted} already done" in err
        assert sorted(rows_of(out.read_text()), key=str) == rows


def test_an_output_that_another_program_changed_is_refused_and_kept(folder, tmp_path):
    out = tmp_path / "rows.csv"
    assert run(folder, "--out", out)[0] == 0
    lines = out.read_text().splitlines()
    mine = "\n".join(f"{line},my note" for line in lines) + "\n"
    out.write_text(mine)
    code, _, err = run(folder, "--out", out)
    assert code == 2
    assert "was changed by another program: its columns are ['path'" in err
    assert out.read_text() == mine


def test_settings_that_are_damaged_are_refused(folder, tmp_path):
    out = tmp_path / "rows.csv"
    assert run(folder, "--out", out)[0] == 0
    for text in ("", "[]", "{"):
        (tmp_path / ".rows.csv.settings.json").write_text(text)
        code, _, err = run(folder, "--out", out)
        assert code == 2 and ".rows.csv.settings.json is damaged" in err


# ---- two runs


@pytest.mark.parametrize("by_link", [False, True])
def test_two_runs_with_one_output_take_turns_and_lose_nothing(
    folder, tmp_path, by_link
):
    out = tmp_path / "rows.csv"
    (tmp_path / "link.csv").symlink_to(out)
    start = {
        "env": {
            **os.environ,
            "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS / 'helpers'}",
        },
        "stdin": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }
    command = [
        sys.executable,
        TESTS / "helpers" / "waiting_predict.py",
        "MODEL",
        folder,
    ]
    second_out = tmp_path / "link.csv" if by_link else out
    with subprocess.Popen([*command, "--out", out], **start) as first:
        read_until(first, "at work")
        with subprocess.Popen([*command, "--out", second_out], **start) as second:
            try:
                read_until(second, "waiting for it")
                _, err = first.communicate("\n" * 3)
                assert "3 done, 0 failed" in err
                _, err = second.communicate("\n" * 3)
                assert "0 done, 0 failed, 3 already done" in err
            finally:
                first.kill()
                second.kill()
    assert (first.returncode, second.returncode) == (0, 0)
    assert len(rows_of(out.read_text())) == 3


def read_until(process: subprocess.Popen, text: str) -> None:
    line = process.stderr.readline()
    while line and text not in line and "at work" not in line:
        line = process.stderr.readline()
    assert text in line


def test_an_output_is_free_again_after_a_run_that_was_refused(folder, tmp_path):
    out = tmp_path / "rows.csv"
    assert run(folder, "--out", out)[0] == 0
    assert run(folder, "--out", out, "--timeline")[0] == 2
    code, _, err = run(folder, "--out", out)  # would wait for ever
    assert code == 0 and "Another run" not in err


# ---- numbers that are none


class BrokenRecognizer(StubRecognizer):
    """Gives NaN for what is loud, as a model with a damaged weight may."""

    def answer_batch(self, *batch):
        out_prob = super().answer_batch(*batch)
        out_prob[out_prob.argmax(dim=1) == 1] = torch.nan
        return out_prob


@pytest.mark.parametrize("row_format", ["csv", "json", "jsonl"])
@pytest.mark.parametrize("options", [[], ["--timeline"]])
def test_what_is_not_a_number_is_an_error_and_never_written(
    folder, row_format, options
):
    command = [folder, *options, "--format", row_format]
    code, out, err = run(*command, recognizer=BrokenRecognizer())
    assert code == 1 and "1 done, 2 failed" in err
    if row_format == "csv":
        rows = rows_of(out)
    else:
        lines = [line.rstrip(",") for line in out.splitlines() if "{" in line]
        rows = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    a, b, z = rows
    assert (a["label"], a["error"] or "") == ("quiet", "")
    for row, name in ((b, "b.flac"), (z, "z.wav")):
        assert not row["label"] and not row["score"]
        assert name in row["error"] and "not finite (NaN or infinity)" in row["error"]


@pytest.mark.parametrize("row_format", ["csv", "jsonl"])
def test_nan_of_an_earlier_version_is_done_again(folder, tmp_path, row_format):
    out = tmp_path / "rows"
    command = [folder, "--format", row_format, "--out", out]
    assert run(*command)[0] == 0
    nan = "NaN" if row_format == "jsonl" else "nan"
    out.write_text(out.read_text().replace("0.875", nan))
    _, _, err = run(*command)
    assert "1 done, 0 failed, 2 already done" in err
    assert f"{nan}," not in out.read_text()
