"""Files in a folder and all folders in it: the audio among them."""

import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

AUDIO_SUFFIXES = (".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav")

# Called with a folder that cannot be read, and a message that names it.
OnError = Callable[[Path, str], None]


def refuse(folder: Path, message: str) -> None:
    """Stop at a folder that cannot be read.

    Arguments
    ---------
    folder : Path
        The folder.
    message : str
        What to say.

    Raises
    ------
    OSError
        In any case.
    """
    raise OSError(message)


def find_audio(folder: str | Path, on_error: OnError = refuse) -> list[Path]:
    """List the audio files of a folder and of the folders in it.

    Arguments
    ---------
    folder : str | Path
        The folder.
    on_error : OnError
        As for :func:`find_files`.

    Returns
    -------
    list[Path]
        In the order of their paths.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no audio file in it.
    OSError
        If a folder cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    # macOS leaves files named ._* beside the real ones.
    files = [p for p in find_files(folder, on_error) if not p.name.startswith("._")]
    found = [path for path in files if path.suffix.lower() in AUDIO_SUFFIXES]
    if not found:
        raise FileNotFoundError(
            f"The folder {folder} holds no audio: expected files named "
            f"{', '.join(AUDIO_SUFFIXES)}, found {len(files)} other files."
        )
    return found


def find_files(folder: Path, on_error: OnError = refuse) -> list[Path]:
    """List all that is below a folder but is not a folder.

    Links to folders are followed. A folder to which several paths lead is listed once,
    without a link where that is possible; so links that lead back do no harm.

    Arguments
    ---------
    folder : Path
        The folder.
    on_error : OnError
        What to do about a folder that cannot be read.

    Returns
    -------
    list[Path]
        In the order of their paths.

    Raises
    ------
    OSError
        If a folder cannot be read, unless ``on_error`` goes on.
    """
    files: list[Path] = []
    seen: set[tuple[int, int]] = set()
    folders, links = deque([folder]), deque()
    while folders or links:
        here = (folders or links).popleft()
        try:
            status = os.stat(here)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = _entries(here)
        except OSError as error:
            on_error(here, f"The folder {here} cannot be read: {error.strerror}.")
            continue
        for entry in entries:
            kind = links if entry.is_symlink() else folders
            (kind if _is_folder(entry) else files).append(Path(entry.path))
    return sorted(files)


def _entries(folder: Path) -> list[os.DirEntry]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return True  # a link in a circle, or behind a closed door: tried, and named
