"""Recognise emotions from the command line:

    python -m ser_lib.predict MODEL speech.wav
    python -m ser_lib.predict MODEL FOLDER TABLE.csv --out emotions.csv
    python -m ser_lib.predict MODEL call.wav --timeline --vad silero --plot pictures
    python -m ser_lib.predict MODEL call.wav --timeline --turns call.rttm
    python -m ser_lib.predict MODEL calls.csv --adapt_by speaker
    python -m ser_lib.predict MODEL s3://bucket/calls --out emotions --ray
    sox speech.mp3 -t wav - | python -m ser_lib.predict MODEL -

MODEL is a folder written by ``python -m ser_lib.export``, or a hub id. The inputs are
audio files, folders (searched recursively), CSV or Parquet tables with a column
``path`` (relative to the table), or ``-`` for a WAV file on standard input. A recording
that cannot be used gets a row with an error. With --out, an interrupted command
resumes; recordings that have changed are processed again. A second run with the same
--out waits for the first. Exit code: 0 for success, 1 if an input failed, 2 for wrong
usage or no model.
"""

import shutil
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain
from pathlib import Path

from ser_lib.inference import (
    Recognizer,
    check_lengths,
    is_calibrated,
    load_recognizer,
    threshold_for,
)
from ser_lib.predict.adaptation import (
    adaptation_settings,
    adapted_groups,
    prepared,
)
from ser_lib.predict.inputs import STANDARD_INPUT, Recording, list_recordings
from ser_lib.predict.options import check_outputs, parse_options
from ser_lib.predict.outputs import (
    TIMELINE_SUFFIXES,
    FolderOutput,
    Result,
    RowOutput,
)
from ser_lib.predict.results import find_labels, find_timelines
from ser_lib.predict.rows import Encoder, columns_of
from ser_lib.predict.speakers import (
    WINDOWING,
    has_speakers,
    prepare_speakers,
    speaker_settings,
    summary_lines,
)
from ser_lib.utils.command import (
    RESUMES_WITH_OUT,
    raise_if_interrupted,
    run_command,
)
from ser_lib.utils.file_names import on_one_line
from ser_lib.utils.progress import Progress


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    options = parse_options(arguments, __doc__)
    recordings = list_recordings(options.inputs, options.adapt_by)
    check_outputs(options, recordings)
    prepare_speakers(options, recordings)
    # With --ray, only the workers need the device.
    device = options.device if options.ray is None else "cpu"
    recognizer = prepared(load_recognizer(options.model, device), options)
    if options.target_accuracy is not None:
        accuracy = options.target_accuracy
        options.unknown_below = threshold_for(recognizer.model_info, accuracy)
        print(f"Unknown below {options.unknown_below:.2f}.", file=sys.stderr)
    elif options.unknown_below is not None:
        if not is_calibrated(recognizer.model_info):
            print(
                "The probabilities of this model are not calibrated.", file=sys.stderr
            )
    if options.timeline:
        lengths_s = options.window_s, options.hop_s
        check_lengths(*lengths_s, recognizer.min_duration_s)
    classify = _classify if options.ray is None else _classify_in_bulk
    n_todo, n_failed = classify(recognizer, recordings, options)
    print(
        f"{n_todo - n_failed} done, {n_failed} failed, "
        f"{len(recordings) - n_todo} already done.",
        file=sys.stderr,
    )
    return 1 if n_failed else 0


def _classify(
    recognizer: Recognizer, recordings: Sequence[Recording], options: Namespace
) -> tuple[int, int]:
    """Process what is not done; return how many that were, and how many failed."""
    output = _open_output(recognizer, options, recordings)
    with closing(output), tempfile.TemporaryDirectory() as folder:
        recordings = [
            _with_standard_input(recording, Path(folder)) for recording in recordings
        ]
        todo = [recording for recording in recordings if not output.is_done(recording)]
        find = find_timelines if options.timeline else find_labels
        groups = adapted_groups(recognizer, recordings, todo, options)
        results = chain.from_iterable(find(*group, options) for group in groups)
        return len(todo), _write_all(results, output, len(todo))


def _classify_in_bulk(
    recognizer: Recognizer, recordings: Sequence[Recording], options: Namespace
) -> tuple[int, int]:
    from ser_lib.predict.bulk import classify_in_bulk  # imports pandas

    settings = _settings(recognizer, options, recordings) | {"format": "parquet"}
    return classify_in_bulk(recognizer, recordings, settings, options)


def _settings(
    recognizer: Recognizer, options: Namespace, recordings: Sequence[Recording]
) -> dict:
    """Return everything that the output depends on."""
    model_info = recognizer.model_info
    settings = {
        "model": [model_info["members"], model_info["network_sha256"]],
        "format": options.format,
        "timeline": options.timeline,
    }
    if options.unknown_below is not None:
        settings["unknown_below"] = options.unknown_below
    settings |= adaptation_settings(options, recordings)
    if options.timeline:
        settings |= {name: getattr(options, name) for name in WINDOWING}
        settings |= speaker_settings(options)
    return settings


def _open_output(
    recognizer: Recognizer, options: Namespace, recordings: Sequence[Recording]
) -> RowOutput | FolderOutput:
    settings = _settings(recognizer, options, recordings)
    if options.format in TIMELINE_SUFFIXES:
        return FolderOutput(options.out, options.format, settings, recordings)
    speakers = has_speakers(options), options.turns is not None
    columns = columns_of(
        recognizer.labels, options.timeline, *speakers, recognizer.tasks
    )
    return RowOutput(
        options.out, Encoder(columns, options.format), settings, recordings
    )


def _with_standard_input(recording: Recording, folder: Path) -> Recording:
    """Copy standard input to a file, since WAV readers need to seek."""
    if recording.name != STANDARD_INPUT:
        return recording
    path = folder / "standard_input.wav"
    try:
        with open(path, "wb") as f:
            shutil.copyfileobj(sys.stdin.buffer, f)
    except OSError as error:
        message = f"Standard input cannot be copied: {error.strerror or error}"
        return replace(recording, error=message)
    return replace(recording, path=path)


def _write_all(
    results: Iterator[Result], output: RowOutput | FolderOutput, n: int
) -> int:
    """Write results as they arrive; return the number of failed recordings."""
    n_failed = 0
    with Progress("classifying", n, "files") as bar:
        for result in results:
            raise_if_interrupted()
            output.write(result)
            if any(timeline.speaker for timeline in result.timelines):
                for line in summary_lines(result.recording, result.timelines):
                    bar.say(line)
            if result.error:
                n_failed += 1
                bar.say(f"Failed: {on_one_line(result.error)}")
            bar.update()
    return n_failed


if __name__ == "__main__":
    run_command(main, RESUMES_WITH_OUT)
