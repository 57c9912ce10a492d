"""One experiment, from corpus files to a report: the main path of the recipes.

``run`` reads and splits the corpus (``prepare``), trains and tests each fold that is
not finished (``FoldRun.evaluate``), and reports on the folds.
"""

import sys
from pathlib import Path

from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.logger import get_logger, setup_logging
from speechbrain.utils.run_opts import RunOptions

from ser_lib.corpora import protocol, read_utterances, with_audio_hashes
from ser_lib.dataio import (
    LABEL_ENCODER_FILE,
    check_frame_files,
    write_label_encoder,
)
from ser_lib.evaluation import (
    format_table,
    list_errors,
    write_report,
)
from ser_lib.export import export_run
from ser_lib.fold_run import FoldRun
from ser_lib.folds import (
    Fold,
    audit_folds,
    chosen_folds,
    describe,
    prepared_folds,
    record_preparation,
    with_training_only,
    write_folds,
)
from ser_lib.settings import Settings
from ser_lib.training import create_run_folder, result_key
from ser_lib.utils.files import atomic_path
from ser_lib.utils.progress import Progress

logger = get_logger(__name__)


def run(settings: Settings, run_opts: RunOptions) -> None:
    """Run an experiment on a corpus.

    Arguments
    ---------
    settings : Settings
        Flattened settings, see ``recipes/hparams/base.yaml``.
    run_opts : RunOptions
        SpeechBrain's run options (device, precision ...).
    """
    folds = prepare(settings)
    if settings["prepare_only"]:
        for counted in _check_streams(settings, folds):
            print(counted)
        folder = settings["output_folder"]
        print(f"The folds are in {folder}/fold_<k>/{{train,valid,test}}.csv")
        return
    run_folds(settings, folds, run_opts)
    if if_main_process():
        report(settings, run_opts)
        if settings["export_to"]:
            folder = export_run(settings["output_folder"], settings["export_to"])
            print(f"The model is in {folder}")


def run_folds(
    settings: Settings, folds: list[Fold], run_opts: RunOptions, progress: str = ""
) -> None:
    """Train and test the chosen folds of an experiment.

    Arguments
    ---------
    folds : list[Fold]
        All folds of the corpus, as returned by :func:`prepare`.
    progress : str
        Prefix of the line that announces a fold.
    """
    start_run(settings, folds)
    known: dict = {}
    name, chosen = settings["experiment"], chosen_folds(folds, settings["folds"])
    show = len(chosen) > 1 and not run_opts.noprogressbar and if_main_process()
    with Progress(f"folds of {name}", len(chosen), "folds", show=show) as shown:
        for fold in chosen:
            if if_main_process():
                shown.write(f"{progress}{name}, fold {fold.number} of {len(folds)}")
                sys.stdout.flush()
            FoldRun(settings, fold, run_opts, known).evaluate()
            shown.update()


def start_run(settings: Settings, folds: list[Fold]) -> None:
    """Create the output folder of a run, with its settings and its log."""
    output_folder = Path(settings["output_folder"])
    create_run_folder(output_folder)
    if if_main_process():
        with atomic_path(output_folder / "hyperparams.yaml") as unfinished:
            unfinished.write_text(settings.text, encoding="utf-8")
        with atomic_path(output_folder / LABEL_ENCODER_FILE) as unfinished:
            write_label_encoder(unfinished, settings["labels"])
    for counted in _check_streams(settings, folds):
        logger.info(counted)


def log_to(output_folder: Path) -> None:
    """Add the log of this process to that of a run."""
    file = {"filename": str(output_folder / "log.txt")}
    setup_logging(overrides={"handlers": {"file_handler": file}})


def report(settings: Settings, run_opts: RunOptions) -> None:
    """Write the report of the finished folds and print their table."""
    output_folder = Path(settings["output_folder"])
    path = write_report(
        output_folder,
        settings["labels"],
        title=f"{settings['experiment']} on {settings['corpus']['name']}",
        note=settings["note"],
        expected=settings["paper"],
        settings_key=result_key(settings, run_opts),
    )
    if settings["list_errors"]:
        print(list_errors(path.parent))
    print(format_table(output_folder))
    if settings["note"]:
        print(f"Note: {settings['note'].strip()}")
    print(f"The report is in {path}")


def prepare(settings: Settings) -> list[Fold]:
    """Read a corpus, check it, split it, audit the folds and write them.

    Each part is written to ``fold_<k>/{train,valid,test}.csv`` in ``output_folder``.
    With ``skip_prep``, these files are read instead of the corpus.

    Raises
    ------
    ValueError
        If the corpus does not match ``corpus.yaml``, or the parts of a fold share
        something that the protocol forbids; with ``skip_prep``, if the folds are of
        other settings or have changed.
    """
    hashes = Path(settings["cache_folder"]) / "audio_hashes.csv"
    if settings["skip_prep"]:
        folds = prepared_folds(settings, hashes)
        summary = f"skip_prep: the folds are those in {settings['output_folder']}"
    else:
        utterances = read_utterances(settings)
        utterances = with_audio_hashes(utterances, settings["data_folder"], hashes)
        folds = with_training_only(utterances, settings["make_folds"])
        summary = describe(utterances, folds)
    corpus = protocol(settings)
    if if_main_process():
        print(summary)
    audit = audit_folds(folds, corpus)
    audit.check()
    if if_main_process():
        print(audit.summary())
        if not settings["skip_prep"]:
            write_folds(folds, corpus, settings["output_folder"])
            record_preparation(settings, folds)
    return folds


def _check_streams(settings: Settings, folds: list[Fold]) -> list[str]:
    if "FrameFiles" not in settings.text:  # the model would be built for nothing
        return []
    return check_frame_files(settings, settings["model"], folds)
