"""Measure where a model fails on a table of recordings:

    python -m ser_lib.stress MODEL --csv TABLE --out FOLDER
    python -m ser_lib.stress MODEL --csv TABLE --out FOLDER --group gender --group age

MODEL is a folder written by ``python -m ser_lib.export``, or a hub id. TABLE is a table
as in recipes/Custom/README.md, of recordings that the model was not trained on. Each is
classified as it is and with noise, reverberation, codecs and other degradations.
FOLDER gets ``stress.md``, ``stress.csv``, ``stress.png`` and the predictions. An
interrupted command resumes: conditions that are finished are not computed again.

``--fold_column`` names a column of the table with the fold that tests each recording.
MODEL is then an ensemble, and each recording is classified by the member of that fold
alone, so that no speaker is heard by a model that was trained on them.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path

from ser_lib.inference import load_recognizer
from ser_lib.utils.command import RESUMES, run_command
from ser_lib.utils.command_line import CommandParser, path_argument, text_argument
from ser_lib.utils.files import make_folder, one_at_a_time


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    options = _parser().parse_args(arguments)
    # These take seconds to import; report wrong usage first.
    from ser_lib.settings import Settings
    from ser_lib.stress.report import write_report
    from ser_lib.stress.run import LOCK_FILE, check_folder, check_members, predict_all
    from ser_lib.stress.table import read_table

    check_folder(options.out)
    label_map = Settings(f"label_map: {options.label_map}")["label_map"]
    recognizer = load_recognizer(options.model, options.device)
    labels = list(recognizer.labels)
    table = read_table(
        options.csv,
        options.data_folder,
        list(dict.fromkeys(options.group)),
        label_map,
        labels,
        recognizer.sample_rate_hz,
        options.fold_column,
    )
    check_members(table, recognizer, options.csv)
    if table.label_map:
        print(table.label_map)
    folder: Path = options.out
    make_folder(folder)
    with one_at_a_time(folder / LOCK_FILE, folder):
        predictions = predict_all(recognizer, table, folder)
        title = f"{Path(options.model).resolve().name} on {options.csv.name}"
        command = shlex.join(["python", "-m", "ser_lib.stress", *arguments])
        print(write_report(folder, title, table, predictions, labels, command))
    print(f"The report is in {folder / 'stress.md'}")


def _parser() -> CommandParser:
    parser = CommandParser("ser_lib.stress", __doc__)
    parser.add_argument(
        "model", type=text_argument, metavar="MODEL", help="model folder or hub id"
    )
    parser.add_argument(
        "--csv", type=path_argument, required=True, help="table of recordings"
    )
    parser.add_argument(
        "--out", type=path_argument, required=True, help="folder of the report"
    )
    parser.add_argument(
        "--group",
        type=text_argument,
        action="append",
        default=[],
        metavar="COLUMN",
        help="compare the groups that a column of the table names",
    )
    parser.add_argument(
        "--fold_column",
        type=text_argument,
        metavar="COLUMN",
        help="the member of an ensemble that classifies each recording: 1 for fold_1",
    )
    parser.add_argument(
        "--label_map",
        type=text_argument,
        default="{}",
        help='what labels of the table count as: "{calm: neutral, bored: null}", or '
        "shared",
    )
    parser.add_argument(
        "--data_folder",
        type=path_argument,
        help="where relative paths start (default: the folder of the table)",
    )
    parser.add_argument(
        "--device",
        type=text_argument,
        default="cpu",
        help="for example cuda (default: cpu)",
    )
    return parser


if __name__ == "__main__":
    run_command(main, RESUMES)
