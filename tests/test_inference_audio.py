"""Recordings of all kinds: read by the recognizer, or refused with the reason."""

import struct

import numpy as np
import pytest
import torch
from model_folders import RATE_HZ, speech, write_folder, write_wav

from ser_lib.audio import trim_silence
from ser_lib.inference import EmotionRecognizer


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory) -> EmotionRecognizer:
    folder = write_folder(tmp_path_factory.mktemp("models") / "fbank")
    return EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})


# ---- recordings of all kinds


def test_flac_gives_what_wav_gives(recognizer, tmp_path):
    expected = recognizer.classify_file(write_wav(tmp_path / "a.wav", speech()))[0]
    found = recognizer.classify_file(write_wav(tmp_path / "a.flac", speech()))[0]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("suffix", ["mp3", "ogg"])
def test_lossy_formats_are_read(recognizer, tmp_path, suffix):
    tone = 0.3 * np.sin(np.arange(RATE_HZ) * 2 * np.pi * 440 / RATE_HZ)
    path = write_wav(tmp_path / f"a.{suffix}", tone)
    wav = recognizer.load_audio(path)
    assert abs(len(wav) - RATE_HZ) < 0.1 * RATE_HZ  # the encoder pads the ends
    strongest_bin = torch.fft.rfft(wav, n=RATE_HZ).abs().argmax()
    assert abs(int(strongest_bin) - 440) <= 1  # bins of 1 Hz
    assert recognizer.classify_file(path)[0].isfinite().all()


@pytest.mark.parametrize("rate_hz", [8000, 44100, 192000])
def test_another_sampling_rate_is_resampled(recognizer, tmp_path, rate_hz):
    path = write_wav(tmp_path / "a.wav", speech(rate_hz=rate_hz), rate_hz)
    assert recognizer.load_audio(path).shape == (RATE_HZ,)
    assert recognizer.classify_file(path)[0].shape == (1, 4)


def test_six_channels_are_averaged(recognizer, tmp_path):
    wav = speech()
    channels = np.stack([k * wav for k in (0.2, 0.4, 0.6, 0.8, 1, 3)], axis=1)
    six = write_wav(tmp_path / "six.wav", channels, subtype="FLOAT")
    one = write_wav(tmp_path / "one.wav", wav, subtype="FLOAT")
    found, expected = (recognizer.classify_file(path)[0] for path in (six, one))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_clipped_recording_is_taken_as_it_is(recognizer, tmp_path):
    clipped = np.clip(20 * speech(), -1, 1)
    assert (np.abs(clipped) == 1).mean() > 0.5
    path = write_wav(tmp_path / "a.wav", clipped)
    wav = recognizer.load_audio(path)
    assert wav.max() > 0.9999 and len(wav) == RATE_HZ
    assert recognizer.classify_file(path)[0].isfinite().all()


@pytest.mark.parametrize("kind", [np.float64, np.int16, np.int32, torch.float32])
def test_an_array_gives_what_its_file_gives(recognizer, tmp_path, kind):
    samples = np.round(speech() * 2**15) / 2**15  # exact in 16 bits
    expected = recognizer.classify_file(write_wav(tmp_path / "a.wav", samples))[0]
    if kind is torch.float32:
        samples = torch.tensor(samples).float()
    else:
        full_scale = 2.0 ** (8 * np.dtype(kind).itemsize - 1)
        is_integer = np.issubdtype(kind, np.integer)
        samples = (samples * (full_scale if is_integer else 1)).astype(kind)
    found = recognizer.classify_array(samples, RATE_HZ)[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_an_array_at_another_rate_with_two_channels_is_converted(recognizer):
    stereo = np.stack([speech(rate_hz=48000)] * 2, axis=1)
    expected = recognizer.classify_array(speech(rate_hz=48000), 48000)[0]
    found = recognizer.classify_array(stereo, 48000)[0]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_the_ends_are_cut_as_in_training(tmp_path):
    folder = write_folder(tmp_path / "model", trim_silence_db=30)
    recognizer = EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})
    wav = torch.tensor(speech()).float()
    padded = torch.cat([torch.zeros(8000), wav, torch.zeros(16000)])
    path = write_wav(tmp_path / "a.wav", padded.numpy(), subtype="FLOAT")
    assert torch.equal(recognizer.load_audio(path), trim_silence(padded, RATE_HZ, 30))
    assert len(recognizer.load_audio(path)) < 1.2 * RATE_HZ
    found = recognizer.classify_array(padded, RATE_HZ)[0]
    assert torch.equal(found, recognizer.classify_file(path)[0])
    click = torch.zeros(RATE_HZ)
    click[8000:8160] = 0.5  # 20 ms at most, and 60 ms are kept before and after it
    with pytest.raises(ValueError, match="without the silence at its ends.*too short"):
        recognizer.classify_array(click, RATE_HZ)


