"""The command line with speakers: by channel, by turn, summaries, resuming."""

import csv

import numpy as np
import pytest
import soundfile
from predict_runner import columns, rows_of, run
from stub_recognizer import RATE_HZ, square_wave, write_wave

LENGTHS = "--timeline", "--window_s", 1, "--hop_s", 1
TURNS = "start_s,end_s,speaker\n0,2,Ann\n2,2.05,Ann\n2,4,Bob\n"
RTTM = "SPEAKER {} 1 0 2 <NA> <NA> {} <NA> <NA>\n"


@pytest.fixture
def call(tmp_path):
    """Left: 2 s quiet, then silence; right: silence, then 2 s loud."""
    (tmp_path / "in").mkdir()
    waves = square_wave((2, 0.25), (2, 0)), square_wave((2, 0), (2, 0.75))
    path = tmp_path / "in" / "my call.wav"
    soundfile.write(path, np.stack(waves, axis=1), RATE_HZ)
    return path


@pytest.fixture
def turns(tmp_path):
    (tmp_path / "turns.csv").write_text(TURNS)
    return tmp_path / "turns.csv"


def test_channels_are_rows_with_their_names_and_a_line_for_each(call):
    options = "--channels", "separate", "--channel_names", "agent", "customer"
    code, out, err = run(*LENGTHS, *options, call)
    assert code == 0
    found = columns(rows_of(out), "segment", "n_segments", "speaker", "label")
    assert found == [("1", "2", "agent", "quiet"), ("2", "2", "customer", "loud")]
    assert "my call.wav: agent: 2.0 s in 1 segment: quiet 100 %" in err


def test_turns_are_rows_with_probabilities_or_an_error(call, turns):
    code, out, err = run(*LENGTHS, "--turns", turns, call)
    assert code == 0 and "Ann: 2.0 s in 1 segment: quiet 100 % (1 failed)" in err
    first, short, last = rows_of(out)
    # The channels are averaged: 0.25 and 0.75 become half of that.
    assert float(first["p_loud"]) == pytest.approx(0.125, abs=1e-4)
    assert first["label"] == "quiet" and last["speaker"] == "Bob"
    assert short["label"] == "" and "50 ms" in short["error"]


@pytest.mark.parametrize("row_format", ["csv", "json", "jsonl"])
def test_turns_resume_also_those_with_an_error(call, turns, tmp_path, row_format):
    command = *LENGTHS, "--turns", turns, "--format", row_format, call
    command = *command, "--out", tmp_path / "rows"
    assert run(*command)[0] == 0
    before = (tmp_path / "rows").read_text()
    code, _, err = run(*command)
    assert code == 0 and "1 already done" in err
    assert (tmp_path / "rows").read_text() == before
    turns.write_text(TURNS.replace("Bob", "Eve"))
    code, _, err = run(*command)
    assert code == 2 and "another turns" in err


def test_summaries_and_pictures_are_written_for_each_recording(call, turns, tmp_path):
    options = "--summary", tmp_path / "a b", "--plot", tmp_path / "a b"
    assert run(*LENGTHS, "--turns", turns, *options, call)[0] == 0
    names = sorted(path.name for path in (tmp_path / "a b").iterdir())
    assert names == ["my call.wav.png", "my call.wav.speakers.csv"]
    with open(tmp_path / "a b" / "my call.wav.speakers.csv", newline="") as f:
        ann, bob = csv.DictReader(f)
    assert (ann["speaker"], ann["share_quiet"], ann["failed"]) == ("Ann", "1.0", "1")
    assert float(bob["p_loud"]) == pytest.approx(0.375, abs=1e-4)


@pytest.mark.parametrize(
    ("file_format", "suffix"), [("textgrid", ".TextGrid"), ("webvtt", ".vtt")]
)
def test_files_are_written_for_each_recording_and_resumed(
    call, tmp_path, file_format, suffix
):
    write_wave(call.with_name("b.wav"), (1, 0.25))
    command = *LENGTHS, "--format", file_format, call.parent
    code, _, err = run(*command)
    assert code == 2 and "--out FOLDER" in err
    for n_done in (0, 2):
        code, _, err = run(*command, "--out", tmp_path / "out")
        assert code == 0 and f"{n_done} already done" in err
    names = {p.name for p in (tmp_path / "out").iterdir() if p.name[0] != "."}
    assert names == {f"my call.wav{suffix}", f"b.wav{suffix}"}


