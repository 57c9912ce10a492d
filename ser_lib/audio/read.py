"""Audio files: their length, their samples, and what can be wrong with them."""

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

# libsndfile shortens a cut-off WAV to what is there and only says so in its log.
_CUT_OFF_DATA = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)
# Programs that write to a pipe cannot know the length and put a number like this.
_LENGTH_UNKNOWN_BYTES = 2**31 - 2**8


def audio_duration_s(path: str | Path, sample_rate_hz: int) -> float:
    """Length of an audio file, after a check that the file is whole.

    Arguments
    ---------
    path : str | Path
        A WAV or FLAC file (anything that libsndfile reads).
    sample_rate_hz : int
        The sampling rate at which :func:`read_audio` is to return it. The file
        may have another.

    Returns
    -------
    float
        Seconds, such that ``len(read_audio(...)) / sample_rate_hz`` is the same.

    Raises
    ------
    FileNotFoundError, PermissionError, ValueError
        See :func:`open_audio`; also if its sampling rate is not usable.

    Example
    -------
    >>> path = Path(getfixture("tmp_path")) / "a.wav"
    >>> soundfile.write(path, [0.1] * 12000, 48000)
    >>> audio_duration_s(path, sample_rate_hz=16000)
    0.25
    """
    with open_audio(path) as audio:
        check_rate(audio.samplerate, sample_rate_hz, str(path))
        # Only decoding shows that a FLAC is cut off; its last sample is enough.
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
        A WAV or FLAC file (anything that libsndfile reads); its channels are averaged.
    sample_rate_hz : int | None
        The file is resampled to this rate if it has another; None leaves its own.
    start_s : float
        Where to begin.
    duration_s : float | None
        How much to read; None reads to the end.

    Returns
    -------
    (samples,) torch.Tensor
        float32; full scale is 1.

    Raises
    ------
    FileNotFoundError, PermissionError
        See :func:`open_audio`.
    ValueError
        If the file is empty, cut off, damaged or no audio file, its sampling rate is
        not usable, or its samples are not (see ``samples.py``).

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
    wav = mono(samples, rate_hz, str(path), start_s)
    return resample(wav, rate_hz, wanted_rate_hz, str(path))


def _skip_to(audio: soundfile.SoundFile, sample: int) -> None:
    """Go from the beginning to a sample; GSM and some others only go by decoding."""
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
    """Cut the silence before and after an utterance.

    Frames of 20 ms count as silent when their RMS lies more than ``threshold_db``
    below that of the loudest frame. Pauses within the utterance stay.

    Arguments
    ---------
    wav : (samples,) torch.Tensor
        The utterance.
    sample_rate_hz : int
        Its sampling rate.
    threshold_db : float
        How far below the loudest frame silence begins.
    margin_s : float
        What to keep before the first and after the last frame with sound.

    Returns
    -------
    (kept_samples,) torch.Tensor
        A part of ``wav``: never empty, and all of it where it is silent throughout.

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
    """Look up a file, and say why if there is none.

    Arguments
    ---------
    path : str | Path
        An audio file, or a link to one.

    Returns
    -------
    os.stat_result
        Its size and times.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
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
            f"{path} is a pipe, a socket or a device; expected an audio file. Write "
            f"what it gives to a file first."
        )
    return status


def _not_permitted(path: str | Path) -> PermissionError:
    return PermissionError(
        f"The audio file {path} may not be read: permission denied. Change its "
        f"permissions or those of its folder."
    )


@contextmanager
def open_audio(path: str | Path) -> Iterator[soundfile.SoundFile]:
    """Open a whole, non-empty file; turn libsndfile's errors into ones that say why.

    Arguments
    ---------
    path : str | Path
        An audio file that libsndfile reads.

    Yields
    ------
    soundfile.SoundFile
        Open for reading.

    Raises
    ------
    FileNotFoundError, PermissionError
        See :func:`file_status`; also if the file may not be read.
    ValueError
        If it is empty, cut off, damaged or not an audio file.
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
    # Not by its path, since soundfile takes no names that are not UTF-8.
    try:
        return soundfile.SoundFile(descriptor, closefd=False)
    except soundfile.LibsndfileError as error:
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
        raise ValueError(f"{path} has a header, but not one sample of audio.")
