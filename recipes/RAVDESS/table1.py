#!/usr/bin/env python3
"""Train the missing experiments of a table and print it next to the paper's scores.

python table1.py --data_folder /path/to/the/corpus

The rows are in table1.yaml, after Table 1 of Morais et al. (2022). Options: --only
hubert_ecapa,fbank_ecapa (these experiments), --changes FILE (settings of each
experiment), --plan_only True (train nothing), --ray and --slurm (several steps at a
time, see recipes/README.md). Any setting can be given and applies to every experiment
that has it; SpeechBrain's run options can be given too. An interrupted run resumes with
the same command. This file is the same in every corpus folder that has it: the steps
are in ser_lib/paper_table/run.py.
"""

from collections.abc import Sequence
from pathlib import Path

from ser_lib.utils.command import RESUMES, run_command


def main(arguments: Sequence[str]) -> None:
    """Read the options and run the table."""
    from ser_lib.paper_table import run_table_recipe

    table_file = str(Path(__file__).with_name("table1.yaml"))
    run_table_recipe([table_file, *arguments], __doc__)


if __name__ == "__main__":
    run_command(main, RESUMES)
