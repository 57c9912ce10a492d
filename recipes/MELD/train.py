#!/usr/bin/env python3
"""Train, average and test one experiment on this corpus, fold by fold.

python train.py hparams/hubert_ecapa.yaml --data_folder /path/to/the/corpus

Any setting of the file can be given on the command line, as can SpeechBrain's run
options (--device, --precision bf16 ...). An interrupted run resumes with the same
command. This file is the same in every corpus folder: the steps are in
ser_lib/experiment.py, the settings in hparams/ and corpus.yaml.
"""

from collections.abc import Sequence

from ser_lib.utils.command import RESUMES, run_command


def main(arguments: Sequence[str]) -> None:
    """Read the settings and run them."""
    from ser_lib.experiment import run
    from ser_lib.settings import run_recipe

    run_recipe(run, arguments, __doc__)


if __name__ == "__main__":
    run_command(main, RESUMES)
