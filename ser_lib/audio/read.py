"""Read audio files, and explain what is wrong with a file that cannot be read."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import soundfile
import torch

from ser_lib.audio.resampling import check_rate, resample, resampled_samples
from ser_lib.audio.samples import mono

# libsndfile reads the rest of a truncated WAV file and only mentions it in its log.
_CUT_OFF_DATA = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)
# Programs that write to a pipe do not know the length and write a number like this.
_LENGTH_UNKNOWN_BYTES = 2**31 - 2**8
# An MP3 decodes to as many samples as it says, or to a few less.
_LEAST_DECODED = 0.98
# The start of a file that Git LFS has not downloaded
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def audio_duration_s(path: str | Path, sample_rate_hz: int) -> float:
    """Return the duration of an audio file after checking that the file is complete.

    Arguments
    ---------
    path : str | Path
        A WAV or FLAC file, or any other format that libsndfile reads.
    sample_rate_hz : int
        The sampling rate at which :func:`read_audio` will return it; the file may have
        another.

    Returns
    -------
    float
        Seconds, equal to ``len(read_audio(...)) / sample_rate_hz``.

    Raises
    ------
    FileNotFoundError, PermissionError, ValueError
        See :func:`read_audio`.

    Example
    -------
    >>> path = Path(getfixture("tmp_path")) / "a.wav"
    >>> soundfile.write(path, [0.1] * 12000, 48000)
    >>> audio_duration_s(path, sample_rate_hz=16000)
    0.25
    """
    with open_audio(path) as audio:
        check_rate(audio.samplerate, sample_rate_hz, str(path))
        # Only decoding reveals a truncated FLAC file; its last sample is enough.
        _skip_to(audio, audio.frames - 1)
        audio.read(1)
        rates_hz = audio.samplerate, sample_rate_hz
        return resampled_samples(audio.frames, *rates_hz) / sample_rate_hz


def read_audio(
    path: str | Path,
    sample_rate_hz: int | None,
    start_s: float = 0.0,
    duration_s: float | None = None,
) -> torch.Tensor:
    """Read an audio file, or a part of it, as one channel at the wanted sampling rate.

    Arguments
    ---------
    path : str | Path
        A WAV or FLAC file, or any other format that libsndfile reads. Its channels are
        averaged.
    sample_rate_hz : int | None
        The file is resampled to this rate; None keeps its own.
    start_s : float
        Start of the part.
    duration_s : float | None
        Duration of the part; None reads to the end.

    Returns
    -------
    (samples,) torch.Tensor
        float32; full scale is 1.

    Raises
    ------
    FileNotFoundError, PermissionError
        If the file does not exist or may not be read.
    ValueError
        If the file is empty, truncated, damaged or not an audio file, or if its
        sampling rate or its samples are refused (see ``samples.py``).

    Example
    -------
    >>> path = Path(getfixture("tmp_path")) / "stereo.wav"
    >>> soundfile.write(path, [[0.5, 0.25]] * 48, 48000)
    >>> read_audio(path, sample_rate_hz=16000).shape
    torch.Size([16])
    """
    with open_audio(path) as audio:
        rate_hz, n_samples = audio.samplerate, audio.frames
        wanted_rate_hz = rate_hz if sample_rate_hz is None else sample_rate_hz
        check_rate(rate_hz, wanted_rate_hz, str(path))
        _skip_to(audio, round(start_s * rate_hz))
        if duration_s is not None:
            n_samples = round(duration_s * rate_hz)
        samples = audio.read(n_samples, dtype="float32", always_2d=True)
        if start_s == 0 and duration_s is None:
            _check_decoded(path, len(samples), n_samples)
    wav = mono(samples, rate_hz, str(path), start_s)
    return resample(wav, rate_hz, wanted_rate_hz, str(path))


def _check_decoded(path: str | Path, found: int, promised: int) -> None:
    """Refuse half of an MP3, which has the number of samples in its header."""
    if found < _LEAST_DECODED * promised:
        raise ValueError(
            f"{path} is cut off: its header promises {promised} samples, {found} are "
            f"there. Copy it again."
        )


def _skip_to(audio: soundfile.SoundFile, sample: int) -> None:
    """Skip from the start of a file to a sample; formats such as GSM need decoding."""
    if audio.seekable():
        audio.seek(sample)
    else:
        audio.read(sample)


def trim_silence(
    wav: torch.Tensor,
    sample_rate_hz: int,
    threshold_db: float = 30.0,
    margin_s: float = 0.06,
) -> torch.Tensor:
    """Trim the silence before and after an utterance.

    Frames of 20 ms are silent if their RMS is more than ``threshold_db`` below that of
    the loudest frame. Pauses within the utterance are kept.

    Arguments
    ---------
    wav : (samples,) torch.Tensor
        The utterance.
    margin_s : float
        What to keep before the first and after the last frame with sound.

    Returns
    -------
    (kept_samples,) torch.Tensor
        A part of ``wav``: never empty, and all of it if it is silent throughout.

    Example
    -------
    >>> wav = torch.cat([torch.zeros(8000), torch.ones(1600), torch.zeros(8000)])
    >>> trim_silence(wav, sample_rate_hz=16000, margin_s=0.06).shape
    torch.Size([3520])
    """
    frame_samples = round(0.02 * sample_rate_hz)
    padded = torch.nn.functional.pad(wav, (0, -len(wav) % frame_samples))
    rms = padded.view(-1, frame_samples).square().mean(dim=1).sqrt()
    with_sound = torch.nonzero(rms >= rms.max() * 10 ** (-threshold_db / 20))
    margin_samples = round(margin_s * sample_rate_hz)
    start = int(with_sound[0]) * frame_samples - margin_samples
    end = (int(with_sound[-1]) + 1) * frame_samples + margin_samples
    return wav[max(start, 0) : end]


def file_status(path: str | Path) -> os.stat_result:
    """Return size and times of an audio file, or explain why they cannot be read.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    PermissionError
        If its folder may not be entered.
    ValueError
        If it is a folder, a pipe, a socket or a device.
    """
    path = Path(path)
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        link = f" It is a link to {os.readlink(path)}." if path.is_symlink() else ""
        message = f"The audio file {path} does not exist.{link}"
        raise FileNotFoundError(message) from error
    except PermissionError as error:
        raise _not_permitted(path) from error
    if stat.S_ISDIR(status.st_mode):
        raise ValueError(f"{path} is a folder; expected an audio file.")
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(
            f"{path} is a pipe, a socket or a device; expected an audio file. Save its "
            f"output to a file first."
        )
    return status


def _not_permitted(path: str | Path) -> PermissionError:
    return PermissionError(
        f"The audio file {path} may not be read: permission denied. Change its "
        f"permissions or those of its folder."
    )


@contextmanager
def open_audio(path: str | Path) -> Iterator[soundfile.SoundFile]:
    """Open a complete, non-empty audio file; explain libsndfile's errors.

    Raises
    ------
    FileNotFoundError, PermissionError
        If the file does not exist or may not be read.
    ValueError
        If it is empty, truncated, damaged or not an audio file.
    """
    if file_status(path).st_size == 0:
        raise ValueError(f"The audio file {path} is empty (0 bytes). Copy it again.")
    try:
        file = open(path, "rb")
    except PermissionError as error:
        raise _not_permitted(path) from error
    with file, _opened(path, file.fileno()) as audio:
        try:
            _check_whole(path, audio)
            yield audio
        except soundfile.LibsndfileError as error:
            raise ValueError(
                f"{path} cannot be read as audio: it is cut off or damaged (libsndfile "
                f"says: {error.error_string}). Copy it again."
            ) from error


def _opened(path: str | Path, descriptor: int) -> soundfile.SoundFile:
    # Not by its path, because soundfile accepts only names in UTF-8.
    try:
        return soundfile.SoundFile(descriptor, closefd=False)
    except soundfile.LibsndfileError as error:
        if os.pread(descriptor, len(_LFS_POINTER), 0) == _LFS_POINTER:
            raise ValueError(
                f"{path} is a Git LFS pointer, not the audio itself. Install git-lfs, "
                f"and run 'git lfs pull' in the folder of the repository."
            ) from error
        raise ValueError(
            f"{path} cannot be read as audio: it is not an audio file, its encoding is "
            f"not supported, or its header is damaged (libsndfile says: "
            f"{error.error_string}). Convert it to WAV or FLAC, or copy it again."
        ) from error


def _check_whole(path: str | Path, audio: soundfile.SoundFile) -> None:
    cut_off = _CUT_OFF_DATA.search(audio.extra_info)
    if cut_off:
        promised, found = map(int, cut_off.groups())
        if found < promised < _LENGTH_UNKNOWN_BYTES:
            raise ValueError(
                f"{path} is cut off: its header promises {promised} bytes of audio, "
                f"{found} are there. Copy it again."
            )
    if audio.frames == 0:
        raise ValueError(
            f"{path} has a header, but no audio samples: it is empty or cut off. Copy "
            f"it again."
        )
