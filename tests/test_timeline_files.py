"""Timelines as files and as a picture."""

import json

import numpy as np
import pytest
from matplotlib.colors import to_hex
from stub_recognizer import StubRecognizer, write_wave

from ser_lib.inference import Timeline, timeline_figure, timeline_file, write_timeline
from ser_lib.inference.segments import Segment

EIGHT = ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"]


@pytest.fixture
def timeline(tmp_path):
    """2 s of each: quiet (0.25), silence, loud (0.75); a window and a cell a second."""
    pieces = (2, 0.25), (2, 0), (2, 0.75)
    path = write_wave(tmp_path / "my call.wav", *pieces)
    return timeline_file(StubRecognizer(), path, window_s=1, hop_s=1)


def written(timeline, folder, file_format):
    path = folder / "timeline"
    write_timeline(path, timeline, file_format)
    return path.read_text()


def test_csv_has_a_row_for_each_segment(tmp_path, timeline):
    assert written(timeline, tmp_path, "csv") == (
        "start_s,end_s,label,score\n0.0,2.0,quiet,0.75\n4.0,6.0,loud,0.75\n"
    )


def test_json_has_segments_and_windows(tmp_path, timeline):
    content = json.loads(written(timeline, tmp_path, "json"))
    assert content["path"].endswith("my call.wav")
    assert content["duration_s"] == 6
    assert content["labels"] == ["quiet", "loud"]
    assert [segment["label"] for segment in content["segments"]] == ["quiet", "loud"]
    shares = [window["probabilities"] for window in content["windows"]]
    quiet, loud = [0.75, 0.25], [0.25, 0.75]
    assert shares == [quiet, quiet, None, None, loud, loud]


def test_rttm_has_ten_fields_with_the_label_as_speaker(tmp_path, timeline):
    assert written(timeline, tmp_path, "rttm") == (
        "SPEAKER my_call 1 0.000 2.000 <NA> <NA> quiet 0.750000 <NA>\n"
        "SPEAKER my_call 1 4.000 2.000 <NA> <NA> loud 0.750000 <NA>\n"
    )


def test_audacity_labels_have_tabs_between_start_end_and_label(tmp_path, timeline):
    assert written(timeline, tmp_path, "audacity") == (
        "0.000\t2.000\tquiet\n4.000\t6.000\tloud\n"
    )


@pytest.fixture
def unsure(tmp_path):
    """2 s of each: quiet (0.25), not sure (0.625 is loud), loud (0.75)."""
    path = write_wave(tmp_path / "call.wav", (2, 0.25), (2, 0.625), (2, 0.75))
    lengths = {"window_s": 1, "hop_s": 1}
    return timeline_file(StubRecognizer(), path, **lengths, unknown_below=0.7)


def test_every_format_says_where_the_label_is_unknown(tmp_path, unsure):
    assert written(unsure, tmp_path, "csv").splitlines()[2] == "2.0,4.0,unknown,0.625"
    assert written(unsure, tmp_path, "audacity").splitlines()[1] == (
        "2.000\t4.000\tunknown"
    )
    assert written(unsure, tmp_path, "rttm").splitlines()[1] == (
        "SPEAKER call 1 2.000 2.000 <NA> <NA> unknown 0.625000 <NA>"
    )
    content = json.loads(written(unsure, tmp_path, "json"))
    assert [s["label"] for s in content["segments"]] == ["quiet", "unknown", "loud"]
    assert content["windows"][2] == {
        "start_s": 2.0,
        "end_s": 3.0,
        "label": "unknown",
        "probabilities": [0.375, 0.625],
    }
    assert content["labels"] == ["quiet", "loud"]


def test_an_unknown_format_is_refused(tmp_path, timeline):
    with pytest.raises(ValueError, match="format 'srt'; expected one of .*'rttm'"):
        write_timeline(tmp_path / "a", timeline, "srt")
    assert not (tmp_path / "a").exists()


# ---- the picture


