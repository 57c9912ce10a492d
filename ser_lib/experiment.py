"""One experiment, from corpus files to a report: the main path of the recipes.

``run`` is the whole of it. A fold is trained (``training.train_fold``) unless it has
been, tested once (``test_fold``) unless it has been, and the folds make a report.
"""

import json
import shutil
from pathlib import Path

from speechbrain import create_experiment_directory
from speechbrain.utils.distributed import ddp_barrier, if_main_process
from speechbrain.utils.logger import get_logger
from speechbrain.utils.run_opts import RunOptions

from ser_lib.corpora import validate, with_audio_hashes
from ser_lib.evaluation import (
    fold_fault,
    format_table,
    list_errors,
    write_predictions,
    write_report,
)
from ser_lib.export import export_run
from ser_lib.folds import (
    Fold,
    audit_folds,
    chosen_folds,
    describe,
    fold_digest,
    write_folds,
)
from ser_lib.settings import Settings
from ser_lib.training import (
    copy_steps,
    settings_key,
    stage_settings,
    train_fold,
    trained_folder,
)
from ser_lib.utils.digests import digest
from ser_lib.utils.files import atomic_path

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
    settings : Settings
        Settings of the experiment.
    folds : list[Fold]
        All folds of the corpus, as :func:`prepare` gives them.
    run_opts : RunOptions
        Run options.
    progress : str
        What the line that announces a fold begins with.
    """
    output_folder = Path(settings["output_folder"])
    create_experiment_directory(output_folder)
    if if_main_process():
        with atomic_path(output_folder / "hyperparams.yaml") as unfinished:
            unfinished.write_text(settings.text, encoding="utf-8")
    for fold in chosen_folds(folds, settings["folds"]):
        if if_main_process():
            what = f"{settings['experiment']}, fold {fold.number} of {len(folds)}"
            print(f"{progress}{what}", flush=True)
        test_fold(settings, fold, run_opts, output_folder / f"fold_{fold.number}")


def report(settings: Settings, run_opts: RunOptions) -> None:
    """Write the report of the finished folds and print their table.

    Arguments
    ---------
    settings : Settings
        Settings of the experiment.
    run_opts : RunOptions
        Run options.
    """
    output_folder = Path(settings["output_folder"])
    path = write_report(
        output_folder,
        settings["corpus"]["labels"],
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
    """Read a corpus, check it, split it, audit the folds and write them down.

    Arguments
    ---------
    settings : Settings
        Settings with a corpus, its reader and splitter. Each part is written
        to ``fold_<k>/{train,valid,test}.csv`` in their ``output_folder``.

    Returns
    -------
    list[Fold]
        The folds.

    Raises
    ------
    ValueError
        If the corpus is not as ``corpus.yaml`` says, or if the parts of a fold have
        something in common that its protocol forbids.
    """
    corpus = settings["corpus"]
    utterances = settings["read_corpus"]()
    validate(utterances, corpus, settings["data_folder"])
    hashes = Path(settings["cache_folder"]) / "audio_hashes.csv"
    utterances = with_audio_hashes(utterances, settings["data_folder"], hashes)
    folds = settings["make_folds"](utterances)
    if if_main_process():
        print(describe(utterances, folds))
    audit = audit_folds(folds, corpus)
    audit.check()
    if if_main_process():
        print(audit.summary())
        write_folds(folds, corpus, settings["output_folder"])
    return folds


def result_key(settings: Settings, run_opts: RunOptions) -> str:
    """Name what the figures of an experiment depend on, but for the folds.

    Arguments
    ---------
    settings : Settings
        Settings of the experiment.
    run_opts : RunOptions
        Run options.

    Returns
    -------
    str
        12 hexadecimal digits.
    """
    return digest([settings_key(settings, run_opts), settings["averaged_checkpoints"]])


def fold_info_of(settings: Settings, fold: Fold, run_opts: RunOptions) -> dict:
    """Say what the figures of a fold depend on.

    Arguments
    ---------
    settings : Settings
        Settings of the experiment.
    fold : Fold
        The fold.
    run_opts : RunOptions
        Run options.

    Returns
    -------
    dict
        The first entries of the fold's fold.json.
    """
    return {
        "experiment": settings["experiment"],
        "corpus": settings["corpus"]["name"],
        "seed": settings["seed"],
        "fold": fold.number,
        "settings_key": result_key(settings, run_opts),
        "fold_digest": fold_digest(fold),
    }


def test_fold(
    settings: Settings, fold: Fold, run_opts: RunOptions, folder: Path
) -> None:
    """Train a fold if need be, read its test part once, and write predictions.

    Arguments
    ---------
    settings : Settings
        Settings of the experiment.
    fold : Fold
        The fold.
    run_opts : RunOptions
        Run options.
    folder : Path
        Gets predictions.csv, history.csv and, last, fold.json.
    """
    fold_info = fold_info_of(settings, fold, run_opts)
    fault = fold_fault(folder, fold_info)
    if not fault:
        logger.info("Fold %d is finished: nothing to do.", fold.number)
        return
    info_path = folder / "fold.json"
    ddp_barrier()  # all have looked
    if if_main_process() and info_path.is_file():
        logger.warning("The results of fold %d are replaced: %s", fold.number, fault)
        info_path.unlink()
    brain, loaders = train_fold(settings, fold, run_opts)
    predictions = brain.predict(loaders["test"], settings["averaged_checkpoints"])
    if not if_main_process():
        return
    truth = {u.id: u for u in fold.test}
    predictions.insert(1, "speaker", [truth[i].speaker for i in predictions["id"]])
    predictions.insert(2, "label", [truth[i].label for i in predictions["id"]])
    labels = settings["corpus"]["labels"]
    write_predictions(folder / "predictions.csv", predictions.sort_values("id"), labels)
    shutil.copyfile(brain.hparams.history.path, folder / "history.csv")
    copy_steps(brain.hparams.save_folder, folder)
    fold_info["averaged_epochs"] = [c.meta["epoch"] for c in brain.averaged]
    fold_info["valid_accuracy"] = [c.meta["valid_accuracy"] for c in brain.averaged]
    fold_info["trained_in"] = brain.hparams.save_folder
    fold_info["upstreams_trained_in"] = {
        name: str(trained_folder(stage_settings(settings, name), fold, run_opts))
        for name in settings["finetuned"]
    }
    with atomic_path(info_path) as unfinished:
        unfinished.write_text(json.dumps(fold_info, indent=1), encoding="utf-8")
