"""Find files, and among them audio files, in a folder and its subfolders."""

import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

AUDIO_SUFFIXES = (".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav")

# Called with a folder that cannot be read and a message that names it.
OnError = Callable[[Path, str], None]


def _raise(folder: Path, message: str) -> None:
    """Raise an OSError for a folder that cannot be read."""
    raise OSError(message)


def find_audio(folder: str | Path, on_error: OnError = _raise) -> list[Path]:
    """List the audio files in a folder and its subfolders, sorted by path.

    Arguments
    ---------
    on_error : OnError
        See :func:`find_files`.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist or holds no audio file.
    OSError
        See :func:`find_files`.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    # macOS creates a file named ._* next to each real one.
    files = [p for p in find_files(folder, on_error) if not p.name.startswith("._")]
    found = [path for path in files if path.suffix.lower() in AUDIO_SUFFIXES]
    if not found:
        raise FileNotFoundError(
            f"The folder {folder} holds no audio: expected files named "
            f"{', '.join(AUDIO_SUFFIXES)}, found {len(files)} other files."
        )
    return found


def find_files(folder: Path, on_error: OnError = _raise) -> list[Path]:
    """List everything below a folder except folders, sorted by path.

    Links to folders are followed. A folder that several paths lead to is listed once,
    by a path without links if possible, so circular links do no harm.

    Arguments
    ---------
    on_error : OnError
        Called for a folder that cannot be read; the default raises an OSError.
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
        return True  # a circular or forbidden link: reading it names the problem
