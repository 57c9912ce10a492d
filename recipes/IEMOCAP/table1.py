#!/usr/bin/env python3
"""Train what is missing of Table 1 of Morais et al. (2022) and print the table.

python table1.py --data_folder /path/to/IEMOCAP_full_release

Options of its own: --only hubert_ecapa,fbank_ecapa (these experiments), --changes FILE
(settings of each experiment) and --plan_only True (train nothing), see table1.yaml. Any
setting can be given: it holds for every experiment that has it. So can SpeechBrain's
run options. The same command again goes on where it stopped. The steps are in
ser_lib/experiment_table.py.
"""

import sys
from pathlib import Path

from speechbrain import parse_arguments
from speechbrain.utils.distributed import ddp_init_group

from ser_lib.experiment_table import run_table

if __name__ == "__main__":
    table_file = str(Path(__file__).with_name("table1.yaml"))
    table_file, run_opts, overrides = parse_arguments([table_file, *sys.argv[1:]])
    ddp_init_group(run_opts)  # does nothing but under torchrun
    run_table(table_file, overrides, run_opts)
