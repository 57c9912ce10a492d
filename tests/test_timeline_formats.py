"""TextGrids that Praat's libraries read, WebVTT by its grammar, several speakers."""

import csv
import io
import json
import re

import pytest
from stub_recognizer import StubRecognizer, write_wave

from ser_lib.inference import (
    Turn,
    timeline_figure,
    timeline_file,
    turn_timelines,
    write_timeline,
)

# https://www.w3.org/TR/webvtt1/#syntax, as far as it is used
TIME = r"(?:\d{2,}:)?[0-5]\d:[0-5]\d\.\d{3}"
TEXT = r"(?:[^<>&\n]|&(?:amp|lt|gt);)+"
CUE = rf"{TIME} --> {TIME}\n(?:<v(?: {TEXT})>)?{TEXT}\n"
WEBVTT = re.compile(rf"WEBVTT\n\n(?:{CUE}(?:\n|$))*")


@pytest.fixture
def call(tmp_path):
    """2 s of each: quiet (0.25), silence, loud (0.75)."""
    return write_wave(tmp_path / "my call.wav", (2, 0.25), (2, 0), (2, 0.75))


@pytest.fixture
def timeline(call):
    return timeline_file(StubRecognizer(), call, window_s=1, hop_s=1)


@pytest.fixture
def speakers(call):
    turns = [(0, 1.5, 'A "&" <b>'), (1, 2, "Bob"), (2, 2.05, "Bob"), (4, 6, "Bob")]
    turns = [Turn(*turn) for turn in turns]
    return turn_timelines(StubRecognizer(), call, turns)


def written(timelines, folder, file_format):
    path = folder / f"timeline.{file_format}"
    write_timeline(path, timelines, file_format)
    return path


def tiers_by_praatio(path):
    textgrid = pytest.importorskip("praatio.textgrid", reason="needs praatio")
    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=True)
    return {
        tier.name: [(entry.start, entry.end, entry.label) for entry in tier.entries]
        for tier in grid.tiers
    }


def tiers_by_textgrid(path):
    library = pytest.importorskip("textgrid", reason="needs the package textgrid")
    grid = library.TextGrid.fromFile(str(path))
    return {
        tier.name: [(entry.minTime, entry.maxTime, entry.mark) for entry in tier]
        for tier in grid.tiers
    }


@pytest.mark.parametrize("read", [tiers_by_praatio, tiers_by_textgrid])
def test_a_textgrid_has_intervals_that_cover_the_recording(tmp_path, timeline, read):
    expected = [(0, 2, "quiet"), (2, 4, ""), (4, 6, "loud")]
    assert read(written(timeline, tmp_path, "textgrid")) == {"emotion": expected}


@pytest.mark.parametrize("read", [tiers_by_praatio, tiers_by_textgrid])
def test_a_textgrid_has_a_tier_for_each_speaker(tmp_path, speakers, read):
    tiers = read(written(speakers, tmp_path, "textgrid"))
    # textgrid keeps doubled quotes in names of tiers; praatio undoes them.
    names = [name.replace('""', '"') for name in tiers]
    assert names == ['A "&" <b>', "Bob"]
    assert list(tiers.values()) == [
        [(0, 1.5, "quiet"), (1.5, 6, "")],
        [(0, 1, ""), (1, 2, "quiet"), (2, 4, ""), (4, 6, "loud")],
    ]


def test_webvtt_has_a_cue_for_each_segment(tmp_path, timeline):
    text = written(timeline, tmp_path, "webvtt").read_text()
    assert WEBVTT.fullmatch(text)
    assert text == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:02.000\nquiet (75 %)\n\n"
        "00:00:04.000 --> 00:00:06.000\nloud (75 %)\n"
    )


def test_webvtt_names_speakers_as_voices_in_order(tmp_path, speakers):
    text = written(speakers, tmp_path, "webvtt").read_text()
    assert WEBVTT.fullmatch(text)
    voices = re.findall(r"<v (.+)>", text)
    assert voices == ['A "&amp;" &lt;b&gt;', "Bob", "Bob"]


def test_webvtt_counts_hours(tmp_path):
    recognizer = StubRecognizer(sample_rate_hz=1000)
    path = write_wave(tmp_path / "long.wav", (3599, 0), (2, 0.75))
    timeline = timeline_file(recognizer, path, window_s=1, hop_s=1)
    text = written(timeline, tmp_path, "webvtt").read_text()
    assert "00:59:59.000 --> 01:00:01.000" in text


def test_other_formats_tell_speakers_apart(tmp_path, speakers):
    lines = written(speakers, tmp_path, "audacity").read_text().splitlines()
    assert lines[1] == "1.000\t2.000\tBob: quiet"
    lines = written(speakers, tmp_path, "rttm").read_text().splitlines()
    assert lines[2] == "SPEAKER my_call 1 4.000 2.000 <NA> <NA> Bob:loud 0.750000 <NA>"
    rows = list(csv.DictReader(written(speakers, tmp_path, "csv").open()))
    assert [row["speaker"] for row in rows] == ['A "&" <b>', "Bob", "Bob", "Bob"]
    assert rows[2]["label"] == "" and "50 ms" in rows[2]["error"]
    content = json.loads(written(speakers, tmp_path, "json").read_text())
    assert [row["failed"] for row in content["speakers"]] == [0, 1]
    assert {window["speaker"] for window in content["windows"]} == {'A "&" <b>', "Bob"}


def test_a_timeline_alone_and_in_a_list_are_written_alike(tmp_path, timeline):
    for file_format in ("csv", "json", "rttm", "audacity", "textgrid", "webvtt"):
        alone = written(timeline, tmp_path, file_format).read_text()
        assert written([timeline], tmp_path, file_format).read_text() == alone


def test_the_figure_of_several_speakers_has_three_axes_for_each(speakers):
    figure = timeline_figure(speakers)
    assert len(figure.axes) == 6
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ['A "&" <b>', "", "", "Bob", "", ""]
    figure.savefig(io.BytesIO(), dpi=20)


def test_of_many_speakers_the_figure_has_twelve(call):
    turns = [Turn(0.01 * i, 0.01 * i + 0.5 + 0.01 * i, f"s{i}") for i in range(40)]
    figure = timeline_figure(turn_timelines(StubRecognizer(), call, turns))
    assert len(figure.axes) == 36
    assert figure.axes[0].get_title(loc="left") == "s28"
    assert "12 of 40 speakers" in figure.get_suptitle()
