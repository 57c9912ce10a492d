#!/usr/bin/env python3
"""Compare an experiment before and after pre-training without a fold's test speakers.

python probe.py --data_folder RAVDESS
python probe.py --data_folder RAVDESS --methods apc,cpc --pretraining "{seed: 2}"
python probe.py --data_folder RAVDESS --methods hubert_tiny --folds all
    --experiment ../RAVDESS/hparams/hubert_tiny_finetune.yaml

For each fold and method: pre-train, run the experiment on the fold with the untrained
and the pre-trained encoder, and update probe.csv and the tables of README.md. An
interrupted run resumes with the same command; several processes can run different folds
and methods at the same time. SpeechBrain's run options (--precision bf16 ...) can be
given. The steps are in ser_lib/pretraining/probe.py.
"""

from collections.abc import Sequence
from pathlib import Path

from ser_lib.utils.command import RESUMES, run_command
from ser_lib.utils.command_line import CommandParser, path_argument, text_argument

HERE = Path(__file__).resolve().parent
# Methods whose default network is large are probed with a tiny one.
METHODS = "mockingjay,apc,cpc,wav2vec,wav2vec2_tiny,hubert_tiny,data2vec_tiny,delores"


def main(arguments: Sequence[str]) -> None:
    """Run every requested method on every requested fold."""
    options, rest = _parser().parse_known_args(arguments)
    from ser_lib.folds import chosen_folds
    from ser_lib.pretraining import Probe, record
    from ser_lib.settings import join_processes, read_command_line

    rest += ["--debug"] * options.debug  # also SpeechBrain's option for a short run
    _, run_opts, unknown = read_command_line([str(options.experiment), *rest], "")
    if unknown:
        raise ValueError(f"Unknown options: {unknown}")
    run_opts = join_processes(run_opts)
    probe = Probe(
        options.experiment,
        options.data_folder,
        options.results_folder,
        options.speaker_files,
        options.pretraining,
        options.probe,
    )
    files = [HERE / "hparams" / f"{name}.yaml" for name in options.methods.split(",")]
    for file in files:
        probe.check(file)
    for fold in chosen_folds(probe.folds(), options.folds):
        for file in files:
            row = probe.run(file, fold, run_opts)
            record(row, HERE)
            if row:
                print(row)


def _parser() -> CommandParser:
    parser = CommandParser("", __doc__)
    parser.add_argument("--data_folder", type=path_argument, required=True)
    parser.add_argument("--methods", type=text_argument, default=METHODS)
    parser.add_argument("--folds", default="1", help="all, one number, or several: 1,3")
    parser.add_argument(
        "--experiment",
        type=path_argument,
        default=HERE.parent / "RAVDESS/hparams/superb.yaml",
    )
    parser.add_argument("--pretraining", default="", help="settings of pre-training")
    parser.add_argument("--probe", default="", help="settings of the experiment")
    parser.add_argument(
        "--results_folder", type=path_argument, default=Path("results/probe")
    )
    parser.add_argument(
        "--speaker_files",
        type=text_argument,
        default="*Actor_{speaker}/*",
        help="pattern for the files of a speaker",
    )
    return parser


if __name__ == "__main__":
    run_command(main, RESUMES)
