"""Export a finished run as a model folder:

    python -m ser_lib.export RUN_FOLDER OUT                  the first finished fold
    python -m ser_lib.export RUN_FOLDER OUT --fold 3
    python -m ser_lib.export RUN_FOLDER OUT --ensemble       all folds, averaged
    python -m ser_lib.export RUN_FOLDER OUT --onnx           also for onnxruntime
    python -m ser_lib.export RUN_FOLDER OUT --half           half the size
    python -m ser_lib.export RUN_FOLDER OUT --measured_by RUN_BY_SPEAKER
    python -m ser_lib.export RUN_FOLDER OUT --push_to_hub OWNER/NAME

RUN_FOLDER is ``<results>/<experiment>/seed_<seed>``. If OUT is already a model folder,
the files of the export are replaced and all others are kept.

``--measured_by`` is for a model that was trained on all speakers: another run with the
same settings, which tested speakers that it was not trained on, gives the scores of the
card and calibrates the model.
"""

import logging
from collections.abc import Sequence

from ser_lib.evaluation import finished_folds, left_out_folds
from ser_lib.export.run import export_run
from ser_lib.model_folder import CARD_FILE, push_to_hub
from ser_lib.utils.command import run_command
from ser_lib.utils.command_line import CommandParser, path_argument, text_argument

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    parser = CommandParser("ser_lib.export", __doc__)
    parser.add_argument("run_folder", type=path_argument, help="output folder of a run")
    parser.add_argument("out", type=path_argument, help="the model folder to write")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--fold", type=int, help="default: the first finished one")
    choice.add_argument(
        "--ensemble", action="store_true", help="average all finished folds"
    )
    parser.add_argument("--onnx", action="store_true", help="also write model.onnx")
    parser.add_argument(
        "--half", action="store_true", help="store the weights of encoders in float16"
    )
    parser.add_argument(
        "--measured_by",
        type=path_argument,
        metavar="RUN_FOLDER",
        help="another run with the same settings, for scores and calibration",
    )
    parser.add_argument(
        "--report",
        type=path_argument,
        action="append",
        default=[],
        metavar="FILE",
        help="a Markdown file that the card includes, such as a stress.md",
    )
    parser.add_argument(
        "--push_to_hub",
        type=text_argument,
        metavar="OWNER/NAME",
        help="upload to a private repository",
    )
    options = parser.parse_args(arguments)
    folds = None if options.fold is None else [options.fold]
    if options.ensemble:
        folds = finished_folds(options.run_folder)
        for name, reason in left_out_folds(options.run_folder).items():
            logger.warning("%s is not in the ensemble: %s", name, reason)
    out = export_run(
        options.run_folder,
        options.out,
        folds,
        onnx=options.onnx,
        half=options.half,
        measured_by=options.measured_by,
        reports=options.report,
    )
    print(f"The model folder is {out}; its card is {out / CARD_FILE}")
    if options.push_to_hub:
        print(f"Uploaded to {push_to_hub(out, options.push_to_hub)}")


if __name__ == "__main__":
    run_command(main)
