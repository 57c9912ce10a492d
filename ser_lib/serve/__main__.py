"""Recognise emotions over HTTP:

    python -m ser_lib.serve MODEL
    curl -F files=@speech.wav -F files=@call.flac http://127.0.0.1:8000/classify

MODEL is a folder written by ``python -m ser_lib.export``, or a hub id. The service has

    POST /classify   recordings in, rows out, those of ``python -m ser_lib.predict``
    WS   /stream     blocks of samples in, windows out
    GET  /health     whether it runs, and how much of it is busy
    GET  /docs       how to call it; /openapi.json says the same for programs

It reads what is sent to it, never a path or an address, and keeps nothing. When
``--max_concurrency`` requests and streams are under way, the next one is answered 503
at once. Ctrl-C or SIGTERM stops it when what runs is finished; the exit code is then 0.
"""

import argparse
from collections.abc import Sequence

from ser_lib.serve.limits import Limits
from ser_lib.utils.command import run_command
from ser_lib.utils.command_line import (
    CommandParser,
    add_address_arguments,
    add_model_arguments,
    positive,
    share_argument,
)
from ser_lib.utils.packages import check_installed
from ser_lib.utils.ports import listening_socket

NEEDED = ("fastapi", "uvicorn", "python_multipart", "websockets")


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    options = _parser().parse_args(arguments)
    check_installed("The service", NEEDED, "serve")
    # These take seconds to import; report wrong usage first.
    from ser_lib.inference import load_recognizer
    from ser_lib.serve.app import make_app
    from ser_lib.serve.server import run_until_stopped

    names = vars(Limits()).keys()
    limits = Limits(**{name: getattr(options, name) for name in names})
    with listening_socket(options.host, options.port) as listening:
        recognizer = load_recognizer(options.model, options.device)
        app = make_app(recognizer, options.model, limits, options.unknown_below)
        run_until_stopped(app, listening, limits)


def _parser() -> CommandParser:
    parser = CommandParser("ser_lib.serve", __doc__)
    add_model_arguments(parser)
    add_address_arguments(parser, port=8000)
    parser.add_argument(
        "--unknown_below",
        type=share_argument,
        metavar="P",
        help="the label of a less probable answer is unknown",
    )
    _add_limits(parser.add_argument_group("limits"))
    return parser


def _add_limits(group: argparse._ArgumentGroup) -> None:
    texts = {
        "max_upload_mb": "size of a request",
        "max_files": "recordings in a request",
        "max_duration_s": "length of a recording",
        "max_stream_s": "length of a stream",
        "max_concurrency": "requests and streams at the same time",
        "timeout_s": "for sending a request, and again for answering it",
        "idle_s": "without a byte from a client, or without it taking an answer",
    }
    for name, default in vars(Limits()).items():
        group.add_argument(
            f"--{name}",
            type=positive(type(default)),
            default=default,
            help=f"{texts[name]} (default: {default:g})",
        )


if __name__ == "__main__":
    run_command(main)
