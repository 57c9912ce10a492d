"""The page: what it has, and what happens when something on it is used."""

import re
from collections.abc import Awaitable, Callable
from html import escape
from pathlib import Path

import gradio as gr

from ser_lib.demo.handlers import EMPTY, Handlers, PageOptions, status_html
from ser_lib.demo.session import SOUNDS, UPLOADS, Session
from ser_lib.inference import Recognizer

FindFile = Callable[[str | Path | None], Awaitable[str | None]]

_HERE = Path(__file__).parent
_SYSTEM_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
_MONO_FONTS = ["ui-monospace", "Consolas", "monospace"]
_DEFAULT_WINDOW_S = 2.0
_SWEEP_S, _KEPT_S = 600, 3600  # uploads of tabs whose closing was not noticed


def make_page(recognizer: Recognizer, options: PageOptions, folder: Path) -> gr.Blocks:
    """Return the page, not yet running; see :func:`launch_options`.

    Arguments
    ---------
    recognizer : Recognizer
        The model; visitors share it.
    options : PageOptions
        See there.
    folder : Path
        Gets the files that visitors upload and hear, as long as they are there.
    """
    page = gr.Blocks(
        title="Speech emotion recognition",
        analytics_enabled=False,
        delete_cache=(_SWEEP_S, _KEPT_S),
    )
    handlers = Handlers(recognizer, options, folder / SOUNDS, page)
    with page:
        gr.HTML(_heading(recognizer, options), padding=False)
        with gr.Row(equal_height=False, elem_classes="ser-columns"):
            with gr.Column(scale=2, min_width=300, elem_classes="ser-left"):
                with gr.Column():
                    audio = _recording(options)
                with gr.Column(elem_classes="ser-settings"):
                    settings = _settings(recognizer)
                    status, adapt, reset = _adaptation(recognizer)
            with gr.Column(scale=3, min_width=320, elem_classes="ser-right"):
                result = gr.HTML(EMPTY, elem_id="result", padding=False)
        inputs = [audio, *settings]
        shown = [result, status, adapt, reset]
        hidden = {"api_visibility": "private", "show_progress_on": [result]}
        audio.change(handlers.show, inputs, shown, **hidden)
        for setting in settings:
            setting.change(
                handlers.show, inputs, shown, trigger_mode="always_last", **hidden
            )
        adapt.click(handlers.adapt, inputs, shown, **hidden)
        reset.click(handlers.reset, inputs, shown, **hidden)
        page.unload(handlers.leave)
    # Those of the examples; an upload of the same content has the same name.
    audio.keep_in_cache.update(map(str, (folder / UPLOADS).rglob("*")))
    return page.queue(max_size=64, default_concurrency_limit=2)


def launch_options(options: PageOptions, folder: Path) -> dict:
    """Return how Gradio runs the page: without a network, and within limits."""
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    return {
        "theme": _theme(),
        "css": (_HERE / "page.css").read_text(encoding="utf-8"),
        "head": f"<script>{script}</script>",
        "max_file_size": round(options.max_upload_mb * 1_000_000),
        "allowed_paths": [str(folder / SOUNDS)],
        "footer_links": [],
        "share": False,
        "ssr_mode": False,
        "mcp_server": False,
        "enable_monitoring": False,
        "quiet": True,
        "prevent_thread_lock": True,
    }


def _theme() -> gr.Theme:
    theme = gr.themes.Default(
        primary_hue="blue",
        neutral_hue="slate",
        font=_SYSTEM_FONTS,
        font_mono=_MONO_FONTS,
    )
    # Gradio's own grey is too faint to read (WCAG 2, contrast of 4.5).
    readable = {"": "*neutral_600", "_dark": "*neutral_300"}
    names = "body_text_color_subdued", "block_label_text_color", "block_info_text_color"
    return theme.set(
        **{f"{name}{mode}": grey for name in names for mode, grey in readable.items()}
    )


# ---- what it has


def _heading(recognizer: Recognizer, options: PageOptions) -> str:
    trained_on = recognizer.model_info.get("trained_on", {}).get("name", "")
    source = f", trained on {trained_on}" if trained_on else ""
    return (
        '<div class="ser-head-line"><h1>Which emotion does a voice express?</h1><p>'
        f"Model {escape(options.model)}{escape(source)}. It knows "
        f"{escape(', '.join(recognizer.labels))}. Recordings are deleted when you "
        f"leave.</p></div>"
    )


def _uploads_only(find_file: FindFile) -> FindFile:
    """Refuse addresses, which Gradio would fetch for a client that is no browser."""

    async def checked(path: str | Path | None) -> str | None:
        if re.match(r"\w+://", str(path)):
            raise gr.Error(f"{path} is not a recording that was uploaded.")
        return await find_file(path)

    return checked


def _recording(options: PageOptions) -> gr.Audio:
    audio = gr.Audio(
        label=f"Recording (at most {options.max_duration_s / 60:g} min, "
        f"{options.max_upload_mb:g} MB)",
        sources=["upload", "microphone"],
        type="filepath",
        editable=False,
        buttons=[],
        # The result draws it, in colours.
        waveform_options=gr.WaveformOptions(show_recording_waveform=False),
        elem_id="recording",
    )
    # Not in a class of our own: Gradio writes a file beside the code of each.
    audio.async_move_resource_to_block_cache = _uploads_only(
        audio.async_move_resource_to_block_cache
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
    return audio


def _settings(recognizer: Recognizer) -> list[gr.Slider]:
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
    return [unknown_below, window_s]


def _adaptation(recognizer: Recognizer) -> tuple[gr.HTML, gr.Button, gr.Button]:
    is_possible = "standardise_by" in recognizer.model_info["network"]
    with gr.Group(visible=is_possible, elem_classes="ser-adapt"):
        status = gr.HTML(
            status_html(Session(Path())), elem_id="adaptation", padding=True
        )
        with gr.Row():
            adapt = gr.Button("Adapt", interactive=False, size="md", min_width=120)
            reset = gr.Button(
                "Undo", interactive=False, size="md", min_width=120, variant="secondary"
            )
    return status, adapt, reset