# ---- what is refused

NOTHING = {
    "silent": (np.zeros(RATE_HZ), "is silent: its peak is at -inf dBFS"),
    "nearly silent": (0.0009 * np.sign(speech()), "is silent: its peak is at -61 dBFS"),
    "constant": (np.full(RATE_HZ, 0.5), "is silent"),
    "10 ms": (speech(0.01), "too short: it lasts 10 ms, expected at least 200 ms"),
    "no samples": (np.zeros(0), "has a header, but no audio samples"),
    "NaN": (np.append(speech(), np.nan), "not finite"),
}


@pytest.mark.parametrize("name", NOTHING)
def test_a_file_with_nothing_in_it_is_refused_by_name(recognizer, tmp_path, name):
    samples, message = NOTHING[name]
    path = write_wav(tmp_path / "a.wav", samples, subtype="FLOAT")
    with pytest.raises(ValueError, match=f"{path} .*{message}"):
        recognizer.classify_file(path)
    with pytest.raises(ValueError, match=f"{path} .*{message}"):
        recognizer.classify_files([path], progressbar=False)


def test_files_that_are_no_audio_are_refused_by_name(recognizer, tmp_path):
    empty, text, damaged = (tmp_path / f"{name}.wav" for name in "abc")
    empty.touch()
    text.write_text("This is not audio. " * 50)
    write_wav(damaged, speech())
    content = bytearray(damaged.read_bytes())
    content[12:36] = struct.pack("<24s", b"\xff" * 24)  # the format chunk
    damaged.write_bytes(content)
    for path, message in (
        (empty, "is empty"),
        (text, "cannot be read as audio"),
        (damaged, "cannot be read as audio"),
        (tmp_path, "is a folder"),
    ):
        with pytest.raises(ValueError, match=f"{path} {message}"):
            recognizer.classify_file(path)


def test_a_missing_file_among_many_is_found_before_anything_is_classified(
    recognizer, tmp_path, monkeypatch
):
    good = write_wav(tmp_path / "a.wav", speech())
    monkeypatch.setattr(recognizer, "classify_batch", lambda *args: pytest.fail())
    with pytest.raises(FileNotFoundError, match=r"missing\.wav does not exist"):
        recognizer.classify_files([good, tmp_path / "missing.wav"], progressbar=False)


def test_a_folder_without_audio_is_refused_with_its_content(recognizer, tmp_path):
    (tmp_path / "notes.txt").write_text("no audio")
    with pytest.raises(FileNotFoundError, match="holds no audio.*found 1 other files"):
        recognizer.classify_files(tmp_path)
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        recognizer.classify_files(tmp_path / "missing")


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(0), "The array is empty"),
        (np.zeros(RATE_HZ, np.int16), "The array is silent"),
        (1000 * speech(), r"reaches \d+\.\d+; expected floats with full scale 1"),
        (speech()[None], r"has the shape \(1, 16000\); expected \(samples,\) or"),
        (np.append(speech(), np.inf), "samples that are not finite.* 1.000 s"),
    ],
)
def test_an_array_with_nothing_to_recognise_is_refused(recognizer, samples, message):
    with pytest.raises(ValueError, match=message):
        recognizer.classify_array(samples, RATE_HZ)


def test_a_batch_is_refused_with_the_utterance_that_is_wrong(recognizer):
    wavs = torch.randn(3, RATE_HZ)
    with pytest.raises(ValueError, match="Utterance 1 of the batch is too short"):
        recognizer.classify_batch(wavs, torch.tensor([1, 0.1, 0.5]))
    with pytest.raises(ValueError, match="between 0 and 1 per utterance"):
        recognizer.classify_batch(wavs, torch.tensor([16000, 8000, 8000]))
    with pytest.raises(ValueError, match=r"wavs have the shape \(3, 16000\)"):
        recognizer.classify_batch(wavs, torch.ones(2))
    wavs[2, 5] = torch.nan
    with pytest.raises(ValueError, match="Utterance 2 of the batch .* not finite"):
        recognizer.encode_batch(wavs)
