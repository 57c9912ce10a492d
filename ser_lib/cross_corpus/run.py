"""The cross-corpus matrix of one experiment: train, test and tabulate."""

from pathlib import Path

from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.run_opts import RunOptions

from ser_lib.cross_corpus.figure import heat_maps
from ser_lib.cross_corpus.rows import matrix_rows, matrix_table, write_rows
from ser_lib.evaluation import collect
from ser_lib.experiment import prepare, run_folds
from ser_lib.folds import fold_digest, trained_on
from ser_lib.settings import Settings
from ser_lib.training import result_key
from ser_lib.utils.files import atomic_path
from ser_lib.utils.text_tables import plain_table

MATRIX_FILE = "matrix.csv"


def run_cross_corpus(settings: Settings, run_opts: RunOptions) -> None:
    """Train on each corpus, and on all but one; test each model on the others.

    Writes ``matrix.csv`` and ``matrix.png`` into the output folder.

    Arguments
    ---------
    settings : Settings
        An experiment of ``recipes/Multi`` with ``folds_by: matrix``.
    run_opts : RunOptions
        SpeechBrain's run options.

    Raises
    ------
    ValueError
        If ``folds_by`` is something else.
    """
    if settings["folds_by"] != "matrix":
        raise ValueError(
            f"folds_by is {settings['folds_by']}; cross_corpus.py needs matrix, which "
            f"is its default. Use train.py for other folds."
        )
    folds = prepare(settings)
    if settings["prepare_only"]:
        return
    run_folds(settings, folds, run_opts)
    if not if_main_process():
        return
    folder = Path(settings["output_folder"])
    digests = {fold.number: fold_digest(fold) for fold in folds}
    key = result_key(settings, run_opts)
    results = collect(folder, settings["labels"], key, digests)
    names = {fold.number: trained_on(fold) for fold in folds}
    rows = matrix_rows(results, names, settings["labels"])
    write_rows(folder / MATRIX_FILE, rows)
    with atomic_path(folder / "matrix.png") as unfinished:
        heat_maps(rows).savefig(unfinished)
    print(plain_table(matrix_table(rows)))
    print(f"Labels: {', '.join(settings['labels'])}. The rows are in {folder}")
