"""Recognise emotions live, from the microphone:

    python -m ser_lib.listen MODEL
    python -m ser_lib.listen MODEL --seconds 60 --window_s 2 --hop_s 0.5
    python -m ser_lib.listen MODEL --file call.wav

It prints a line for each window as soon as it has been heard. Ctrl-C ends it; then it
says how late the lines were: the time from the last sample of a window to its line.
Nothing is recorded. MODEL is a folder written by ``python -m ser_lib.export``, or a hub
id. Exit code: 0 for success and Ctrl-C, 2 for wrong usage, no model or no microphone.
"""

import argparse
import sys
from collections.abc import Sequence

from ser_lib.utils.command import run_command
from ser_lib.utils.command_line import (
    CommandParser,
    add_model_arguments,
    level_argument,
    path_argument,
    share_argument,
    text_argument,
)


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    options = parse_options(arguments)
    # SpeechBrain and transformers take seconds to import; report wrong usage first.
    from ser_lib.inference import EmotionRecognizer, Windowing
    from ser_lib.listen.live import Listener, window_line
    from ser_lib.listen.sources import Microphone, RecordingSource
    from ser_lib.utils.devices import check_device

    check_device(options.device)
    if options.file is not None:
        source = RecordingSource(options.file)
    else:
        source = Microphone(options.microphone)
    run_opts = {"device": options.device}
    recognizer = EmotionRecognizer.from_hparams(options.model, run_opts=run_opts)
    if options.adaptation is not None:
        recognizer = recognizer.load_adaptation(options.adaptation)
    windowing = Windowing(
        options.window_s,
        options.hop_s,
        options.skip_silence_dbfs,
        unknown_below=options.unknown_below,
    )
    listener = Listener(recognizer, source, windowing, options.seconds)
    name, rate_hz = source.name, source.sample_rate_hz
    print(f"Listening to {name}, {rate_hz} Hz. Ctrl-C ends it.", file=sys.stderr)
    try:
        for window in listener.windows():
            print(window_line(window), flush=True)
    except KeyboardInterrupt:
        print(file=sys.stderr)  # after the ^C of the terminal
    print(listener.latency_text(), file=sys.stderr)
    return 0


def parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; wrong usage exits with code 2.

    Example
    -------
    >>> options = parse_options(["MODEL", "--seconds", "60"])
    >>> options.seconds, options.window_s, options.microphone
    (60.0, 4.0, None)
    """
    parser = CommandParser("ser_lib.listen", __doc__)
    add_model_arguments(parser)
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--microphone",
        type=text_argument,
        metavar="NAME",
        help="number of a microphone or a part of its name (default: the system's)",
    )
    source.add_argument(
        "--file",
        type=path_argument,
        help="play a recording at its own speed in place of the microphone",
    )
    parser.add_argument(
        "--seconds", type=_positive, help="how long to listen (default: until Ctrl-C)"
    )
    parser.add_argument(
        "--window_s", type=float, default=4.0, help="window length (default: 4)"
    )
    parser.add_argument(
        "--hop_s", type=float, default=1.0, help="window distance (default: 1)"
    )
    parser.add_argument(
        "--skip_silence_dbfs",
        type=level_argument,
        metavar="DBFS",
        help="also treat audio with an RMS below this as silent, for example -50",
    )
    parser.add_argument(
        "--unknown_below",
        type=share_argument,
        metavar="P",
        help="the label of a less probable answer is unknown",
    )
    parser.add_argument(
        "--adaptation",
        type=path_argument,
        metavar="FILE",
        help="adapt the model as a file of predict --save_adaptation says",
    )
    return parser.parse_args(arguments)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(
            f"invalid number: {text!r}; expected more than 0, and finite"
        )
    return value


if __name__ == "__main__":
    run_command(main)
