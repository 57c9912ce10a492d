"""The page: what it has, and what happens when something on it is used."""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

# Before Gradio is imported: nothing leaves this machine.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr

from ser_lib.demo.analysis import UnusableError, analyse
from ser_lib.demo.drawing import error_html, result_html
from ser_lib.demo.session import Session, Sessions
from ser_lib.inference import Recognizer

_HERE = Path(__file__).parent
_SYSTEM_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
_MONO_FONTS = ["ui-monospace", "Consolas", "monospace"]
_DEFAULT_WINDOW_S = 2.0
_SWEEP_S, _KEPT_S = 600, 3600  # uploads of tabs whose closing was not noticed
_EMPTY = (
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


def make_page(
    recognizer: Recognizer, options: PageOptions, work_folder: Path
) -> gr.Blocks:
    """Return the page, not yet running; see :func:`launch_options`.

    Arguments
    ---------
    recognizer : Recognizer
        The model; visitors share it.
    options : PageOptions
        See there.
    work_folder : Path
        Gets the files that the page plays, as long as somebody looks at them.
    """
    page = gr.Blocks(
        title="Speech emotion recognition",
        analytics_enabled=False,
        delete_cache=(_SWEEP_S, _KEPT_S),
    )
    handlers = _Handlers(recognizer, options, work_folder, page)
    with page:
        gr.HTML(_heading(recognizer, options), padding=False)
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300):
                inputs = _inputs(recognizer, options)
                status, adapt, reset = _adaptation(recognizer)
            with gr.Column(scale=3, min_width=320):
                result = gr.HTML(_EMPTY, elem_id="result", padding=False)
        audio, *settings = inputs
        shown = [result, status, adapt, reset]
        hidden = {"api_visibility": "private", "show_progress_on": [result]}
        audio.change(handlers.show, inputs, shown, **hidden)
        for setting in settings:
            setting.release(handlers.show, inputs, shown, **hidden)
        adapt.click(handlers.adapt, inputs, shown, **hidden)
        reset.click(handlers.reset, inputs, shown, **hidden)
        page.unload(handlers.leave)
    return page.queue(max_size=64, default_concurrency_limit=2)


def launch_options(options: PageOptions, work_folder: Path) -> dict:
    """Return how Gradio runs the page: without a network, and within limits."""
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    return {
        "theme": gr.themes.Default(
            primary_hue="blue",
            neutral_hue="slate",
            font=_SYSTEM_FONTS,
            font_mono=_MONO_FONTS,
        ),
        "css": (_HERE / "page.css").read_text(encoding="utf-8"),
        "head": f"<script>{script}</script>",
        "max_file_size": round(options.max_upload_mb * 1_000_000),
        "allowed_paths": [str(work_folder)],
        "footer_links": [],
        "share": False,
        "ssr_mode": False,
        "mcp_server": False,
        "enable_monitoring": False,
        "quiet": True,
        "prevent_thread_lock": True,
    }


# ---- what it has


def _heading(recognizer: Recognizer, options: PageOptions) -> str:
    trained_on = recognizer.model_info.get("trained_on", {}).get("name", "")
    source = f", trained on {trained_on}" if trained_on else ""
    return (
        '<div class="ser-head-line"><h1>Which emotion does a voice express?</h1><p>'
        f"Model {escape(options.model)}{escape(source)}. It knows "
        f"{escape(', '.join(recognizer.labels))}. Recordings are deleted when you "
        f"close this tab.</p></div>"
    )


def _inputs(
    recognizer: Recognizer, options: PageOptions
) -> list[gr.components.Component]:
    audio = gr.Audio(
        label=f"Recording (at most {options.max_duration_s / 60:g} min, "
        f"{options.max_upload_mb:g} MB)",
        sources=["upload", "microphone"],
        type="filepath",
        editable=False,
        buttons=[],
        elem_id="recording",
    )
    if options.examples:
        gr.Examples(
            [[str(path)] for path in options.examples],
            audio,
            cache_examples=False,
            examples_per_page=20,
            example_labels=[path.stem.replace("_", " ") for path in options.examples],
            label="Examples",
        )
    unknown_below = gr.Slider(
        0,
        0.95,
        value=0,
        step=0.05,
        label="Unknown below",
        info="Less probable answers are labelled unknown",
    )
    window_s = gr.Slider(
        max(1.0, recognizer.min_duration_s),
        10,
        value=_DEFAULT_WINDOW_S,
        step=0.5,
        label="Window of the timeline (s)",
        info="Longer windows are surer, shorter ones follow changes",
    )
    return [audio, unknown_below, window_s]


def _adaptation(recognizer: Recognizer) -> tuple[gr.HTML, gr.Button, gr.Button]:
    is_possible = "standardise_by" in recognizer.model_info["network"]
    with gr.Group(visible=is_possible, elem_classes="ser-adapt"):
        status = gr.HTML(_status(Session(Path())), elem_id="adaptation", padding=True)
        with gr.Row():
            adapt = gr.Button("Adapt", interactive=False, size="md", min_width=120)
            reset = gr.Button(
                "Undo", interactive=False, size="md", min_width=120, variant="secondary"
            )
    return status, adapt, reset


def _status(session: Session) -> str:
    n_given = len(session.usable_recordings())
    given = f"{n_given} recording{'' if n_given == 1 else 's'}"
    text = (
        f"<p><b>Adapt to a voice, a microphone or a line.</b> {given} given so far. "
        f"They need no labels; ten of one speaker help a lot.</p>"
    )
    if session.adapted is not None:
        text += f"<p>The model is {escape(_how(session))}.</p>"
    return text


def _how(session: Session) -> str:
    if session.adapted is None:
        return ""
    n_recordings = session.adapted.adaptation.n_recordings
    return f"adapted to {n_recordings} recording{'' if n_recordings == 1 else 's'}"


# ---- what happens


class _Handlers:
    """Answers what a visitor does; each answer is result, status and two buttons."""

    def __init__(
        self,
        recognizer: Recognizer,
        options: PageOptions,
        work_folder: Path,
        page: gr.Blocks,
    ) -> None:
        self._recognizer, self._options = recognizer, options
        self._sessions = Sessions(
            work_folder, lambda path: path in page.upload_file_set
        )

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
        result = _EMPTY
        if path is not None:
            result = self._result(session, path, unknown_below, window_s)
        return [
            result,
            _status(session),
            gr.Button(interactive=bool(session.usable_recordings())),
            gr.Button(interactive=session.adapted is not None),
        ]

    def _result(
        self, session: Session, path: str, unknown_below: float, window_s: float
    ) -> str:
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
