"""A timeline for each channel of a call."""

import numpy as np
import pytest
import soundfile
from stub_recognizer import RATE_HZ, StubRecognizer, spans, square_wave, write_wave

from ser_lib.inference import channel_timelines

LENGTHS = {"window_s": 1, "hop_s": 1}


def write_channels(path, *waves):
    soundfile.write(path, np.stack(waves, axis=1), RATE_HZ)
    return path


@pytest.fixture
def call(tmp_path):
    """Left: 2 s quiet, 2 s of silence; right: 2 s of silence, 2 s loud."""
    waves = square_wave((2, 0.25), (2, 0)), square_wave((2, 0), (2, 0.75))
    return write_channels(tmp_path / "a call.wav", *waves)


def test_each_channel_has_its_own_segments_and_waveform(call):
    left, right = channel_timelines(StubRecognizer(), call, **LENGTHS)
    assert (left.speaker, left.channel) == ("left", 1)
    assert (right.speaker, right.channel) == ("right", 2)
    assert spans(left.segments) == [(0, 2)] and left.segments[0].label == "quiet"
    assert spans(right.segments) == [(2, 4)] and right.segments[0].label == "loud"
    # Not halved, as the mean of both channels would be.
    assert np.abs(left.envelope).max() == pytest.approx(0.25, abs=1e-4)
    assert np.abs(right.envelope).max() == pytest.approx(0.75, abs=1e-4)


def test_channels_can_be_named(call):
    names = "agent", "customer"
    found = channel_timelines(StubRecognizer(), call, names, **LENGTHS)
    assert tuple(timeline.speaker for timeline in found) == names
    with pytest.raises(ValueError, match="different names"):
        channel_timelines(StubRecognizer(), call, ("a", "a"), **LENGTHS)
    with pytest.raises(ValueError, match="different names"):
        channel_timelines(StubRecognizer(), call, ("a", " "), **LENGTHS)


def test_a_channel_in_which_nobody_speaks_has_no_segments(tmp_path):
    waves = square_wave((2, 0.25)), square_wave((2, 0))
    call = write_channels(tmp_path / "a.wav", *waves)
    left, right = channel_timelines(StubRecognizer(), call, **LENGTHS)
    assert spans(left.segments) == [(0, 2)] and right.segments == []


@pytest.mark.parametrize(
    ("n_channels", "amplitude", "message"),
    [
        (1, 0.5, "has one channel.*expected 2"),
        (3, 0.5, "has 3 channels; expected 2"),
        (2, 0.5, "has 2 channels that are the same"),
    ],
)
def test_recordings_without_a_speaker_in_each_channel_are_refused(
    tmp_path, n_channels, amplitude, message
):
    wave = square_wave((1, amplitude))
    call = write_channels(tmp_path / "a.wav", *[wave] * n_channels)
    with pytest.raises(ValueError, match=rf"a\.wav {message}"):
        channel_timelines(StubRecognizer(), call, **LENGTHS)


def test_a_call_of_which_both_channels_are_silent_is_refused(tmp_path):
    nearly = square_wave((1, 0.0001))
    call = write_channels(tmp_path / "a.wav", nearly, -nearly)
    with pytest.raises(ValueError, match=r"a\.wav is silent"):
        channel_timelines(StubRecognizer(), call, **LENGTHS)


def test_a_mono_file_says_what_to_do(tmp_path):
    path = write_wave(tmp_path / "a.wav", (1, 0.5))
    with pytest.raises(ValueError, match="Leave the option out, or give their turns"):
        channel_timelines(StubRecognizer(), path)
