#!/usr/bin/env python3
"""Pre-train an encoder, without labels, on any folder of audio.

python train.py hparams/apc.yaml --data_folder /path/to/any/audio

Any setting of the file can be given on the command line, and so can SpeechBrain's
run options (--device, --precision bf16 ...). The same command again goes on where
it stopped. The steps are in ser_lib/pretraining/run.py, the settings in hparams/.
"""

import sys

from speechbrain import parse_arguments
from speechbrain.utils.distributed import ddp_init_group

from ser_lib.hparams import Settings
from ser_lib.pretraining import pretrain

if __name__ == "__main__":
    hparams_file, run_opts, overrides = parse_arguments(sys.argv[1:])
    settings = Settings.from_file(hparams_file, overrides)
    if settings["show_hparams"]:
        print(settings.text)
    else:
        ddp_init_group(run_opts)  # does nothing but under torchrun
        print(f"The encoder is in {pretrain(settings, run_opts)}")
