"""Degradations do what their names say: levels, bands, rates and lengths."""

import numpy as np
import pytest

from ser_lib.audio import (
    babble,
    change_gain,
    change_speed,
    clip,
    cut_middle,
    reverberate,
    telephone,
    through_codec,
    unchanged,
    white_noise,
)
from ser_lib.audio.degradations import CODECS, encoded
from ser_lib.synthetic.speech import make_speaker, random_numbers, speak

RATE_HZ = 16000


def speech(number: int = 0) -> np.ndarray:
    rng = random_numbers(0, number, "speech")
    wav = speak("neutral", make_speaker("F", rng), rng)
    return np.tile(wav, 3).astype(np.float32)


def tone(frequency_hz: float) -> np.ndarray:
    time_s = np.arange(RATE_HZ) / RATE_HZ
    return (0.3 * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


def power_db(wav: np.ndarray) -> float:
    return 10 * np.log10(np.mean(np.square(wav, dtype=float)))


VOICES = [speech(1), speech(2)[: RATE_HZ // 2]]
ALL = [
    (unchanged, {}),
    (white_noise, {"snr_db": 10}),
    (babble, {"snr_db": 10, "voices": VOICES}),
    (reverberate, {"rt60_s": 0.3}),
    (telephone, {}),
    (through_codec, {"codec": "MP3"}),
    (through_codec, {"codec": "Opus"}),
    (change_gain, {"gain_db": 20}),
    (clip, {"share": 0.1}),
    (cut_middle, {"duration_s": 1}),
    (change_speed, {"factor": 1.1}),
]
NAMES = [f"{function.__name__}-{k}" for k, (function, _) in enumerate(ALL)]
WITH_CHANCE = {white_noise, babble, reverberate}


def run(function, wav, seed=0, **parameters) -> np.ndarray:
    return function(wav, RATE_HZ, np.random.default_rng(seed), **parameters)


@pytest.mark.parametrize(("function", "parameters"), ALL, ids=NAMES)
def test_the_same_seed_gives_the_same_output_and_the_input_is_not_changed(
    function, parameters
):
    wav = speech()
    first = run(function, wav, seed=1, **parameters)
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    assert np.array_equal(first, run(function, wav, seed=1, **parameters))
    assert np.array_equal(wav, speech())
    other = run(function, wav, seed=2, **parameters)
    assert np.array_equal(first, other) == (function not in WITH_CHANCE)


@pytest.mark.parametrize("n_samples", [3201, 48000])
@pytest.mark.parametrize(("function", "parameters"), ALL[:-2], ids=NAMES[:-2])
def test_the_length_is_kept(function, parameters, n_samples):
    wav = np.resize(speech(), n_samples)
    assert len(run(function, wav, **parameters)) == n_samples


@pytest.mark.parametrize("snr_db", [20, 10, 0, -5])
def test_noise_and_babble_have_the_ratio_that_was_asked_for(snr_db):
    wav = speech()
    for noisy in (
        run(white_noise, wav, snr_db=snr_db),
        run(babble, wav, snr_db=snr_db, voices=VOICES),
    ):
        found_db = power_db(wav) - power_db(noisy - wav)
        assert found_db == pytest.approx(snr_db, abs=0.01)


def test_white_noise_has_the_same_power_in_each_band():
    added = run(white_noise, speech(), snr_db=0) - speech()
    spectrum = np.square(np.abs(np.fft.rfft(added)))
    low, high = np.array_split(spectrum, 2)
    assert low.mean() / high.mean() == pytest.approx(1, abs=0.05)


def test_the_voices_of_babble_are_equally_loud():
    """Tones of 500 and 2000 Hz, one a hundred times as strong, end as strong."""
    voices = [tone(500), 0.01 * tone(2000)]
    added = run(babble, speech(), snr_db=0, voices=voices) - speech()
    spectrum = np.abs(np.fft.rfft(added[:RATE_HZ]))  # a line for each hertz
    peaks = [spectrum[f - 5 : f + 6].max() for f in (500, 2000)]
    assert peaks[0] / peaks[1] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("rt60_s", [0.3, 0.8])
def test_a_click_in_a_room_decays_by_60_db_in_the_reverberation_time(rt60_s):
    click = np.zeros(RATE_HZ, np.float32)
    click[0] = 1
    tail = run(reverberate, click, rt60_s=rt60_s)[1:]
    rest = np.cumsum(tail[::-1] ** 2)[::-1]  # Schroeder's backward integration
    at = [round(share * rt60_s * RATE_HZ) for share in (0.1, 0.4)]
    fall_db = 10 * np.log10(rest[at[0]] / rest[at[1]])
    assert fall_db == pytest.approx(0.3 * 60, abs=1.5)


def test_a_room_keeps_the_level():
    wav = speech()
    assert power_db(run(reverberate, wav, rt60_s=0.8)) == pytest.approx(power_db(wav))


def test_a_telephone_removes_tones_outside_its_band_and_keeps_those_within():
    change_db = {
        f: power_db(run(telephone, tone(f))) - power_db(tone(f))
        for f in (100, 1000, 3000, 6000)
    }
    assert change_db[6000] < -40
    assert change_db[100] < -25
    assert change_db[1000] == pytest.approx(0, abs=0.5)
    assert change_db[3000] == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize(
    ("codec", "low_kbps", "high_kbps"), [("MP3", 16, 17.5), ("Opus", 6, 9)]
)
def test_a_codec_has_the_bit_rate_that_it_states(codec, low_kbps, high_kbps):
    wav = speech()
    content = encoded(wav, RATE_HZ, **CODECS[codec].options)
    kbps = 8 * len(content) / (len(wav) / RATE_HZ) / 1000
    assert low_kbps <= kbps <= high_kbps


@pytest.mark.parametrize("codec", list(CODECS))
def test_a_codec_does_not_shift_speech_in_time(codec):
    wav = speech()
    decoded = run(through_codec, wav, codec=codec)
    spectrum = np.fft.rfft(decoded, 2**17) * np.fft.rfft(wav, 2**17).conj()
    assert np.fft.irfft(spectrum).argmax() in (0, 1, 2**17 - 1)
    assert power_db(decoded) == pytest.approx(power_db(wav), abs=4)
    assert not np.allclose(decoded, wav, atol=1e-3)


def test_a_gain_is_in_decibels_and_clips_at_full_scale():
    wav = np.array([0.02, 0.5, -0.5], np.float32)
    np.testing.assert_allclose(run(change_gain, wav, gain_db=20), [0.2, 1, -1], 1e-6)
    np.testing.assert_allclose(run(change_gain, wav, gain_db=-20), wav / 10, 1e-6)


def test_the_stated_share_of_samples_is_clipped():
    clipped = run(clip, speech(), share=0.1)
    at_threshold = np.abs(clipped) >= np.abs(clipped).max()
    assert at_threshold.mean() == pytest.approx(0.1, abs=1e-3)


@pytest.mark.parametrize(("n_samples", "kept"), [(48000, 16000), (9000, 9000)])
def test_the_middle_is_cut_out_and_short_speech_is_kept_whole(n_samples, kept):
    wav = np.arange(n_samples, dtype=np.float32)
    middle = run(cut_middle, wav, duration_s=1)
    start = (n_samples - kept) // 2
    assert np.array_equal(middle, wav[start : start + kept])


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_speed_changes_duration_and_pitch(factor):
    faster = run(change_speed, tone(500), factor=factor)
    assert len(faster) == pytest.approx(RATE_HZ / factor, abs=1)
    peak_hz = np.abs(np.fft.rfft(faster)).argmax() * RATE_HZ / len(faster)
    assert peak_hz == pytest.approx(500 * factor, abs=1)
