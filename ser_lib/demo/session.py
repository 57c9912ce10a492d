"""What the page remembers of a visitor, until the tab is closed."""

import contextlib
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ser_lib.inference import Recognizer

UPLOADS, SOUNDS = "uploads", "sounds"  # in the folder of the page
# Of visitors whose leaving was not noticed, the oldest are dropped.
_MAX_SESSIONS = 1000


@dataclass
class Session:
    """A visitor.

    Arguments
    ---------
    folder : Path
        For files that the page plays.
    files : set[str]
        The paths of all that was given so far.
    recordings : dict[str, None]
        The paths of all recordings so far that could be used, in order.
    adapted : Recognizer | None
        The model, adapted to recordings of this visitor.
    """

    folder: Path
    files: set[str] = field(default_factory=set)
    recordings: dict[str, None] = field(default_factory=dict)
    adapted: Recognizer | None = None

    def usable_recordings(self) -> list[str]:
        """Return the recordings that are still there."""
        return [path for path in self.recordings if Path(path).is_file()]


class Sessions:
    """The visitors of a page; safe in threads.

    Arguments
    ---------
    folder : Path
        Gets a folder for each visitor.
    is_upload : Callable[[str], bool]
        Whether a file was uploaded, and so is deleted when nobody uses it any more.
    """

    def __init__(self, folder: Path, is_upload: Callable[[str], bool]) -> None:
        self._folder, self._is_upload = folder, is_upload
        self._sessions: dict[str, Session] = {}
        self._n_ever = 0
        self._lock = threading.Lock()

    def of(self, key: str) -> Session:
        """Return the session with a key; begin it if it is new."""
        with self._lock:
            session = self._sessions.get(key)
            if session is None:
                # The key is the client's and no name for a folder.
                self._n_ever += 1
                session = Session(self._folder / str(self._n_ever))
                session.folder.mkdir(parents=True)
                self._sessions[key] = session
            oldest = list(self._sessions)[:-_MAX_SESSIONS]
        for old in oldest:
            self.end(old)
        return session

    def end(self, key: str) -> None:
        """Forget a session, and delete its files unless another session has them."""
        with self._lock:
            session = self._sessions.pop(key, None)
            if session is None:
                return
            used = {p for other in self._sessions.values() for p in other.files}
        shutil.rmtree(session.folder, ignore_errors=True)
        for path in filter(self._is_upload, session.files - used):
            Path(path).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it has other files
                Path(path).parent.rmdir()
