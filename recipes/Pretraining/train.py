#!/usr/bin/env python3
"""Pre-train an encoder, without labels, on any folder of audio.

python train.py hparams/apc.yaml --data_folder /path/to/any/audio

Any setting of the file can be given on the command line, as can SpeechBrain's run
options (--device, --precision bf16 ...). An interrupted run resumes with the same
command. The steps are in ser_lib/pretraining/run.py, the settings in hparams/.
"""

from collections.abc import Sequence

from ser_lib.utils.command import RESUMES, run_command


def main(arguments: Sequence[str]) -> None:
    """Read the settings, run them and print the folder of the encoder."""
    from ser_lib.pretraining import run_pretraining
    from ser_lib.settings import run_recipe

    run_recipe(run_pretraining, arguments, __doc__)


if __name__ == "__main__":
    run_command(main, RESUMES)
