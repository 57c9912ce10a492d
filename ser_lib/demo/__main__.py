"""Try a model in the browser:

    python -m ser_lib.demo MODEL
    python -m ser_lib.demo MODEL --write_space FOLDER

MODEL is a folder written by ``python -m ser_lib.export``, or a hub id. The command
prints an address to open: a page to upload or record speech, see the emotion and its
timeline, hear each segment, adapt the model to a voice, and download the results.

The page needs no network and is for this machine only, unless --host lets others in.
Recordings are deleted when the tab is closed, and all of them when the command ends
(Ctrl-C). ``--write_space`` writes a folder that runs as a Space of Hugging Face.
"""

import os
import signal
import tempfile
import threading
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ser_lib.demo.session import UPLOADS
from ser_lib.utils.command import run_command
from ser_lib.utils.command_line import (
    CommandParser,
    add_address_arguments,
    add_model_arguments,
    path_argument,
    positive,
)
from ser_lib.utils.packages import check_installed
from ser_lib.utils.ports import address, listening_socket

NEEDED = ("gradio",)
_EXAMPLES = Path(__file__).resolve().parents[2] / "pretrained" / "examples"


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    options = _parser().parse_args(arguments)
    if options.write_space is not None:
        from ser_lib.demo.space import write_space

        write_space(options.write_space, options.model, options.examples)
        print(f"{options.write_space} is a Space. Its README says how to upload it.")
        return
    check_installed("The page", NEEDED, "demo")
    with (
        tempfile.TemporaryDirectory(prefix="ser_lib_") as folder,
        _until_stopped() as stopped,
    ):
        _run(options, Path(folder).resolve(), stopped)
    print("Stopped.", flush=True)


def _run(options: Namespace, folder: Path, stopped: threading.Event) -> None:
    # What is imported here takes seconds; wrong usage is reported before.
    # Gradio reads both when it is imported; the first keeps it from calling home.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(folder / UPLOADS)
    from ser_lib.audio import find_audio
    from ser_lib.demo.handlers import PageOptions
    from ser_lib.demo.page import launch_options, make_page
    from ser_lib.inference import load_recognizer

    with listening_socket(options.host, options.port) as listening:
        shown, port = address(listening), listening.getsockname()[1]
    recognizer = load_recognizer(options.model, options.device)
    examples = find_audio(options.examples) if options.examples.is_dir() else []
    page_options = PageOptions(
        Path(options.model).resolve().name,
        examples,
        options.max_upload_mb,
        options.max_duration_s,
    )
    page = make_page(recognizer, page_options, folder)
    where = {"server_name": options.host, "server_port": port}
    page.launch(**launch_options(page_options, folder), **where)
    print(f"Open {shown} in a browser. Ctrl-C stops it.", flush=True)
    stopped.wait()
    page.close(verbose=False)


@contextmanager
def _until_stopped() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C or SIGTERM sets."""
    stopped = threading.Event()
    numbers = signal.SIGINT, signal.SIGTERM
    before = {n: signal.signal(n, lambda *_: stopped.set()) for n in numbers}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _parser() -> CommandParser:
    parser = CommandParser("ser_lib.demo", __doc__)
    add_model_arguments(parser)
    add_address_arguments(parser, port=7860)
    parser.add_argument(
        "--examples",
        type=path_argument,
        default=_EXAMPLES,
        metavar="FOLDER",
        help="recordings to try (default: pretrained/examples, if it is there)",
    )
    parser.add_argument(
        "--max_upload_mb",
        type=positive(float),
        default=50.0,
        help="size of a recording (default: 50)",
    )
    parser.add_argument(
        "--max_duration_s",
        type=positive(float),
        default=600.0,
        help="length of a recording (default: 600)",
    )
    parser.add_argument(
        "--write_space",
        type=path_argument,
        metavar="FOLDER",
        help="write a Space of Hugging Face into a new folder, and stop",
    )
    return parser


if __name__ == "__main__":
    run_command(main)
