"""Audio files: their length, their samples, and what can be wrong with them."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import soundfile
import torch
import torchaudio

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
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty, cut off or no audio file.

    Example
    -------
    >>> path = Path(getfixture("tmp_path")) / "a.wav"
    >>> soundfile.write(path, [0.1] * 12000, 48000)
    >>> audio_duration_s(path, sample_rate_hz=16000)
    0.25
    """
    with open_audio(path) as audio:
        # Only decoding shows that a FLAC is cut off; its last sample is enough.
        audio.seek(audio.frames - 1)
        audio.read(1)
        resampled_samples = -(-audio.frames * sample_rate_hz // audio.samplerate)
    return resampled_samples / sample_rate_hz


def read_audio(path: str | Path, sample_rate_hz: int) -> torch.Tensor:
    """Read an audio file as one channel at the wanted sampling rate.

    Arguments
    ---------
    path : str | Path
        A WAV or FLAC file; its channels are averaged.
    sample_rate_hz : int
        The file is resampled to this rate if it has another.

    Returns
    -------
    (samples,) torch.Tensor
        float32; full scale is 1.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty, cut off, damaged or no audio file, or holds samples
        that are not finite.

    Example
    -------
    >>> path = Path(getfixture("tmp_path")) / "stereo.wav"
    >>> soundfile.write(path, [[0.5, 0.25]] * 48, 48000)
    >>> read_audio(path, sample_rate_hz=16000).shape
    torch.Size([16])
    """
    with open_audio(path) as audio:
        channels = torch.from_numpy(audio.read(dtype="float32", always_2d=True))
        wav = channels.mean(dim=1)
        file_rate_hz = audio.samplerate
    if not torch.isfinite(wav).all():
        raise ValueError(f"{path} holds samples that are not finite (NaN or infinity).")
    return torchaudio.functional.resample(wav, file_rate_hz, sample_rate_hz)


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
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is empty, cut off or not an audio file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"The audio file {path} does not exist.")
    if Path(path).stat().st_size == 0:
        raise ValueError(f"The audio file {path} is empty (0 bytes). Copy it again.")
    try:
        # soundfile cannot encode a name that is not UTF-8.
        with soundfile.SoundFile(os.fsencode(path)) as audio:
            _check_whole(path, audio)
            yield audio
    except soundfile.LibsndfileError as error:
        raise ValueError(
            f"{path} cannot be read as audio: it is cut off, damaged or not an audio "
            f"file at all (libsndfile says: {error.error_string}). Copy it again."
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
