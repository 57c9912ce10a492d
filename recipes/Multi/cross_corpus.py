#!/usr/bin/env python3
"""Train one experiment on each corpus, and on all but one; test it on the others.

python cross_corpus.py hparams/whisper_frozen.yaml --corpora "{RAVDESS: DIR, nEMO: DIR}"

Only labels that every corpus has are used. Any setting of the file can be given on the
command line, as can SpeechBrain's run options. An interrupted run resumes with the same
command. The steps are in ser_lib/cross_corpus/run.py.
"""

from collections.abc import Sequence

from ser_lib.utils.command import RESUMES, run_command


def main(arguments: Sequence[str]) -> None:
    """Read the settings and run them."""
    from ser_lib.cross_corpus import run_cross_corpus
    from ser_lib.settings import run_recipe

    options = ["--folds_by=matrix", "--results_folder=results/cross_corpus"]
    names = {argument.partition("=")[0] for argument in arguments}
    added = [option for option in options if option.partition("=")[0] not in names]
    run_recipe(run_cross_corpus, [*arguments, *added], __doc__)


if __name__ == "__main__":
    run_command(main, RESUMES)