def make_timeline(labels, duration_s, n_segments, path="call.wav"):
    """Segments of equal length that take the labels in turn."""
    edges_s = np.linspace(0, duration_s, n_segments + 1)
    order = np.arange(n_segments) % len(labels)
    probabilities = np.full((n_segments, len(labels)), 0.4 / len(labels))
    probabilities[np.arange(n_segments), order] += 0.6
    segments = [
        Segment(float(start_s), float(end_s), labels[i], 0.7)
        for start_s, end_s, i in zip(edges_s[:-1], edges_s[1:], order, strict=True)
    ]
    wave = 0.5 + 0.3 * np.sin(np.arange(1500) / 40)
    return Timeline(
        path=path,
        duration_s=duration_s,
        labels=labels,
        tasks=[],
        windows=[],
        edges_s=edges_s,
        probabilities=probabilities,
        segments=segments,
        envelope=np.stack([-wave, wave], axis=1),
    )


def assert_nothing_is_cut_off(figure):
    figure.draw_without_rendering()
    drawn, whole = figure.get_tightbbox(), figure.bbox_inches
    assert drawn.x0 >= 0 and drawn.y0 >= 0
    assert drawn.x1 <= whole.x1 and drawn.y1 <= whole.y1


def test_the_picture_shows_curves_segments_and_a_legend(timeline):
    figure = timeline_figure(timeline)
    waveform, strip, curves = figure.axes
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["quiet", "loud", "(silence)"]
    assert [text.get_text() for text in strip.texts] == ["quiet", "loud"]
    steps = [patch.get_data().values for patch in curves.patches]
    nan = np.nan
    quiet, loud = [0.75, 0.75, nan, nan, 0.25, 0.25], [0.25, 0.25, nan, nan, 0.75, 0.75]
    # 16 bits are read back to 2e-5.
    np.testing.assert_allclose(steps, [quiet, loud], atol=1e-4)
    assert curves.get_xlim() == (0, 6)
    assert curves.get_xlabel() == "time (s)"
    assert curves.get_ylabel() == "probability"
    assert waveform.get_ylabel() == "amplitude\n(full scale = 1)"


def test_each_label_has_one_colour_in_waveform_strip_curve_and_legend(timeline):
    figure = timeline_figure(timeline)
    waveform, strip, curves = figure.axes
    lines = figure.legends[0].get_lines()
    for i in range(2):
        # The first of each is silence, in grey.
        colours = {
            to_hex(waveform.collections[1 + i].get_facecolor()[0]),
            to_hex(strip.collections[1 + i].get_facecolor()[0]),
            to_hex(curves.patches[i].get_edgecolor()),
            to_hex(lines[i].get_color()),
        }
        assert len(colours) == 1


def test_unknown_is_dark_grey_in_the_picture_and_has_no_curve(unsure):
    figure = timeline_figure(unsure)
    waveform, strip, curves = figure.axes
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["quiet", "loud", "unknown", "(silence)"]
    assert [text.get_text() for text in strip.texts] == ["quiet", "unknown", "loud"]
    grey = to_hex(figure.legends[0].get_lines()[2].get_color())
    assert grey == "#606060"
    assert to_hex(waveform.collections[3].get_facecolor()[0]) == grey
    assert to_hex(strip.collections[3].get_facecolor()[0]) == grey
    loud = curves.patches[1].get_data().values
    np.testing.assert_allclose(loud, [0.25, 0.25, 0.625, 0.625, 0.75, 0.75], atol=1e-4)
    assert len(curves.patches) == 2


def test_labels_beyond_the_eight_colours_differ_by_the_kind_of_line():
    labels = [f"label {i}" for i in range(12)]
    figure = timeline_figure(make_timeline(labels, 60, 12))
    curves = figure.axes[2].patches
    styles = {(to_hex(c.get_edgecolor()), c.get_linestyle()) for c in curves}
    assert len(styles) == 12


@pytest.mark.parametrize(
    ("duration_s", "n_segments", "name", "ticks"),
    [
        (30, 8, "time (s)", ["0", "5"]),
        (300, 40, "time (min:s)", ["0:00", "0:30"]),
        (7200, 900, "time (h:min:s)", ["0:00:00", "0:15:00"]),
    ],
)
def test_nothing_is_cut_off_and_time_is_in_a_unit_that_fits(
    duration_s, n_segments, name, ticks
):
    path = "recordings/of/a/very/long/day/" * 6 + "costs $5 and $6.wav"
    figure = timeline_figure(make_timeline(EIGHT, duration_s, n_segments, path))
    assert_nothing_is_cut_off(figure)
    axes = figure.axes[2]
    assert axes.get_xlabel() == name
    assert [text.get_text() for text in axes.get_xticklabels()[:2]] == ticks
