"""What the page answers when something on it is used."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import gradio as gr

from ser_lib.demo.analysis import UnusableError, analyse
from ser_lib.demo.drawing import error_html, result_html
from ser_lib.demo.session import Session, Sessions
from ser_lib.inference import Recognizer

EMPTY = (
    '<p class="ser-empty">Upload or record speech, or take an example. The emotion '
    "appears here.</p>"
)


@dataclass(frozen=True)
class PageOptions:
    """What the page is made for.

    Arguments
    ---------
    model : str
        Name of the model, to show.
    examples : Sequence[Path]
        Recordings to try.
    max_upload_mb : float
        Size of a file in megabytes.
    max_duration_s : float
        Length of a recording.
    """

    model: str
    examples: Sequence[Path]
    max_upload_mb: float
    max_duration_s: float


class Handlers:
    """Answers what a visitor does; each answer is result, status and two buttons."""

    def __init__(
        self,
        recognizer: Recognizer,
        options: PageOptions,
        sounds: Path,
        page: gr.Blocks,
    ) -> None:
        self._recognizer, self._options, self._page = recognizer, options, page
        self._sessions = Sessions(sounds, self._is_upload)

    def _is_upload(self, path: str) -> bool:
        kept = [block.keep_in_cache for block in self._page.blocks.values()]
        is_kept = any(path in paths for paths in kept)
        return path in self._page.upload_file_set and not is_kept

    def show(
        self,
        path: str | None,
        unknown_below: float,
        window_s: float,
        request: gr.Request,
    ) -> list:
        """Analyse the recording that is there."""
        session = self._sessions.of(request.session_hash)
        return self._answer(session, path, unknown_below, window_s)

    def adapt(
        self,
        path: str | None,
        unknown_below: float,
        window_s: float,
        request: gr.Request,
    ) -> list:
        """Adapt the model to all recordings so far, and analyse again."""
        session = self._sessions.of(request.session_hash)
        recordings = session.usable_recordings()
        if recordings:
            session.adapted = self._recognizer.adapt(recordings)
        return self._answer(session, path, unknown_below, window_s)

    def reset(
        self,
        path: str | None,
        unknown_below: float,
        window_s: float,
        request: gr.Request,
    ) -> list:
        """Use the model as it is, and analyse again."""
        session = self._sessions.of(request.session_hash)
        session.adapted = None
        return self._answer(session, path, unknown_below, window_s)

    def leave(self, request: gr.Request) -> None:
        """Delete what the visitor left."""
        self._sessions.end(request.session_hash)

    def _answer(
        self, session: Session, path: str | None, unknown_below: float, window_s: float
    ) -> list:
        result = EMPTY
        if path is not None:
            result = self._result(session, path, unknown_below, window_s)
        return [
            result,
            status_html(session),
            gr.Button(f"Adapt to {_given(session)}", interactive=_n_given(session) > 0),
            gr.Button(interactive=session.adapted is not None),
        ]

    def _result(
        self, session: Session, path: str, unknown_below: float, window_s: float
    ) -> str:
        session.files.add(path)
        # A name that nobody guesses: who knows it can hear the recording.
        sound = session.folder / f"{secrets.token_urlsafe(16)}.wav"
        for old in session.folder.iterdir():
            old.unlink(missing_ok=True)
        try:
            analysis = analyse(
                session.adapted or self._recognizer,
                path,
                sound,
                self._options.max_duration_s,
                window_s,
                unknown_below or None,
            )
        except UnusableError as error:
            return error_html(str(error))
        session.recordings.setdefault(path)
        address = f"/gradio_api/file={sound}"
        return result_html(analysis, self._recognizer.tasks, address, _how(session))


# ---- adaptation, in words


def status_html(session: Session) -> str:
    """Return what adaptation is for, how many recordings there are, and its state."""
    text = (
        f"<p><b>Adapt to a voice, a microphone or a line.</b> {_given(session)} so "
        f"far. No labels are needed; ten of one speaker help a lot.</p>"
    )
    if session.adapted is not None:
        text += f"<p>The model is {escape(_how(session))}.</p>"
    return text


def _n_given(session: Session) -> int:
    return len(session.usable_recordings())


def _given(session: Session) -> str:
    return _recordings(_n_given(session))


def _recordings(n_recordings: int) -> str:
    return f"{n_recordings} recording{'' if n_recordings == 1 else 's'}"


def _how(session: Session) -> str:
    if session.adapted is None:
        return ""
    return f"adapted to {_recordings(session.adapted.adaptation.n_recordings)}"
