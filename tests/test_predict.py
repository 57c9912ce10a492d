"""The command line: rows, errors by name, and exit codes."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from model_folders import write_folder
from predict_runner import columns, rows_of, run, write_three_files
from stub_recognizer import RATE_HZ, StubRecognizer, square_wave, write_wave

from ser_lib.inference import EmotionRecognizer
from ser_lib.predict import __main__ as predict
from ser_lib.predict import results as predict_results
from ser_lib.utils.command import run_command


@pytest.fixture
def folder(tmp_path):
    """Three files of different lengths; "b" has a folder of its own."""
    return write_three_files(tmp_path / "in")


# ---- labels of files


def test_each_file_of_a_folder_gets_a_row_with_its_probabilities(folder):
    code, out, err = run(folder)
    assert code == 0
    assert out.splitlines() == [
        "path,label,score,p_quiet,p_loud,error",
        f"{folder}/a.wav,quiet,0.75,0.75,0.25,",
        f"{folder}/sub/b.flac,loud,0.75,0.25,0.75,",
        f"{folder}/z.wav,loud,0.875,0.125,0.875,",
    ]
    assert "3 done, 0 failed, 0 already done." in err


def test_an_answer_that_is_not_sure_enough_is_unknown(folder, tmp_path):
    out = tmp_path / "out.csv"
    code, _, err = run(folder, "--unknown_below", 0.8, "--out", out)
    labels = [line.split(",")[1] for line in out.read_text().splitlines()[1:]]
    assert (code, labels) == (0, ["unknown", "unknown", "loud"])
    assert "The probabilities of this model are not calibrated." in err
    code, _, err = run(folder, "--out", out)
    assert code == 2 and "was started with another unknown_below" in err


def test_a_target_accuracy_chooses_the_threshold(folder):
    recognizer = StubRecognizer()
    member = {"temperature": 1.0, "accuracies_above": [0.5] * 80 + [0.9] * 8}
    recognizer.model_info["members"]["fold_1"] = member
    code, out, err = run(folder, "--target_accuracy", 0.9, recognizer=recognizer)
    assert code == 0 and "Unknown below 0.80." in err
    labels = [line.split(",")[1] for line in out.splitlines()[1:]]
    assert labels == ["unknown", "unknown", "loud"]
    code, _, err = run(folder, "--target_accuracy", 0.95, recognizer=recognizer)
    assert code == 2 and "accuracy of 0.95" in err and "reach 0.900" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target_accuracy", "0.5"], "This model is not calibrated"),
        (["--unknown_below", "1.5"], "invalid share: '1.5'"),
        (["--unknown_below", "nan"], "invalid share: 'nan'"),
        (["--unknown_below", "0.5", "--target_accuracy", "0.5"], "not allowed with"),
    ],
)
def test_wrong_use_of_a_threshold_is_told_in_one_line(folder, arguments, message):
    code, _, err = run(folder, *arguments)
    assert code == 2 and message in err


def test_the_same_rows_as_json_and_json_lines(folder):
    _, out, _ = run(folder, "--format", "csv")
    expected = columns(rows_of(out), "path", "label")
    _, out, _ = run(folder, "--format", "json")
    rows = json.loads(out)
    assert columns(rows, "path", "label") == expected
    assert rows[2]["p_loud"] == 0.875 and rows[2]["error"] is None
    _, out, _ = run(folder, "--format", "jsonl")
    assert [json.loads(line) for line in out.splitlines()] == rows


def test_files_of_like_length_share_a_batch(tmp_path):
    recognizer = StubRecognizer()
    for i, duration_s in enumerate([1, 3, 1.1, 3.1]):
        write_wave(tmp_path / f"{i}.wav", (duration_s, 0.5))
    run(tmp_path, "--batch_size", 2, recognizer=recognizer)
    assert recognizer.batches == [(2, 3100), (2, 1100)]


def test_rows_stay_in_order_over_several_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(predict_results, "_CHUNK_FILES", 2)
    for i in range(5):
        write_wave(tmp_path / f"{i}.wav", (1 + i % 3, 0.1 * (i + 1)))
    _, out, _ = run(tmp_path)
    loudness = [float(row["p_loud"]) for row in rows_of(out)]
    # 16 bits are read back to 2e-5.
    assert loudness == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5], abs=1e-4)


def test_csv_paths_are_relative_to_the_csv_file(folder, tmp_path):
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


def test_a_file_that_is_named_twice_has_one_row(folder):
    _, out, _ = run(folder / "a.wav", folder)
    assert len(rows_of(out)) == 3


def test_files_of_macos_are_no_audio(folder, tmp_path):
    (folder / "._a.wav").write_bytes(b"Mac OS X")
    code, out, _ = run(folder)
    assert (code, len(rows_of(out))) == (0, 3)
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "._a.wav").write_bytes(b"Mac OS X")
    code, out, _ = run(tmp_path / "only")
    assert (code, len(rows_of(out))) == (1, 1)
    assert "holds no audio" in rows_of(out)[0]["error"]


def test_a_wav_on_standard_input_is_called_by_its_dash(monkeypatch):
    wav = io.BytesIO()
    soundfile.write(wav, square_wave((1, 0.75)), RATE_HZ, format="WAV")
    wav.seek(0)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(wav))
    code, out, _ = run("-")
    assert code == 0
    assert columns(rows_of(out), "path", "label") == [("-", "loud")]


def test_what_is_no_wav_on_standard_input_is_called_standard_input(monkeypatch):
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
        "header_only.wav": "has a header, but no audio samples",
        "silent.wav": "is silent",
        "10_ms.wav": "is too short: it lasts 10 ms, expected at least 100 ms",
        "nan.wav": "not finite (NaN or infinity)",
        "header.wav": "cannot be read as audio",
        "text.wav": "cannot be read as audio",
        "cut_off.wav": "is cut off",
        "missing.wav": "does not exist",
        "no_audio": "holds no audio",
        "no_column.csv": "has the columns ['file']; expected a column path",
        "no_path.csv": "has no path in row 1",
        "missing.csv": "No such file",
    }


@pytest.mark.parametrize("mode", ["labels", "timeline"])
def test_each_bad_input_is_reported_by_name_and_the_rest_go_on(tmp_path, mode):
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
    folder, monkeypatch
):
    recognizer = StubRecognizer()
    answer = recognizer.answer_batch

    def refuse_z(wavs, *lens_and_names):
        if (wavs[:, 0] > 0.8).any():
            raise RuntimeError("out of memory")
        return answer(wavs, *lens_and_names)

    monkeypatch.setattr(recognizer, "answer_batch", refuse_z)
    code, out, _ = run(folder, recognizer=recognizer)
    assert code == 1
    a, b, z = rows_of(out)
    assert (a["label"], b["label"], z["label"]) == ("quiet", "loud", "")
    assert z["error"] == f"{folder}/z.wav: out of memory"


def test_long_files_are_refused_unless_asked_for(folder):
    code, out, _ = run(folder, "--max_duration_s", 2.5)
    assert code == 1
    error = rows_of(out)[1]["error"]
    assert "b.flac: lasts 3.0 s, more than --max_duration_s 2.5. Raise the" in error


# ---- wrong usage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required"),
        (["a.wav", "--format", "xml"], "invalid choice: 'xml'"),
        (["a.wav", "--window_s", "2"], "--window_s needs --timeline"),
        (["a.wav", "--plot", "pictures"], "--plot needs --timeline"),
        (["a.wav", "--format", "rttm"], "--format rttm needs --timeline"),
        (["a.wav", "--timeline", "--hop_s", "9"], "hop_s is 9.0; expected at l"),
        (["a.wav", "--timeline", "--min_segment_s", "-1"], "invalid number: "),
        (["a.wav", "--timeline", "--hop_s", "1e-9"], "hop_s is 1e-09; expected at l"),
        (["a.wav", "--timeline", "--hop_s", "nan"], "hop_s is nan; expected at least"),
        (["a.wav", "--timeline", "--window_s", "inf"], "window_s is inf; expected at"),
        (["a.wav", "--timeline", "--window_s", "1e308"], "window_s is 1e+308; expect"),
        (["a.wav", "--timeline", "--min_segment_s", "inf"], "invalid number: "),
        (["a.wav", "--timeline", "--skip_silence_dbfs", "nan"], "invalid level: 'nan'"),
        (["a.wav", "--timeline", "--skip_silence_dbfs", "6"], "invalid level: '6'"),
        (["a.wav", "--max_duration_s", "nan"], "invalid positive float value: 'nan'"),
        (["a.wav", "--max_duration_s", "-1"], "invalid positive float value: '-1'"),
        (["a.wav", "--batch_size", "0"], "invalid positive int value: '0'"),
        ([""], "argument is empty"),
        (["a.wav", ""], "argument is empty"),
        (["a.wav", "--out", ""], "argument --out: the argument is empty"),
        (["a.wav", "--device="], "argument --device: the argument is empty"),
        (
            ["a.wav", "--timeline", "--plot", ""],
            "argument --plot: the argument is empty",
        ),
        (["a.wav", "--out", "x", "--out", "y"], "--out is given 2 times"),
        (["a.wav", "--out", "x" * 300], "File name too long"),
        (["a.wav", "--out", "a.wav"], "is also an input"),
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
    tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert not any(tmp_path.iterdir())


def test_an_empty_argument_is_not_the_current_folder(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit, match="2"):
        predict.main(["", "a.wav"])
    assert "argument MODEL: the argument is empty" in capsys.readouterr().err


def test_a_model_that_is_none_ends_with_2_and_the_reason(folder, capsys):
    with pytest.raises(SystemExit) as stopped:
        run_command(predict.main, arguments=[str(folder), str(folder)])
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "is not a model folder: it has no model.json" in err


# ---- a real model


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_real_model_gives_on_the_command_line_what_classify_file_gives(
    tmp_path, capsys, n_threads
):
    torch.set_num_threads(n_threads)  # as many workers
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
