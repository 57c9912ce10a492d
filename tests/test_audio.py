"""Audio files: whole ones are read and measured, bad ones are named."""

import os
import socket

import numpy as np
import pytest
import soundfile
import torch

from ser_lib.audio import audio_duration_s, read_audio, trim_silence

RATE_HZ = 16000


def _tone(seconds: float, rate_hz: int = RATE_HZ, frequency_hz: float = 440.0):
    """A sine with an amplitude of one half."""
    return 0.5 * np.sin(
        2 * np.pi * frequency_hz * np.arange(round(seconds * rate_hz)) / rate_hz
    )


@pytest.fixture(params=["wav", "flac"])
def audio_file(request, tmp_path):
    """One second of a tone, 16-bit."""
    path = tmp_path / f"tone.{request.param}"
    soundfile.write(path, _tone(1.0), RATE_HZ, subtype="PCM_16")
    return path


def test_a_whole_file_has_the_duration_that_was_written(audio_file):
    assert audio_duration_s(audio_file, RATE_HZ) == 1.0


def test_samples_come_back_to_within_16_bits(audio_file):
    expected = torch.tensor(_tone(1.0), dtype=torch.float32)
    wav = read_audio(audio_file, RATE_HZ)
    assert wav.dtype == torch.float32
    torch.testing.assert_close(wav, expected, atol=2**-15, rtol=0)


@pytest.mark.parametrize("check", [audio_duration_s, read_audio])
def test_a_missing_file_is_named(check, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.wav does not exist"):
        check(tmp_path / "nowhere.wav", RATE_HZ)


@pytest.mark.parametrize("check", [audio_duration_s, read_audio])
def test_an_empty_file_is_named(check, audio_file):
    audio_file.write_bytes(b"")
    with pytest.raises(ValueError, match=rf"{audio_file.name} is empty \(0 bytes\)"):
        check(audio_file, RATE_HZ)


@pytest.mark.parametrize("check", [audio_duration_s, read_audio])
def test_a_text_file_is_named(check, audio_file):
    audio_file.write_text("version https://git-lfs.github.com/spec/v1\n" * 9)
    with pytest.raises(ValueError, match=rf"{audio_file.name} is a Git LFS pointer"):
        check(audio_file, RATE_HZ)
    audio_file.write_text("version of a text\n" * 9)
    with pytest.raises(ValueError, match=rf"{audio_file.name} cannot be read as audio"):
        check(audio_file, RATE_HZ)


@pytest.mark.parametrize("check", [audio_duration_s, read_audio])
@pytest.mark.parametrize("missing_bytes", [2, 5000])
def test_a_cut_off_file_is_named(check, missing_bytes, audio_file):
    audio_file.write_bytes(audio_file.read_bytes()[:-missing_bytes])
    with pytest.raises(ValueError, match=rf"{audio_file.name} .*(is|it is) cut off"):
        check(audio_file, RATE_HZ)


def test_a_cut_off_wav_is_told_in_bytes(tmp_path):
    path = tmp_path / "cut.wav"
    soundfile.write(path, _tone(1.0), RATE_HZ, subtype="PCM_16")
    path.write_bytes(path.read_bytes()[: 44 + 10000])
    with pytest.raises(ValueError, match="promises 32000 bytes of audio, 10000 are"):
        audio_duration_s(path, RATE_HZ)


def test_half_an_mp3_is_told_in_samples(tmp_path):
    path = tmp_path / "half.mp3"
    soundfile.write(path, _tone(3.0), RATE_HZ)
    assert len(read_audio(path, RATE_HZ)) == 3 * RATE_HZ
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=rf"cut off: .* {3 * RATE_HZ} samples"):
        read_audio(path, RATE_HZ)


def test_a_wav_from_a_pipe_with_unknown_length_is_whole(tmp_path):
    path = tmp_path / "piped.wav"
    soundfile.write(path, _tone(1.0), RATE_HZ, subtype="PCM_16")
    header_and_data = bytearray(path.read_bytes())
    header_and_data[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(header_and_data)
    assert audio_duration_s(path, RATE_HZ) == 1.0


def test_a_file_with_a_header_only_is_named(tmp_path):
    soundfile.write(tmp_path / "none.wav", [], RATE_HZ)
    with pytest.raises(ValueError, match=r"none\.wav has a header, but no"):
        audio_duration_s(tmp_path / "none.wav", RATE_HZ)


def _device(path):
    path.symlink_to(os.devnull)  # nothing is written to it


def _socket(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)  # such paths must be short


def _folder(path):
    path.mkdir()


@pytest.mark.parametrize("check", [audio_duration_s, read_audio])
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (os.mkfifo, "pipe, a socket or a device"),
        (_device, "pipe, a socket or a device"),
        (_socket, "pipe, a socket or a device"),
        (_folder, "folder"),
    ],
)
def test_what_is_there_but_is_no_file_is_called_what_it_is(
    make, kind, check, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "a.wav")
    with pytest.raises(ValueError, match=rf"a\.wav is a {kind}.*expected an audio"):
        check(tmp_path / "a.wav", RATE_HZ)


def test_a_link_that_leads_nowhere_is_told_with_its_target(tmp_path):
    (tmp_path / "a.wav").symlink_to("moved away.wav")
    with pytest.raises(FileNotFoundError, match=r"a link to moved away\.wav"):
        read_audio(tmp_path / "a.wav", RATE_HZ)


