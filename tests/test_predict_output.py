"""The output of the command line: going on after a kill, timelines, pictures."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from predict_runner import columns, rows_of, run, write_three_files
from stub_recognizer import RATE_HZ, StubRecognizer, square_wave, write_wave

TESTS = Path(__file__).parent


@pytest.fixture
def folder(tmp_path):
    """Three files of different lengths; "b" has a folder of its own."""
    return write_three_files(tmp_path / "in")


# ---- going on


def test_what_is_written_is_not_done_again_but_errors_are(folder, tmp_path):
    recognizer = StubRecognizer()
    (folder / "m.wav").write_text("no audio yet")
    out_file = tmp_path / "rows.csv"
    code, _, _ = run(folder, "--out", out_file, recognizer=recognizer)
    assert code == 1
    before = [row for row in rows_of(out_file.read_text()) if not row["error"]]
    recognizer.batches.clear()
    write_wave(folder / "m.wav", (1.5, 0.75))
    code, _, err = run(folder, "--out", out_file, recognizer=recognizer)
    assert code == 0
    assert recognizer.batches == [(1, 1500)]
    assert "1 done, 0 failed, 3 already done." in err
    after = rows_of(out_file.read_text())
    assert after[:3] == before
    assert columns(after[3:], "path", "label") == [(f"{folder}/m.wav", "loud")]
    recognizer.batches.clear()
    text = out_file.read_text()
    assert run(folder, "--out", out_file, recognizer=recognizer)[0] == 0
    assert recognizer.batches == []
    assert out_file.read_text() == text


@pytest.mark.parametrize("row_format", ["csv", "json", "jsonl"])
@pytest.mark.parametrize("options", [[], ["--timeline"]])
def test_wherever_the_output_is_cut_the_next_start_completes_it(
    tmp_path, row_format, options
):
    write_wave(tmp_path / "in" / "a,ä.wav", (8, 0.25), (8, 0.75))
    write_wave(tmp_path / "in" / 'b".wav', (9, 0.25), (9, 0.75))
    out_file = tmp_path / "rows"
    command = [tmp_path / "in", *options, "--format", row_format, "--out", out_file]
    assert run(*command)[0] == 0
    whole = out_file.read_bytes()
    n_rows = 4 if options else 2
    assert whole.count(b"loud") >= n_rows // 2
    within_a_letter = whole.rindex("ä".encode()) + 1
    for n_bytes in [*range(0, len(whole), 17), within_a_letter, len(whole) - 1]:
        out_file.write_bytes(whole[:n_bytes])
        assert run(*command)[0] == 0
        assert out_file.read_bytes() == whole


def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(folder, tmp_path):
    # A recording of 90 s makes six batches, so the second one is killed within.
    for i in range(3):
        write_wave(folder / f"{i}.wav", (20 + i, 0.75), (70, 0.25))
    out_file, reference = tmp_path / "rows.jsonl", tmp_path / "reference.jsonl"
    options = [folder, "--timeline", "--format", "jsonl", "--out"]
    done = subprocess.run(
        [
            sys.executable,
            TESTS / "helpers" / "killed_predict.py",
            "8",
            "MODEL",
            *options,
            out_file,
        ],
        env={
            **os.environ,
            "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS / 'helpers'}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    *kept, half = out_file.read_text().splitlines(keepends=True)
    assert kept and half == '{"path": "half a'
    code, _, err = run(*options, out_file)
    assert code == 0
    assert "5 done, 0 failed, 1 already done." in err
    assert run(*options, reference)[0] == 0
    assert out_file.read_text() == reference.read_text()
    assert out_file.read_text().startswith("".join(kept))


def test_rows_of_another_model_or_command_are_not_mixed(folder, tmp_path):
    out_file = tmp_path / "rows.csv"
    assert run(folder, "--out", out_file)[0] == 0
    text = out_file.read_text()
    code, _, err = run(folder, "--timeline", "--out", out_file)
    assert code == 2
    assert "was started with another" in err and "timeline" in err
    other = StubRecognizer(checksum="1")
    code, _, err = run(folder, "--out", out_file, recognizer=other)
    assert code == 2
    assert "was started with another model. Choose another --out" in err
    assert out_file.read_text() == text


def test_a_file_of_the_user_is_not_overwritten(folder, tmp_path):
    (tmp_path / "mine.csv").write_text("my,own\n")
    code, _, err = run(folder, "--out", tmp_path / "mine.csv")
    assert code == 2
    assert "exists and was not written by this command" in err
    assert (tmp_path / "mine.csv").read_text() == "my,own\n"


def test_standard_input_is_done_again(tmp_path, monkeypatch):
    out_file = tmp_path / "rows.csv"
    for amplitude, label in [(0.75, "loud"), (0.25, "quiet")]:
        wav = io.BytesIO()
        soundfile.write(wav, square_wave((1, amplitude)), RATE_HZ, format="WAV")
        wav.seek(0)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(wav))
        assert run("-", "--out", out_file)[0] == 0
        rows = rows_of(out_file.read_text())
        assert columns(rows, "path", "label") == [("-", label)]


# ---- timelines


@pytest.fixture
def call(tmp_path):
    return write_wave(tmp_path / "calls" / "day 1" / "a.wav", (2, 0.25), (2, 0.75))


def test_a_timeline_has_a_row_for_each_segment(call):
    code, out, _ = run(call, "--timeline", "--window_s", 1, "--hop_s", 1)
    assert code == 0
    assert out.splitlines() == [
        "path,segment,n_segments,start_s,end_s,label,score,error",
        f"{call},1,2,0.0,2.0,quiet,0.75,",
        f"{call},2,2,2.0,4.0,loud,0.75,",
    ]


def test_options_of_timelines_arrive(tmp_path):
    path = write_wave(tmp_path / "a.wav", (3, 0.8), (1, 0.2), (2, 0.8), (2, 0.01))
    common = [path, "--timeline", "--window_s", 1, "--hop_s", 1]
    _, out, _ = run(*common)
    spans = columns(rows_of(out), "start_s", "end_s")
    assert spans == [("0.0", "3.0"), ("3.0", "4.0"), ("4.0", "6.0"), ("6.0", "8.0")]
    _, out, _ = run(*common, "--skip_silence_dbfs", "-30", "--min_segment_s", 2)
    assert columns(rows_of(out), "start_s", "end_s") == [("0.0", "6.0")]


@pytest.mark.parametrize("option", ["--unknown_below", "--target_accuracy"])
def test_a_timeline_is_unknown_where_it_is_not_sure(tmp_path, option):
    path = write_wave(tmp_path / "a.wav", (2, 0.25), (2, 0.625), (2, 0.75))
    recognizer = StubRecognizer()
    member = {"temperature": 1.0, "accuracies_above": [0.5] * 70 + [0.7] * 6}
    recognizer.model_info["members"]["fold_1"] = member
    command = [path, "--timeline", "--window_s", 1, option, 0.7]
    code, out, _ = run(*command, recognizer=recognizer)
    assert code == 0
    assert columns(rows_of(out), "start_s", "label", "score") == [
        ("0.0", "quiet", "0.75"),
        ("2.0", "unknown", "0.625"),
        ("4.0", "loud", "0.75"),
    ]


@pytest.mark.parametrize(
    ("file_format", "name", "text"),
    [
        ("rttm", "day 1/a.wav.rttm", "SPEAKER a 1 0.000 2.000 <NA> <NA> quiet 0.75"),
        ("audacity", "day 1/a.wav.txt", "0.000\t2.000\tquiet\n"),
    ],
)
def test_a_folder_of_recordings_becomes_a_folder_of_files(
    call, tmp_path, file_format, name, text
):
    recognizer = StubRecognizer()
    command = [call.parents[1], "--timeline", "--window_s", 1, "--format", file_format]
    code, out, _ = run(*command, recognizer=recognizer)
    assert code == 0 and out.startswith(text)
    code, _, _ = run(*command, "--out", tmp_path / "out", recognizer=recognizer)
    assert code == 0
    assert (tmp_path / "out" / name).read_text() == out
    recognizer.batches.clear()
    _, _, err = run(*command, "--out", tmp_path / "out", recognizer=recognizer)
    assert recognizer.batches == [] and "1 already done" in err


def test_a_picture_is_drawn_for_each_recording(call, tmp_path):
    code, _, _ = run(call, "--timeline", "--plot", tmp_path / "pictures")
    assert code == 0
    picture = tmp_path / "pictures" / "a.wav.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in picture.parent.iterdir()] == ["a.wav.png"]
