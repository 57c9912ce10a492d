"""The commands of an installation: ser-predict, ser-train, ser-table and ser-demo.

Each imports its libraries when Ctrl-C is already handled, see ``utils/command.py``.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ser_lib.utils.command import RESUMES, RESUMES_WITH_OUT, run_command

if TYPE_CHECKING:
    from speechbrain.utils.run_opts import RunOptions

    from ser_lib.settings import Settings

TRAIN = """Train, average and test one experiment, fold by fold.

    ser-train IEMOCAP/hubert_ecapa --data_folder /path/to/the/corpus
    ser-train my.yaml

Experiments are named after a corpus and a settings file of its recipe. A settings file
of yours may extend one of them, as in "extends: IEMOCAP/hubert_ecapa". Any setting can
be given on the command line, as can SpeechBrain's run options (--device, --precision
bf16 ...). Results are written to ./results. An interrupted run resumes with the same
command.
"""
TABLE = """Train what a table of experiments lacks and print it with the paper's scores.

    ser-table IEMOCAP --data_folder /path/to/the/corpus

Tables are named after the corpus; a file such as recipes/IEMOCAP/table1.yaml, with the
settings of its experiments in the folder hparams next to it, will do, too. Options:
--only hubert_ecapa,fbank_ecapa (these experiments), --changes FILE (settings of each
experiment) and --plan_only True (train nothing). Any setting can be given and applies
to every experiment that has it; SpeechBrain's run options can be given too. Results are
written to ./results. An interrupted run resumes with the same command.
"""


def ser_predict() -> None:
    """Classify recordings, as ``python -m ser_lib.predict`` does."""

    def main(arguments: Sequence[str]) -> int:
        from ser_lib.predict.__main__ import main

        return main(arguments)

    run_command(main, RESUMES_WITH_OUT)


def ser_train() -> None:
    """Run the experiment that the command line names, as ``train.py`` does."""

    def main(arguments: Sequence[str]) -> None:
        from ser_lib.settings import run_recipe

        run_recipe(_run, arguments, TRAIN)

    run_command(main, RESUMES)


def ser_table() -> None:
    """Run the table that the command line names, as ``table1.py`` does."""

    def main(arguments: Sequence[str]) -> None:
        from ser_lib.paper_table import run_table_recipe

        run_table_recipe(arguments, TABLE)

    run_command(main, RESUMES)


def ser_demo() -> None:
    """Open a page to try a model, as ``python -m ser_lib.demo`` does."""

    def main(arguments: Sequence[str]) -> None:
        from ser_lib.demo.__main__ import main

        main(arguments)

    run_command(main)


def _run(settings: "Settings", run_opts: "RunOptions") -> None:
    """Train on a corpus, or pre-train an encoder (recipes/Pretraining)."""
    if "objective" in settings:
        from ser_lib.pretraining import run_pretraining

        run_pretraining(settings, run_opts)
    else:
        from ser_lib.experiment import run

        run(settings, run_opts)
