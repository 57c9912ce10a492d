"""Cut the sound of video clips into WAV files, with ffmpeg."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from ser_lib.utils.distributed import locked
from ser_lib.utils.files import atomic_path
from ser_lib.utils.listing import first_few
from ser_lib.utils.progress import with_progress


class Clip(NamedTuple):
    """A video and the WAV file that gets its sound."""

    video: Path
    wav: Path


def cut_audio(clips: Sequence[Clip], corpus: Mapping) -> None:
    """Write the sound of each clip that has no WAV file yet; a killed run resumes.

    Arguments
    ---------
    corpus : Mapping
        The block ``corpus`` of ``corpus.yaml``: ``name``, ``sample_rate_hz``,
        ``min_duration_s`` (shorter clips are padded with silence) and
        ``max_duration_s`` (longer ones are cut).

    Raises
    ------
    FileNotFoundError
        If a clip is missing, or ffmpeg is not installed.
    ValueError
        If ffmpeg finds no sound in a clip.
    """
    if not clips:
        return
    missing = [clip.video for clip in clips if not clip.video.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(clips)} clips of {corpus['name']} do not exist: "
            f"{first_few(missing)}. Unpack the archive again."
        )
    if shutil.which("ffmpeg") is None:
        raise FileNotFoundError(
            f"ffmpeg is needed to cut the audio of {len(clips)} clips of "
            f"{corpus['name']}, and it is not installed. Install it (on Debian: apt "
            f"install ffmpeg), or put WAV files such as {clips[0].wav} there."
        )
    folder = Path(os.path.commonpath([clip.wav.parent for clip in clips]))
    with locked(folder), ThreadPoolExecutor(os.cpu_count()) as pool:
        cut = pool.map(lambda clip: _cut(clip, corpus), clips)
        list(with_progress(cut, "cutting audio", "clips", total=len(clips)))


def _cut(clip: Clip, corpus: Mapping) -> None:
    if clip.wav.is_file():  # another run was faster
        return
    with atomic_path(clip.wav) as unfinished:
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y"]
        command += ["-i", str(clip.video), "-t", str(corpus["max_duration_s"]), "-vn"]
        command += ["-af", f"apad=whole_dur={corpus['min_duration_s']}"]
        command += ["-ac", "1", "-ar", str(corpus["sample_rate_hz"])]
        command += ["-f", "wav", str(unfinished)]
        done = subprocess.run(  # noqa: S603 - no shell, and the paths are arguments
            command, capture_output=True, text=True, errors="replace"
        )
        if done.returncode:
            raise ValueError(
                f"ffmpeg cannot read the sound of {clip.video}: "
                f"{done.stderr.strip()[-300:] or 'no reason given'}. Copy it again."
            )
