"""Measure what adaptation without labels is worth, on the test speakers of a run:

    python -m ser_lib.adaptation_curve RUN_FOLDER --out FOLDER
    python -m ser_lib.adaptation_curve RUN_FOLDER --out FOLDER --prior_s 0,3,10

RUN_FOLDER is ``<results>/<experiment>/seed_<seed>`` of a run with ``standardise_by:
mixed``. The model of each finished fold is adapted to 1, 2, 5 ... recordings of each
test speaker and classifies the speaker's other recordings. FOLDER gets ``README.md``,
``adaptation.csv`` and ``adaptation.png``. An interrupted command resumes: folds that
are encoded are not encoded again.
"""

import argparse
import math
import shlex
from collections.abc import Sequence

from ser_lib.utils.command import RESUMES, run_command
from ser_lib.utils.command_line import CommandParser, path_argument


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    options = _parser().parse_args(arguments)
    # These take seconds to import; report wrong usage first.
    from ser_lib.adaptation_curve.curve import measure_curve
    from ser_lib.adaptation_curve.pooled_fold import pooled_folds
    from ser_lib.adaptation_curve.report import check_folder, write_report

    check_folder(options.out)
    work = options.out / "work"
    folds = pooled_folds(options.run_folder, work, options.data_folder)
    rows = measure_curve(folds, options.prior_s)
    command = shlex.join(["python", "-m", "ser_lib.adaptation_curve", *arguments])
    print(write_report(options.out, rows, options.run_folder, command))
    print(f"The report is in {options.out / 'README.md'}")


def _parser() -> CommandParser:
    parser = CommandParser("ser_lib.adaptation_curve", __doc__)
    parser.add_argument(
        "run_folder",
        type=path_argument,
        metavar="RUN_FOLDER",
        help="output folder of a run",
    )
    parser.add_argument(
        "--out", type=path_argument, required=True, help="folder of the report"
    )
    parser.add_argument(
        "--data_folder",
        type=path_argument,
        help="where the paths of the recordings start (default: as in the run)",
    )
    parser.add_argument(
        "--prior_s",
        type=prior_argument,
        default="0,1,3,10",
        metavar="S,S,...",
        help="seconds of speech like that of the training part that are added to the "
        "recordings (default: 0,1,3,10)",
    )
    return parser


def prior_argument(text: str) -> list[float]:
    """Read durations in seconds, separated by commas.

    Raises
    ------
    argparse.ArgumentTypeError
        If one is not a finite number of at least 0.

    Example
    -------
    >>> prior_argument("0,1.5")
    [0.0, 1.5]
    """
    try:
        priors_s = [float(part) for part in text.split(",")]
    except ValueError:
        priors_s = [math.nan]
    if not all(0 <= prior_s < math.inf for prior_s in priors_s):
        raise argparse.ArgumentTypeError(
            f"expected seconds of at least 0, separated by commas, such as 0,3; found "
            f"{text!r}"
        )
    return list(dict.fromkeys(priors_s))


if __name__ == "__main__":
    run_command(main, RESUMES)
