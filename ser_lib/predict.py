"""Recognise emotions from the command line:

    python -m ser_lib.predict MODEL speech.wav
    python -m ser_lib.predict MODEL FOLDER TABLE.csv --out emotions.csv
    python -m ser_lib.predict MODEL call.wav --timeline --plot pictures
    sox speech.mp3 -t wav - | python -m ser_lib.predict MODEL -

MODEL is a folder that ``python -m ser_lib.export`` wrote, or a hub id. What follows are
audio files, folders (all audio in and below them), CSV files with a column ``path``
(relative to the CSV file), or ``-`` for a WAV file on standard input. A file that
cannot be used gives a row with an error, and the rest go on. The same command started
again goes on where it stopped. Exit code: 0, all went well; 1, a file failed; 2, wrong
usage or no model.
"""

import shutil
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from ser_lib.command import run_command
from ser_lib.predict_inputs import STANDARD_INPUT, Item, list_items, printable
from ser_lib.predict_options import parse_options
from ser_lib.predict_outputs import TIMELINE_SUFFIXES, FolderOutput, Result, RowOutput
from ser_lib.predict_results import WINDOWING, find_labels, find_timelines
from ser_lib.predict_rows import Encoder, columns_of
from ser_lib.window_cutter import check_lengths

if TYPE_CHECKING:
    from ser_lib.inference import EmotionRecognizer


def main(arguments: Sequence[str]) -> int:
    """Do what the command line asks for.

    Arguments
    ---------
    arguments : Sequence[str]
        Of the command line.

    Returns
    -------
    int
        The exit code.
    """
    options = parse_options(arguments, __doc__)
    items = list_items(options.inputs)
    recognizer = load_recognizer(options.model, options.device)
    if options.timeline:
        lengths_s = options.window_s, options.hop_s
        check_lengths(*lengths_s, recognizer.min_duration_s)
    _check_names(items, options)
    output = _open_output(recognizer, options)
    with closing(output), tempfile.TemporaryDirectory() as folder:
        items = [_with_standard_input(item, Path(folder)) for item in items]
        todo = [item for item in items if not output.is_done(item)]
        find = find_timelines if options.timeline else find_labels
        n_failed = _write_all(find(recognizer, todo, options), output, len(todo))
    print(
        f"{len(todo) - n_failed} done, {n_failed} failed, {len(items) - len(todo)} "
        f"were done before.",
        file=sys.stderr,
    )
    return 1 if n_failed else 0


def load_recognizer(source: str, device: str) -> "EmotionRecognizer":
    """Load the model.

    Arguments
    ---------
    source : str
        Model folder or hub id.
    device : str
        Where it is to run.

    Returns
    -------
    EmotionRecognizer
        The model.
    """
    # SpeechBrain and transformers take seconds to import; wrong usage is told before.
    from ser_lib.devices import check_device
    from ser_lib.inference import EmotionRecognizer

    check_device(device)
    return EmotionRecognizer.from_hparams(source, run_opts={"device": device})


def _check_names(items: Sequence[Item], options: Namespace) -> None:
    """Refuse to write two recordings to one place."""
    if options.format == "audacity" and options.out is None and len(items) > 1:
        raise ValueError(
            "--format audacity with several recordings needs --out FOLDER, for a label "
            "track for each."
        )
    has_files = options.format in TIMELINE_SUFFIXES and options.out is not None
    if not has_files and options.plot is None:
        return
    first: dict[str, Item] = {}
    for item in (item for item in items if not item.error):
        other = first.setdefault(item.short_name, item)
        if other is not item:
            raise ValueError(
                f"{other.name} and {item.name} would both be written to files named "
                f"{item.short_name}. Give their common folder as the input."
            )


def _open_output(
    recognizer: "EmotionRecognizer", options: Namespace
) -> RowOutput | FolderOutput:
    facts = recognizer.facts
    settings = {
        "model": [facts["members"], facts["hyperparams_sha256"]],
        "format": options.format,
        "timeline": options.timeline,
    }
    if options.timeline:
        settings |= {name: getattr(options, name) for name in WINDOWING}
    if options.format in TIMELINE_SUFFIXES:
        return FolderOutput(options.out, options.format, settings)
    columns = columns_of(recognizer.labels, options.timeline)
    return RowOutput(options.out, Encoder(columns, options.format), settings)


def _with_standard_input(item: Item, folder: Path) -> Item:
    """Copy standard input to a file, since WAV readers go back and forth."""
    if item.name != STANDARD_INPUT:
        return item
    path = folder / "standard_input.wav"
    with open(path, "wb") as f:
        shutil.copyfileobj(sys.stdin.buffer, f)
    return replace(item, path=path)


def _write_all(
    results: Iterator[Result], output: RowOutput | FolderOutput, n: int
) -> int:
    """Write results as they come; give the number of those that failed."""
    n_failed = 0
    with tqdm(total=n, unit="file") as bar:
        for result in results:
            output.write(result)
            if result.error:
                n_failed += 1
                bar.write(f"Failed: {printable(result.error)}", file=sys.stderr)
            bar.update()
    return n_failed


if __name__ == "__main__":
    run_command(main, "With --out, the same command resumes.")
