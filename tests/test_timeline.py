"""Timelines: windows, smoothing, segments, silence, and memory that stays bounded."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from stub_recognizer import (
    RATE_HZ,
    StubRecognizer,
    in_blocks,
    p_loud,
    spans,
    square_wave,
    windows_of,
    write_wave,
)

from ser_lib.inference import timeline_file
from ser_lib.inference.segments import Segment, find_segments, smooth
from ser_lib.inference.windows import stream

TESTS = Path(__file__).parent


# ---- numbers that a person can recompute


def test_windows_cells_and_segments_of_a_quiet_then_loud_recording(tmp_path):
    path = write_wave(tmp_path / "a.wav", (3, 0.2), (3, 0.8))
    timeline = timeline_file(StubRecognizer(), path, window_s=2, hop_s=1)
    assert spans(timeline.windows) == [(0, 2), (1, 3), (2, 4), (3, 5), (4, 6)]
    mixed = np.sqrt((0.2**2 + 0.8**2) / 2)  # 0.583
    expected = [0.2, 0.2, mixed, 0.8, 0.8]
    # 16 bits are read back to 2e-5.
    assert p_loud(timeline.windows) == pytest.approx(expected, abs=1e-4)
    assert timeline.edges_s.tolist() == [0, 1, 2, 3, 4, 5, 6]
    # Each second is the mean over the windows around it.
    cells = [0.2, 0.2, (0.2 + mixed) / 2, (mixed + 0.8) / 2, 0.8, 0.8]
    np.testing.assert_allclose(timeline.probabilities[:, 1], cells, atol=1e-4)
    first, second = timeline.segments
    assert (first.start_s, first.end_s, first.label) == (0, 3, "quiet")
    assert (second.start_s, second.end_s, second.label) == (3, 6, "loud")
    assert first.score == pytest.approx(1 - sum(cells[:3]) / 3, abs=1e-4)
    assert second.score == pytest.approx(sum(cells[3:]) / 3, abs=1e-4)


def test_a_window_is_averaged_where_it_contains_the_middle_of_a_cell():
    # The first window ends on the middle of the cell 1-2 and does not contain it.
    windows = windows_of(square_wave((1, 0.2), (1.5, 0.8)), window_s=1.5)
    assert spans(windows) == [(0, 1.5), (1, 2.5)]
    edges_s, probabilities = smooth(windows, n_answers=2, hop_s=1.0)
    assert edges_s.tolist() == [0, 1, 2, 2.5]
    first = np.sqrt((0.2**2 * 2 + 0.8**2) / 3)
    np.testing.assert_allclose(probabilities[:, 1], [first, 0.8, 0.8], atol=1e-6)


def test_short_segments_go_to_the_neighbour_that_is_more_probable_in_them():
    labels, edges_s = ["a", "b", "c"], np.arange(8.0)
    a, b, c = [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.3, 0.6]
    cells = np.array([a, a, a, c, b, b, b])
    assert spans(find_segments(labels, edges_s, cells)) == [(0, 3), (3, 4), (4, 7)]
    joined = find_segments(labels, edges_s, cells, min_segment_s=2)
    # c's second goes to b (0.3) and not to a (0.1): (0.3 + 3 * 0.8) / 4 = 0.675.
    assert joined[1] == Segment(3.0, 7.0, "b", pytest.approx(0.675))
    assert spans(joined) == [(0, 3), (3, 7)]


def test_short_segments_between_silences_stay():
    silent = [np.nan, np.nan]
    cells = np.array([silent, [0.9, 0.1], silent, [0.2, 0.8], [0.7, 0.3]])
    segments = find_segments(["a", "b"], np.arange(6.0), cells, min_segment_s=3)
    # After the silence, the first of the two equally short ones goes to the second.
    assert spans(segments) == [(1, 2), (3, 5)]
    assert [segment.label for segment in segments] == ["a", "a"]


# ---- unknown where the model is not sure


def test_windows_and_cells_below_the_threshold_are_unknown(tmp_path):
    path = write_wave(tmp_path / "a.wav", (3, 0.2), (3, 0.8))
    lengths = {"window_s": 2, "hop_s": 1}
    plain = timeline_file(StubRecognizer(), path, **lengths)
    timeline = timeline_file(StubRecognizer(), path, **lengths, unknown_below=0.7)
    # The windows are loud with 0.2, 0.2, 0.583, 0.8 and 0.8, as above.
    labels = [window.label for window in timeline.windows]
    assert labels == ["quiet", "quiet", "unknown", "loud", "loud"]
    assert [w.score for w in timeline.windows] == [w.score for w in plain.windows]
    np.testing.assert_array_equal(timeline.probabilities, plain.probabilities)
    # The cells are loud with 0.2, 0.2, 0.392, 0.692, 0.8 and 0.8.
    quiet, unknown, loud = timeline.segments
    assert (quiet.start_s, quiet.end_s, quiet.label) == (0, 2, "quiet")
    assert (loud.start_s, loud.end_s, loud.label) == (4, 6, "loud")
    score = pytest.approx((0.608 + 0.692) / 2, abs=1e-3)
    assert unknown == Segment(2, 4, "unknown", score)


def test_unknown_cells_are_one_segment_whatever_is_most_probable_in_them():
    nan = np.nan
    cells = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [nan, nan], [0.45, 0.55]])
    found = find_segments(["a", "b"], np.arange(6.0), cells, unknown_below=0.8)
    assert found == [
        Segment(0, 1, "a", pytest.approx(0.9)),
        Segment(1, 3, "unknown", pytest.approx((0.6 + 0.7) / 2)),
        Segment(4, 5, "unknown", pytest.approx(0.55)),
    ]


def test_a_probability_at_the_threshold_is_enough():
    cells = np.array([[0.75, 0.25], [0.25, 0.75]])
    for threshold, expected in ((0.75, ["a", "b"]), (0.76, ["unknown"])):
        found = find_segments(["a", "b"], np.arange(3.0), cells, 0, threshold)
        assert [segment.label for segment in found] == expected


def test_a_short_unknown_segment_goes_to_the_neighbour_that_is_more_probable_in_it():
    a, unsure, b = [0.9, 0.1], [0.55, 0.45], [0.1, 0.9]
    cells = np.array([a, a, unsure, b, b])
    found = find_segments(["a", "b"], np.arange(6.0), cells, 2, unknown_below=0.6)
    assert found == [
        Segment(0, 3, "a", pytest.approx((0.9 + 0.9 + 0.55) / 3)),
        Segment(3, 5, "b", pytest.approx(0.9)),
    ]


# ---- nothing gets a label that holds no sound


def test_silence_has_no_label_and_lies_between_segments():
    wav = square_wave((4, 0.8), (4, 0), (4, 0.8))
    windows = windows_of(wav + np.float32(0.05))  # a constant is no sound
    silent = [window.start_s for window in windows if window.label is None]
    assert silent == [4, 5, 6]
    for window in windows:
        is_silent = window.start_s in silent
        assert (window.probabilities is None) == (window.score is None) == is_silent


def test_a_silent_second_has_no_segment_though_windows_reach_into_it(tmp_path):
    path = write_wave(tmp_path / "a.wav", (4, 0.8), (4, 0), (4, 0.8))
    timeline = timeline_file(StubRecognizer(), path, window_s=2, hop_s=1)
    assert spans(timeline.segments) == [(0, 4), (8, 12)]
    assert np.isnan(timeline.probabilities).all(axis=1).tolist() == (
        [False] * 4 + [True] * 4 + [False] * 4
    )


@pytest.mark.parametrize(
    ("threshold_dbfs", "expected"),
    [(None, [(0, 6)]), (-41, [(0, 6)]), (-39, [(0, 2), (4, 6)])],
)
def test_quiet_seconds_are_skipped_below_the_threshold(
    tmp_path, threshold_dbfs, expected
):
    # A square wave of amplitude 0.01 has an RMS of -40 dBFS.
    path = write_wave(tmp_path / "a.wav", (2, 0.2), (2, 0.01), (2, 0.2))
    recognizer = StubRecognizer()
    timeline = timeline_file(recognizer, path, 1, 1, skip_silence_dbfs=threshold_dbfs)
    assert spans(timeline.segments) == expected
    n_classified = sum(n for n, _ in recognizer.batches)
    assert n_classified == sum(end - start for start, end in expected)


def test_a_recording_without_sound_is_refused_by_name(tmp_path):
    path = write_wave(tmp_path / "mute.wav", (5, 0))
    with pytest.raises(ValueError, match=r"mute\.wav is silent: .* above -60 dBFS"):
        timeline_file(StubRecognizer(), path)
    path = write_wave(tmp_path / "hum.wav", (5, 0.01))
    with pytest.raises(ValueError, match=r"hum\.wav is silent: .* least -30 dBFS"):
        timeline_file(StubRecognizer(), path, skip_silence_dbfs=-30)


def test_a_recording_that_is_too_short_is_refused_by_name(tmp_path):
    path = write_wave(tmp_path / "click.wav", (0.01, 0.5))
    with pytest.raises(ValueError, match=r"click\.wav is too short: it lasts 10 ms"):
        timeline_file(StubRecognizer(), path)
    with pytest.raises(ValueError, match="The recording is too short: it lasts 0 ms"):
        list(stream(StubRecognizer(), [], RATE_HZ))


def test_samples_that_are_no_numbers_are_told_with_their_time(tmp_path):
    wav = square_wave((9, 0.5))
    wav[[7250, 7600]] = np.nan
    soundfile.write(tmp_path / "a.wav", wav, RATE_HZ, subtype="FLOAT")
    message = r"a\.wav holds samples that are not finite .* 7\.250 s"
    with pytest.raises(ValueError, match=message):
        timeline_file(StubRecognizer(), tmp_path / "a.wav")
    message = r"The recording holds samples that are not finite .* 7\.250 s"
    with pytest.raises(ValueError, match=message):
        list(stream(StubRecognizer(), in_blocks(wav, 900), RATE_HZ))


@pytest.mark.parametrize("suffix", ["flac", "mp3", "wav"])
def test_a_file_that_is_cut_off_is_refused_by_name(tmp_path, suffix):
    noise = np.random.default_rng(3).normal(size=16000 * 40) * 0.1
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise, 16000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(ValueError, match=rf"a\.{suffix} (is cut off|cannot be read)"):
        timeline_file(StubRecognizer(), path)


@pytest.mark.parametrize("suffix", ["flac", "mp3", "ogg", "wav"])
def test_formats_rates_and_channels_are_those_of_any_recording(tmp_path, suffix):
    rate_hz = {"wav": 192000, "flac": 8000, "mp3": 44100, "ogg": 48000}[suffix]
    n_channels = 2 if suffix == "mp3" else 6
    time_s = np.arange(3 * rate_hz) / rate_hz
    sine = 0.5 * np.sin(2 * np.pi * 200 * time_s)
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.tile(sine[:, None], n_channels), rate_hz)
    timeline = timeline_file(StubRecognizer(4000), path, window_s=2, hop_s=1)
    # A sine's RMS is its amplitude over the root of two; lossy formats: 5 %.
    expected = [0.5 / np.sqrt(2)] * len(timeline.windows)
    assert p_loud(timeline.windows) == pytest.approx(expected, rel=0.05)
    assert timeline.duration_s == pytest.approx(3, abs=0.1)


# ---- memory


def test_two_hours_need_no_more_memory_than_five_minutes(tmp_path):
    noise = np.random.default_rng(4).normal(size=4000 * 60) * 0.1
    paths = [tmp_path / "5_minutes.wav", tmp_path / "2_hours.wav"]
    for path, n_minutes in zip(paths, (5, 120), strict=True):
        with soundfile.SoundFile(path, "w", 4000, 1, subtype="PCM_U8") as f:
            for _ in range(n_minutes):
                f.write(noise)
    done = subprocess.run(
        [sys.executable, TESTS / "helpers" / "measure_timeline_memory.py", *paths],
        env={
            **os.environ,
            "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS / 'helpers'}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (n_short, short_mb), (n_long, long_mb) = map(str.split, done.stdout.splitlines())
    assert (int(n_short), int(n_long)) == (297, 7197)
    # All of it in float32 would be 115 MB more.
    assert float(long_mb) - float(short_mb) < 50
