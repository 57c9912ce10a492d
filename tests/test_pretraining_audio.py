"""Any folder of audio: found, excluded, cut, split and read."""

from pathlib import Path

import pytest
import torch
from tiny_objectives import write_noise

from ser_lib.pretraining.audio_folder import (
    Segment,
    SegmentReader,
    cut,
    hold_out,
    list_audio,
    read_segments,
    write_segments,
)


@pytest.fixture
def data(tmp_path) -> Path:
    return write_noise(tmp_path / "data")


def test_audio_is_found_in_all_folders_and_formats(data):
    found = ["a/1.wav", "a/2.flac", "a/deep/3.OGG", "b/4.mp3"]
    assert list_audio(data) == [*found, "b/5.wav", "b/6.wav", "b/7.wav"]


def test_excluded_files_are_left_out_with_their_subfolders(data):
    assert list_audio(data, ["a/*", "*/7.wav"]) == ["b/4.mp3", "b/5.wav", "b/6.wav"]


def test_a_pattern_that_matches_nothing_is_refused(data):
    # A misspelt one would leave the test speakers in.
    with pytest.raises(ValueError, match=r"'c/\*' matches none of the 7 audio files"):
        list_audio(data, ["a/*", "c/*"])
    with pytest.raises(ValueError, match="All 7 audio files .* are excluded"):
        list_audio(data, ["*"])


def test_a_folder_that_is_missing_or_without_audio_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere"):
        list_audio(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"No audio \(.wav, .flac, .mp3, .ogg\)"):
        list_audio(tmp_path)


def test_long_recordings_are_cut_and_short_ones_counted(data, caplog):
    paths = ["a/1.wav", "b/5.wav", "b/7.wav"]  # 1, 1.2 and 1.3 s
    segments = cut(data, paths, 16000, min_duration_s=1.1, max_duration_s=1.25)
    assert segments == [
        Segment("b/5.wav", 0.0, 1.2, True),
        Segment("b/7.wav", 0.0, 0.65, False),
        Segment("b/7.wav", 0.65, 0.65, False),
    ]
    assert "1 of 3 recordings shorter than 1.10 s" in caplog.text
    with pytest.raises(ValueError, match="All 3 recordings are shorter than 9.00 s"):
        cut(data, paths, 16000, min_duration_s=9, max_duration_s=20)


def test_a_damaged_file_is_named(data):
    (data / "a" / "1.wav").write_bytes(b"RIFF")
    with pytest.raises(ValueError, match=r"1\.wav cannot be read as audio"):
        cut(data, list_audio(data), 16000, 0.5, 20)


@pytest.mark.parametrize("keep_in_memory", [False, True])
def test_segments_read_one_by_one_make_the_recording(data, keep_in_memory):
    reader = SegmentReader(data, 16000, keep_in_memory)
    whole = reader(Segment("b/7.wav", 0.0, 1.3, True))
    halves = [reader(Segment("b/7.wav", s, 0.65, False)) for s in (0.0, 0.65)]
    assert len(whole) == 20800
    torch.testing.assert_close(torch.cat(halves), whole, atol=1e-4, rtol=0)


def test_keeping_segments_in_memory_changes_no_bit(data):
    readers = [SegmentReader(data, 8000, keep) for keep in (False, True)]
    for segment in (
        Segment("b/7.wav", 0.0, 1.3, True),
        Segment("b/7.wav", 0.65, 0.65, False),
    ):
        once, kept = (reader(segment) for reader in readers)
        assert torch.equal(once, kept)
        kept.zero_()
        assert torch.equal(readers[1](segment), once)


def test_a_recording_is_on_one_side_and_its_side_depends_on_its_name():
    segments = [Segment(f"{i // 2}.wav", i % 2, 1.0, False) for i in range(40)]
    train, valid = hold_out(segments, share=0.25, seed=3)
    assert (len(train), len(valid)) == (30, 10)
    assert not {s.path for s in train} & {s.path for s in valid}
    assert hold_out(segments[::-1], share=0.25, seed=3)[1] == valid[::-1]
    assert hold_out(segments, share=0.25, seed=4)[1] != valid
    with pytest.raises(ValueError, match="only one recording"):
        hold_out(segments[:2], share=0.25, seed=3)


def test_segments_survive_their_file(tmp_path):
    parts = [Segment("Büro, 1.wav", 0.1, 1 / 3, False)], [Segment("NA", 0, 1.0, True)]
    write_segments(tmp_path / "recordings.csv", *parts)
    assert read_segments(tmp_path / "recordings.csv") == parts
