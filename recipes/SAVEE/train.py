#!/usr/bin/env python3
"""Train, average and test one experiment on this corpus, fold by fold.

python train.py hparams/hubert_ecapa.yaml --data_folder /path/to/the/corpus

Any setting of the file can be given on the command line, and so can SpeechBrain's
run options (--device, --precision bf16 ...). The same command again goes on where
it stopped. This file is the same in every corpus folder: the steps are in
ser_lib/experiment.py, the settings in hparams/ and corpus.yaml.
"""

import sys

from speechbrain import parse_arguments
from speechbrain.utils.distributed import ddp_init_group

from ser_lib.experiment import run
from ser_lib.hparams import Settings

if __name__ == "__main__":
    hparams_file, run_opts, overrides = parse_arguments(sys.argv[1:])
    settings = Settings.from_file(hparams_file, overrides)
    if settings["show_hparams"]:
        print(settings.text)
    else:
        ddp_init_group(run_opts)  # does nothing but under torchrun
        run(settings, run_opts)
