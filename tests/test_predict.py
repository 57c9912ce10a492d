"""The command line: rows, errors by name, exit codes, and going on after a kill."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from model_folders import write_folder
from stub_recognizer import RATE_HZ, StubRecognizer, square_wave, write_wave

from ser_lib import predict, predict_results
from ser_lib.inference import EmotionRecognizer

TESTS = Path(__file__).parent


@pytest.fixture
def recognizer(monkeypatch):
    stub = StubRecognizer()
    monkeypatch.setattr(predict, "load_recognizer", lambda source, device: stub)
    return stub


@pytest.fixture
def run(recognizer, capsys):
    """Give a function that runs a command: exit code, text of stdout and stderr."""

    def run(*arguments):
        try:
            code = predict.main(["MODEL", *map(str, arguments)])
        except SystemExit as wrong_usage:
            code = wrong_usage.code
        return code, *capsys.readouterr()

    return run


def rows_of(text: str) -> list[dict]:
    return list(csv.DictReader(io.StringIO(text)))


def columns(rows, *names):
    return [tuple(row[name] for name in names) for row in rows]


@pytest.fixture
def folder(tmp_path):
    """Three files of different lengths; "b" has a folder of its own."""
    write_wave(tmp_path / "in" / "a.wav", (1, 0.25))
    write_wave(tmp_path / "in" / "sub" / "b.flac", (3, 0.75))
    write_wave(tmp_path / "in" / "z.wav", (2, 0.875))
    return tmp_path / "in"


# ---- labels of files


def test_each_file_of_a_folder_gets_a_row_with_its_probabilities(run, folder):
    code, out, err = run(folder)
    assert code == 0
    assert out.splitlines() == [
        "path,label,score,p_quiet,p_loud,error",
        f"{folder}/a.wav,quiet,0.75,0.75,0.25,",
        f"{folder}/sub/b.flac,loud,0.75,0.25,0.75,",
        f"{folder}/z.wav,loud,0.875,0.125,0.875,",
    ]
    assert "3 done, 0 failed, 0 were done before." in err


def test_the_same_rows_as_json_and_json_lines(run, folder):
    _, out, _ = run(folder, "--format", "csv")
    expected = columns(rows_of(out), "path", "label")
    _, out, _ = run(folder, "--format", "json")
    rows = json.loads(out)
    assert columns(rows, "path", "label") == expected
    assert rows[2]["p_loud"] == 0.875 and rows[2]["error"] is None
    _, out, _ = run(folder, "--format", "jsonl")
    assert [json.loads(line) for line in out.splitlines()] == rows


def test_files_of_like_length_share_a_batch(run, recognizer, tmp_path):
    for i, duration_s in enumerate([1, 3, 1.1, 3.1]):
        write_wave(tmp_path / f"{i}.wav", (duration_s, 0.5))
    run(tmp_path, "--batch_size", 2)
    assert recognizer.batches == [(2, 3100), (2, 1100)]


def test_rows_stay_in_order_over_several_chunks(run, tmp_path, monkeypatch):
    monkeypatch.setattr(predict_results, "_CHUNK_FILES", 2)
    for i in range(5):
        write_wave(tmp_path / f"{i}.wav", (1 + i % 3, 0.1 * (i + 1)))
    _, out, _ = run(tmp_path)
    loudness = [float(row["p_loud"]) for row in rows_of(out)]
    # 16 bits are read back to 2e-5.
    assert loudness == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5], abs=1e-4)


def test_csv_paths_are_relative_to_the_csv_file(run, folder, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text(f"id,path\n1,in/z.wav\n2,{folder}/a.wav\n3,in/missing.wav\n")
    code, out, _ = run(table)
    assert code == 1
    rows = rows_of(out)
    names = [f"{folder}/z.wav", f"{folder}/a.wav", f"{folder}/missing.wav"]
    assert columns(rows, "path", "label") == list(
        zip(names, ["loud", "quiet", ""], strict=True)
    )
    assert "missing.wav does not exist" in rows[2]["error"]


def test_a_file_that_is_named_twice_has_one_row(run, folder):
    _, out, _ = run(folder / "a.wav", folder)
    assert len(rows_of(out)) == 3


def test_files_of_macos_are_no_audio(run, folder, tmp_path):
    (folder / "._a.wav").write_bytes(b"Mac OS X")
    code, out, _ = run(folder)
    assert (code, len(rows_of(out))) == (0, 3)
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "._a.wav").write_bytes(b"Mac OS X")
    code, out, _ = run(tmp_path / "only")
    assert (code, len(rows_of(out))) == (1, 1)
    assert "holds no audio" in rows_of(out)[0]["error"]


def test_a_wav_on_standard_input_is_called_by_its_dash(run, monkeypatch):
    wav = io.BytesIO()
    soundfile.write(wav, square_wave((1, 0.75)), RATE_HZ, format="WAV")
    wav.seek(0)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(wav))
    code, out, _ = run("-")
    assert code == 0
    assert columns(rows_of(out), "path", "label") == [("-", "loud")]


def test_what_is_no_wav_on_standard_input_is_called_standard_input(run, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"no audio")))
    code, out, err = run("-")
    assert code == 1
    error = rows_of(out)[0]["error"]
    assert error.startswith("standard input cannot be read as audio")
    assert error in err


# ---- bad input


def write_bad_inputs(folder: Path) -> dict[str, str]:
    """Write files that cannot be used; give a part of the expected message by name."""
    folder.mkdir()
    (folder / "empty.wav").write_bytes(b"")
    write_wave(folder / "header_only.wav", (0, 0.5))
    write_wave(folder / "silent.wav", (1, 0))
    write_wave(folder / "10_ms.wav", (0.01, 0.5))
    with_nan = square_wave((1, 0.5))
    with_nan[300] = np.nan
    soundfile.write(folder / "nan.wav", with_nan, RATE_HZ, subtype="FLOAT")
    header = write_wave(folder / "header.wav", (1, 0.5)).read_bytes()
    (folder / "header.wav").write_bytes(b"RIFX" + header[4:8] + b"WAVX" + header[12:])
    (folder / "text.wav").write_text("This is no audio.")
    cut_off = write_wave(folder / "cut_off.wav", (1, 0.5)).read_bytes()
    (folder / "cut_off.wav").write_bytes(cut_off[:1000])
    (folder / "no_audio").mkdir()
    (folder / "no_column.csv").write_text("file\na.wav\n")
    (folder / "no_path.csv").write_text("path,id\n,1\n")
    return {
        "empty.wav": "is empty (0 bytes)",
        "header_only.wav": "has a header, but not one sample",
        "silent.wav": "is silent",
        "10_ms.wav": "is too short: it lasts 10 ms, expected at least 100 ms",
        "nan.wav": "not finite (NaN or infinity)",
        "header.wav": "cannot be read as audio",
        "text.wav": "cannot be read as audio",
        "cut_off.wav": "is cut off",
        "missing.wav": "does not exist",
        "no_audio": "holds no audio",
        "no_column.csv": "has the columns ['file']; expected one called path",
        "no_path.csv": "has no path in row 1",
        "missing.csv": "No such file",
    }


@pytest.mark.parametrize("mode", ["labels", "timeline"])
def test_each_bad_input_is_reported_by_name_and_the_rest_go_on(run, tmp_path, mode):
    expected = write_bad_inputs(tmp_path / "bad")
    first = write_wave(tmp_path / "first.wav", (1, 0.75))
    last = write_wave(tmp_path / "last.wav", (1, 0.25))
    bad = [tmp_path / "bad" / name for name in expected]
    code, out, err = run(first, *bad, last, *["--timeline"][: mode == "timeline"])
    assert code == 1
    rows = rows_of(out)
    assert [row["path"] for row in rows] == list(map(str, [first, *bad, last]))
    assert columns([rows[0], rows[-1]], "label", "error") == [
        ("loud", ""),
        ("quiet", ""),
    ]
    for row, (name, message) in zip(rows[1:-1], expected.items(), strict=True):
        assert name in row["error"] and message in row["error"]
        assert row["error"] in err
        assert (row["label"], row["score"]) == ("", "")
    assert f"2 done, {len(expected)} failed" in err


def test_a_file_that_the_model_refuses_does_not_take_down_its_batch(
    run, recognizer, folder, monkeypatch
):
    classify = recognizer.classify_batch

    def refuse_z(wavs, wav_lens):
        if (wavs[:, 0] > 0.8).any():
            raise RuntimeError("out of memory")
        return classify(wavs, wav_lens)

    monkeypatch.setattr(recognizer, "classify_batch", refuse_z)
    code, out, _ = run(folder)
    assert code == 1
    a, b, z = rows_of(out)
    assert (a["label"], b["label"], z["label"]) == ("quiet", "loud", "")
    assert z["error"] == f"{folder}/z.wav: out of memory"


def test_long_files_are_refused_unless_asked_for(run, folder):
    code, out, _ = run(folder, "--max_duration_s", 2.5)
    assert code == 1
    error = rows_of(out)[1]["error"]
    assert "b.flac: lasts 3.0 s, more than --max_duration_s 2.5. Use --timel" in error


# ---- wrong usage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required"),
        (["a.wav", "--format", "xml"], "invalid choice: 'xml'"),
        (["a.wav", "--window_s", "2"], "--window_s needs --timeline"),
        (["a.wav", "--plot", "pictures"], "--plot needs --timeline"),
        (["a.wav", "--format", "rttm"], "--format rttm needs --timeline"),
        (["a.wav", "--timeline", "--hop_s", "9"], "hop_s is 9.0; expected above 0"),
        (["a.wav", "--timeline", "--min_segment_s", "-1"], "invalid number from 0"),
        (["a.wav", "--batch_size", "0"], "invalid positive int value: '0'"),
        (["a.wav", "--out", "a.wav"], "is an input, too"),
        (["a.wav", "--out", "."], "is a folder; expected a file"),
        (
            ["a.wav", "b.wav", "--timeline", "--format", "audacity"],
            "with several recordings needs --out FOLDER",
        ),
        (
            ["x/a.wav", "y/a.wav", "--timeline", "--plot", "pictures"],
            "x/a.wav and y/a.wav would both be written to files named a.wav",
        ),
    ],
)
def test_wrong_usage_ends_with_2_and_the_reason(
    run, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert not any(tmp_path.iterdir())


def test_a_model_that_is_none_ends_with_2_and_the_reason(folder, capsys):
    assert predict.main([str(folder), str(folder)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "is not a model folder: it has no model.json" in err


# ---- going on


def test_what_is_written_is_not_done_again_but_errors_are(
    run, recognizer, folder, tmp_path
):
    (folder / "m.wav").write_text("no audio yet")
    out_file = tmp_path / "rows.csv"
    code, _, _ = run(folder, "--out", out_file)
    assert code == 1
    before = [row for row in rows_of(out_file.read_text()) if not row["error"]]
    recognizer.batches.clear()
    write_wave(folder / "m.wav", (1.5, 0.75))
    code, _, err = run(folder, "--out", out_file)
    assert code == 0
    assert recognizer.batches == [(1, 1500)]
    assert "1 done, 0 failed, 3 were done before." in err
    after = rows_of(out_file.read_text())
    assert after[:3] == before
    assert columns(after[3:], "path", "label") == [(f"{folder}/m.wav", "loud")]
    recognizer.batches.clear()
    text = out_file.read_text()
    assert run(folder, "--out", out_file)[0] == 0
    assert recognizer.batches == []
    assert out_file.read_text() == text


@pytest.mark.parametrize("row_format", ["csv", "json", "jsonl"])
@pytest.mark.parametrize("options", [[], ["--timeline"]])
def test_wherever_the_output_is_cut_the_next_start_completes_it(
    run, tmp_path, row_format, options, monkeypatch
):
    write_wave(tmp_path / "in" / "a,ä.wav", (8, 0.25), (8, 0.75))
    write_wave(tmp_path / "in" / 'b".wav', (9, 0.25), (9, 0.75))
    out_file = tmp_path / "rows"
    command = [tmp_path / "in", *options, "--format", row_format, "--out", out_file]
    assert run(*command)[0] == 0
    whole = out_file.read_bytes()
    n_rows = 4 if options else 2
    assert whole.count(b"loud") >= n_rows // 2
    for n_bytes in [*range(0, len(whole), 17), len(whole) - 1]:
        out_file.write_bytes(whole[:n_bytes])
        assert run(*command)[0] == 0
        assert out_file.read_bytes() == whole


def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(run, folder, tmp_path):
    # A recording of 90 s makes six batches, so the second one is killed within.
    for i in range(3):
        write_wave(folder / f"{i}.wav", (20 + i, 0.75), (70, 0.25))
    out_file, reference = tmp_path / "rows.jsonl", tmp_path / "reference.jsonl"
    options = [folder, "--timeline", "--format", "jsonl", "--out"]
    done = subprocess.run(
        [sys.executable, TESTS / "killed_predict.py", "8", "MODEL", *options, out_file],
        env={**os.environ, "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    *kept, half = out_file.read_text().splitlines(keepends=True)
    assert kept and half == '{"path": "half a'
    code, _, err = run(*options, out_file)
    assert code == 0
    assert "5 done, 0 failed, 1 were done before." in err
    assert run(*options, reference)[0] == 0
    assert out_file.read_text() == reference.read_text()
    assert out_file.read_text().startswith("".join(kept))


def test_rows_of_another_model_or_command_are_not_mixed(
    run, folder, tmp_path, monkeypatch
):
    out_file = tmp_path / "rows.csv"
    assert run(folder, "--out", out_file)[0] == 0
    text = out_file.read_text()
    code, _, err = run(folder, "--timeline", "--out", out_file)
    assert code == 2
    assert "was begun with another" in err and "timeline" in err
    other = StubRecognizer(checksum="1")
    monkeypatch.setattr(predict, "load_recognizer", lambda source, device: other)
    code, _, err = run(folder, "--out", out_file)
    assert code == 2
    assert "was begun with another model. Choose another --out" in err
    assert out_file.read_text() == text


def test_a_file_of_the_user_is_not_overwritten(run, folder, tmp_path):
    (tmp_path / "mine.csv").write_text("my,own\n")
    code, _, err = run(folder, "--out", tmp_path / "mine.csv")
    assert code == 2
    assert "is there already and was not written by this command" in err
    assert (tmp_path / "mine.csv").read_text() == "my,own\n"


def test_standard_input_is_done_again(run, tmp_path, monkeypatch):
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


def test_a_timeline_has_a_row_for_each_segment(run, call):
    code, out, _ = run(call, "--timeline", "--window_s", 1, "--hop_s", 1)
    assert code == 0
    assert out.splitlines() == [
        "path,segment,n_segments,start_s,end_s,label,score,error",
        f"{call},1,2,0.0,2.0,quiet,0.75,",
        f"{call},2,2,2.0,4.0,loud,0.75,",
    ]


def test_options_of_timelines_arrive(run, tmp_path):
    path = write_wave(tmp_path / "a.wav", (3, 0.8), (1, 0.2), (2, 0.8), (2, 0.01))
    common = [path, "--timeline", "--window_s", 1, "--hop_s", 1]
    _, out, _ = run(*common)
    spans = columns(rows_of(out), "start_s", "end_s")
    assert spans == [("0.0", "3.0"), ("3.0", "4.0"), ("4.0", "6.0"), ("6.0", "8.0")]
    _, out, _ = run(*common, "--skip_silence_dbfs", "-30", "--min_segment_s", 2)
    assert columns(rows_of(out), "start_s", "end_s") == [("0.0", "6.0")]


@pytest.mark.parametrize(
    ("file_format", "name", "text"),
    [
        ("rttm", "day 1/a.wav.rttm", "SPEAKER a 1 0.000 2.000 <NA> <NA> quiet 0.75"),
        ("audacity", "day 1/a.wav.txt", "0.000\t2.000\tquiet\n"),
    ],
)
def test_a_folder_of_recordings_becomes_a_folder_of_files(
    run, recognizer, call, tmp_path, file_format, name, text
):
    command = [call.parents[1], "--timeline", "--window_s", 1, "--format", file_format]
    code, out, _ = run(*command)
    assert code == 0 and out.startswith(text)
    code, _, _ = run(*command, "--out", tmp_path / "out")
    assert code == 0
    assert (tmp_path / "out" / name).read_text() == out
    recognizer.batches.clear()
    _, _, err = run(*command, "--out", tmp_path / "out")
    assert recognizer.batches == [] and "1 were done before" in err


def test_a_picture_is_drawn_for_each_recording(run, call, tmp_path):
    code, _, _ = run(call, "--timeline", "--plot", tmp_path / "pictures")
    assert code == 0
    picture = tmp_path / "pictures" / "a.wav.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in picture.parent.iterdir()] == ["a.wav.png"]


# ---- a real model


def test_a_real_model_gives_on_the_command_line_what_classify_file_gives(
    tmp_path, capsys
):
    folder = write_folder(tmp_path / "model")
    noise = np.random.default_rng(0).normal(size=16000) * 0.1
    for name, n_samples in [("a", 16000), ("b", 9000)]:
        soundfile.write(tmp_path / f"{name}.wav", noise[:n_samples], 16000)
    (tmp_path / "c.wav").write_bytes(b"")
    inputs = [str(tmp_path / f"{name}.wav") for name in "abc"]
    assert predict.main([str(folder), *inputs]) == 1
    a, b, c = rows_of(capsys.readouterr().out)
    recognizer = EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})
    for row in (a, b):
        out_prob, _, _, labels = recognizer.classify_file(row["path"])
        assert row["label"] == labels[0]
        shares = [float(row[f"p_{label}"]) for label in recognizer.labels]
        # Padded batch against alone: 1e-4.
        assert shares == pytest.approx(out_prob[0].tolist(), abs=1e-4)
    assert "is empty (0 bytes)" in c["error"]
