"""Resampling: any rate, the length that is promised, and memory that stays bounded."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from stub_recognizer import StubRecognizer

from ser_lib.audio import audio_duration_s, read_audio, resample
from ser_lib.audio.resampling import resampled_samples
from ser_lib.inference import timeline_file
from ser_lib.inference.windows import stream

RATE_HZ = 16000
TESTS = Path(__file__).parent
COMMON_HZ = [8000, 11025, 22050, 24000, 32000, 44100, 48000, 96000, 192000]
ODD_HZ = [1000, 15999, 44099, 48001, 999983, 1024000]


def tone(rate_hz: int) -> torch.Tensor:
    """A second of a sine of 300 Hz with an amplitude of one half."""
    time_s = torch.arange(rate_hz, dtype=torch.float64) / rate_hz
    return (0.5 * torch.sin(2 * torch.pi * 300 * time_s)).float()


@pytest.mark.parametrize("rate_hz", [*COMMON_HZ, *ODD_HZ])
def test_a_tone_stays_the_same_tone(rate_hz):
    found = resample(tone(rate_hz), rate_hz, RATE_HZ, "a tone")
    assert len(found) == RATE_HZ
    middle = slice(2000, 14000)  # beside it, the tone begins and ends
    expected = tone(RATE_HZ)[middle]
    torch.testing.assert_close(found[middle], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("rate_hz", [*COMMON_HZ, *ODD_HZ])
def test_a_fraction_of_a_sample_at_the_end_counts_as_one(rate_hz):
    for n in (1, 2, 7, 100, 1001, 4410, 4411):
        found = resample(torch.full((n,), 0.5), rate_hz, RATE_HZ, "a constant")
        assert len(found) == int(np.ceil(n * RATE_HZ / rate_hz))
        assert len(found) == resampled_samples(n, rate_hz, RATE_HZ)


def test_nothing_moves_in_time():
    click = torch.zeros(48000)
    click[30000] = 1.0
    assert resample(click, 48000, RATE_HZ, "a click").argmax() == 10000


def test_the_same_rate_changes_nothing():
    wav = torch.randn(100)
    assert resample(wav, RATE_HZ, RATE_HZ, "noise") is wav


def test_rates_with_no_common_divisor_need_little_memory(tmp_path):
    paths = [tmp_path / f"{rate_hz}.wav" for rate_hz in (44099, 48001, 999983)]
    for path in paths:
        soundfile.write(path, tone(int(path.stem)).numpy(), int(path.stem))
    done = subprocess.run(
        [sys.executable, TESTS / "helpers" / "measure_reading_memory.py", *paths],
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    n_samples, more_mb = zip(*map(str.split, done.stdout.splitlines()), strict=True)
    assert list(map(int, n_samples)) == [RATE_HZ] * 3
    # The files have up to 4 MB in float32; a polyphase filter would have 6,000 MB.
    assert max(map(float, more_mb)) < 100


# A WAV can claim any rate: at 1 Hz, 1,000 samples would become 16 million.
@pytest.mark.parametrize("rate_hz", [1, 999, 1024001])
def test_a_rate_that_no_recording_of_speech_has_is_refused_by_name(rate_hz, tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.full(1000, 0.1), rate_hz)
    message = f"{path} has a sampling rate of {rate_hz} Hz; .* from 1000 to 1024000"
    for look_at in (audio_duration_s, read_audio):
        with pytest.raises(ValueError, match=message):
            look_at(path, RATE_HZ)
    recognizer = StubRecognizer(RATE_HZ)
    with pytest.raises(ValueError, match=message):
        timeline_file(recognizer, path)
    with pytest.raises(ValueError, match=f"The recording .* rate of {rate_hz} Hz"):
        stream(recognizer, None, rate_hz)


@pytest.mark.parametrize("rate_hz", [0, -16000, 16000.5, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(rate_hz):
    with pytest.raises(ValueError, match=f"sampling rate of {rate_hz} Hz; expected"):
        resample(torch.zeros(10), rate_hz, RATE_HZ, "The array")