@pytest.fixture
def without_privileges():
    """Be a user whom permissions bind; root is not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("forbidden", ["a.wav", "."])
def test_a_file_without_permission_is_not_called_damaged_or_missing(
    forbidden, tmp_path, monkeypatch, request
):
    soundfile.write(tmp_path / "folder.wav", _tone(1.0), RATE_HZ)
    (tmp_path / "in").mkdir()
    path = (tmp_path / "folder.wav").rename(tmp_path / "in" / "a.wav")
    tmp_path.chmod(0o755)
    (path.parent / forbidden).chmod(0o000)
    monkeypatch.chdir(tmp_path)  # the folders above may be closed to others
    request.getfixturevalue("without_privileges")
    with pytest.raises(PermissionError, match="in/a.wav may not be read: permission"):
        read_audio("in/a.wav", RATE_HZ)


def test_a_codec_that_cannot_be_read_is_not_called_damaged_alone(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, _tone(0.1), RATE_HZ, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[20:22] = b"\x61\x01"  # Windows Media Audio
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.wav .* its encoding is not supported"):
        audio_duration_s(path, RATE_HZ)


@pytest.mark.parametrize("subtype", ["GSM610", "NMS_ADPCM_16"])
def test_codecs_that_only_run_forwards_are_read(subtype, tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, _tone(1.0), RATE_HZ, subtype=subtype)
    assert audio_duration_s(path, RATE_HZ) == 1.0
    wav = read_audio(path, RATE_HZ)
    assert len(wav) == RATE_HZ
    expected = torch.tensor(_tone(1.0)).float()
    assert torch.nn.functional.cosine_similarity(wav, expected, dim=0) > 0.95
    torch.testing.assert_close(read_audio(path, RATE_HZ, 0.5, 0.25), wav[8000:12000])


def test_a_name_that_is_not_utf_8_is_read(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff.wav")
    soundfile.write(tmp_path / "a.wav", _tone(1.0), RATE_HZ)
    (tmp_path / "a.wav").rename(path)
    assert len(read_audio(path, RATE_HZ)) == RATE_HZ
    assert audio_duration_s(path, RATE_HZ) == 1.0


def test_a_part_of_a_file_is_that_part_of_the_whole(audio_file):
    whole = read_audio(audio_file, RATE_HZ)
    assert torch.equal(read_audio(audio_file, RATE_HZ, 0.25, 0.5), whole[4000:12000])
    assert torch.equal(read_audio(audio_file, RATE_HZ, 0.75), whole[12000:])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_an_error(bad, tmp_path):
    soundfile.write(tmp_path / "bad.wav", [0.1, bad, 0.1], RATE_HZ, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"bad\.wav holds samples that are not finite"):
        read_audio(tmp_path / "bad.wav", RATE_HZ)


def test_channels_are_averaged(tmp_path):
    soundfile.write(tmp_path / "stereo.wav", [[0.5, 0.25]] * 100, RATE_HZ)
    wav = read_audio(tmp_path / "stereo.wav", RATE_HZ)
    assert wav.tolist() == [0.375] * 100


@pytest.mark.parametrize("file_rate_hz", [8000, 22050, 44100, 48000])
def test_another_sampling_rate_is_resampled_and_gives_the_same_tone(
    file_rate_hz, tmp_path
):
    path = tmp_path / "tone.wav"
    soundfile.write(path, _tone(0.9, file_rate_hz), file_rate_hz)
    wav = read_audio(path, RATE_HZ)
    assert len(wav) == 14400
    assert audio_duration_s(path, RATE_HZ) == 0.9
    middle = slice(2000, 12000)  # the resampling filter sees the edges as silence
    expected = torch.tensor(_tone(0.9), dtype=torch.float32)
    torch.testing.assert_close(wav[middle], expected[middle], atol=2e-3, rtol=0)


@pytest.mark.parametrize("samples", [44100, 44101, 44102, 12345])
def test_the_duration_is_that_of_the_resampled_audio(samples, tmp_path):
    path = tmp_path / "odd.wav"
    soundfile.write(path, np.zeros(samples), 44100)
    assert audio_duration_s(path, RATE_HZ) == len(read_audio(path, RATE_HZ)) / RATE_HZ


def test_silence_is_cut_to_the_margin_on_both_sides():
    quiet = 1e-3 * torch.ones(RATE_HZ)  # 54 dB below the sound
    wav = torch.cat([quiet, 0.5 * torch.ones(RATE_HZ), quiet])
    margin = round(0.06 * RATE_HZ)
    expected = wav[RATE_HZ - margin : 2 * RATE_HZ + margin]
    torch.testing.assert_close(trim_silence(wav, RATE_HZ), expected, atol=0, rtol=0)


def test_sound_above_the_threshold_and_pauses_inside_stay():
    soft = 0.5 * 10 ** (-29 / 20) * torch.ones(3200)  # 29 dB below the sound
    wav = torch.cat([soft, 0.5 * torch.ones(3200), torch.zeros(9600), soft])
    assert len(trim_silence(wav, RATE_HZ, threshold_db=30.0)) == len(wav)
    assert len(trim_silence(wav, RATE_HZ, threshold_db=28.0)) == 3200 + 2 * 960


@pytest.mark.parametrize(
    "wav", [torch.zeros(5000), torch.zeros(7), 1e-9 * torch.ones(5000)]
)
def test_audio_that_is_equally_silent_throughout_stays_whole(wav):
    assert len(trim_silence(wav, RATE_HZ)) == len(wav)


def test_a_margin_longer_than_the_silence_keeps_it_all():
    wav = torch.cat([torch.zeros(400), torch.ones(640), torch.zeros(400)])
    assert len(trim_silence(wav, RATE_HZ, margin_s=1.0)) == len(wav)


def test_a_click_shorter_than_a_frame_is_not_lost():
    wav = torch.zeros(1000)
    wav[990] = 1.0
    assert trim_silence(wav, RATE_HZ, margin_s=0.0).tolist() == wav[960:].tolist()