def test_an_rttm_file_gives_each_recording_its_turns(call, tmp_path):
    write_wave(call.with_name("b.wav"), (2, 0.75))
    rttm = tmp_path / "all.rttm"
    rttm.write_text(RTTM.format("my_call", "Ann") + RTTM.format("b", "Bob"))
    code, out, _ = run(*LENGTHS, "--turns", rttm, call.parent)
    assert code == 0
    assert columns(rows_of(out), "speaker", "label") == [
        ("Bob", "loud"),
        ("Ann", "quiet"),
    ]
    rttm.write_text(RTTM.format("b", "Bob"))
    code, _, err = run(*LENGTHS, "--turns", rttm, call.parent)
    assert code == 2 and "1 recordings (b)" in err and "my call" in err


def test_turns_beyond_the_end_fail_the_recording(call, turns):
    turns.write_text(TURNS.replace("2,4,Bob", "2,9,Bob"))
    code, out, _ = run(*LENGTHS, "--turns", turns, call)
    assert code == 1 and "beyond the end" in rows_of(out)[0]["error"]


def test_a_mono_recording_fails_with_the_reason(tmp_path):
    path = write_wave(tmp_path / "a.wav", (2, 0.25))
    code, out, _ = run(*LENGTHS, "--channels", "separate", path)
    assert code == 1 and "has one channel" in rows_of(out)[0]["error"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--turns", "a.csv"), "--turns needs --timeline"),
        (("--vad", "silero"), "--vad needs --timeline"),
        (("--channels", "separate"), "--channels needs --timeline"),
        (("--timeline", "--vad", "other"), "invalid choice: 'other'"),
        (("--timeline", "--channels", "separate", "--turns", "a.csv"), "not allowed"),
        (("--timeline", "--vad", "silero", "--turns", "a.csv"), "--vad cannot"),
        (("--timeline", "--min_segment_s", 1, "--turns", "a.csv"), "--min_segment_s"),
        (("--timeline", "--channel_names", "a", "b"), "needs --channels separate"),
        (("--timeline", "--summary", "x"), "--summary needs"),
        (("--timeline", "--turns", "none.csv"), "none.csv: No such file"),
        (("--timeline", "--turns", "none.txt"), "expected turns as .rttm"),
    ],
)
def test_options_that_do_not_go_together_are_refused(call, options, message):
    code, _, err = run(call, *options)
    assert code == 2 and message in err


def test_the_turns_of_one_recording_are_refused_for_two(call, turns):
    write_wave(call.with_name("b.wav"), (1, 0.25))
    code, _, err = run(*LENGTHS, "--turns", turns, call.parent)
    assert code == 2 and "is of one recording, and 2 are given" in err


def test_recordings_of_the_same_name_are_refused_with_turns(call, tmp_path):
    other = write_wave(tmp_path / "in" / "sub" / "my call.flac", (2, 0.25))
    (tmp_path / "all.rttm").write_text(RTTM.format("my_call", "Ann"))
    code, _, err = run(*LENGTHS, "--turns", tmp_path / "all.rttm", call, other)
    assert code == 2 and "have the same name" in err


def test_a_summary_does_not_overwrite_an_input(call, turns, tmp_path):
    target = tmp_path / "sums" / "my call.wav.speakers.csv"
    target.parent.mkdir()
    target.write_text(TURNS)
    options = "--turns", target, "--summary", target.parent
    code, _, err = run(*LENGTHS, *options, call)
    assert code == 2 and "also an input" in err
    assert target.read_text() == TURNS


def test_without_the_vad_one_line_says_what_to_install(call, monkeypatch):
    monkeypatch.setattr("ser_lib.utils.packages.find_spec", lambda name: None)
    code, _, err = run(*LENGTHS, "--vad", "silero", call)
    assert code == 2 and "silero_vad: python -m pip install silero-vad==" in err
