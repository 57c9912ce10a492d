"""One experiment, from corpus files to a report: the main path of the recipes.

``run`` is the whole of it. A fold is trained (``train_fold``) unless it has been,
tested once (``test_fold``) unless it has been, and the folds make a report. In a
stage-B experiment, the frames of each fine-tuned upstream are computed once per
fold (``stored_frames``), after the stage-A experiment has been trained in the same
way.
"""

import gc
import json
import shutil
from pathlib import Path

import torch
from filelock import FileLock
from speechbrain import create_experiment_directory
from speechbrain.utils.logger import get_logger
from speechbrain.utils.run_opts import RunOptions
from speechbrain.utils.seed import seed_everything
from torch.utils.data import DataLoader

from ser_lib.artefacts import digest, fold_digest, settings_key
from ser_lib.brain import EmotionBrain, saved_modules, stage_seed
from ser_lib.checkpoints import AtomicCheckpointer
from ser_lib.features import FrameStore, check_space, encode_all, write_frames
from ser_lib.files import atomic_path
from ser_lib.folds import Fold, check_fold, chosen_folds, write_fold
from ser_lib.hparams import Settings
from ser_lib.loaders import (
    audio_reader,
    evaluation_sampler,
    make_loader,
    make_loaders,
)
from ser_lib.manifest import validate
from ser_lib.predictions import write_predictions
from ser_lib.report import format_table, write_report
from ser_lib.stages import stage_settings

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
    output_folder = Path(settings["output_folder"])
    folds = prepare(settings, output_folder)
    if settings["prepare_only"]:
        print(f"The folds are in {output_folder}/fold_<k>/{{train,valid,test}}.csv")
        return
    create_experiment_directory(output_folder)
    (output_folder / "hyperparams.yaml").write_text(settings.text, encoding="utf-8")
    for fold in chosen_folds(folds, settings["folds"]):
        test_fold(settings, fold, run_opts, output_folder / f"fold_{fold.number}")
    report = write_report(
        output_folder,
        settings["corpus"]["labels"],
        title=f"{settings['experiment']} on {settings['corpus']['name']}",
        note=settings["note"],
        expected=settings["paper"],
        settings_key=result_key(settings, run_opts),
    )
    print(format_table(output_folder))
    if settings["note"]:
        print(f"Note: {settings['note'].strip()}")
    print(f"The report is in {report}")


def prepare(settings: Settings, output_folder: Path) -> list[Fold]:
    """Read a corpus, check it, split it, and write the folds down.

    Arguments
    ---------
    settings : Settings
        Settings with the corpus's facts, reader and splitter.
    output_folder : Path
        Each part is written to ``fold_<k>/{train,valid,test}.csv`` in it.

    Returns
    -------
    list[Fold]
        The folds.
    """
    corpus = settings["corpus"]
    utterances = settings["read_corpus"]()
    validate(utterances, corpus, settings["data_folder"])
    folds = settings["make_folds"](utterances)
    for fold in folds:
        check_fold(fold, corpus["share_speakers_with_valid"])
        write_fold(fold, output_folder / f"fold_{fold.number}")
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
    facts = {
        "experiment": settings["experiment"],
        "corpus": settings["corpus"]["name"],
        "seed": settings["seed"],
        "fold": fold.number,
        "settings_key": result_key(settings, run_opts),
        "fold_digest": fold_digest(fold),
    }
    facts_path = folder / "fold.json"
    if facts_path.is_file():
        known = json.loads(facts_path.read_text(encoding="utf-8"))
        if {**known, **facts} == known:
            logger.info("Fold %d is finished: nothing to do.", fold.number)
            return
        facts_path.unlink()  # other settings or other data: these figures are stale
    brain, loaders = train_fold(settings, fold, run_opts)
    predictions = brain.predict(loaders["test"], settings["averaged_checkpoints"])
    truth = {u.id: u for u in fold.test}
    predictions.insert(1, "speaker", [truth[i].speaker for i in predictions["id"]])
    predictions.insert(2, "label", [truth[i].label for i in predictions["id"]])
    labels = settings["corpus"]["labels"]
    write_predictions(folder / "predictions.csv", predictions.sort_values("id"), labels)
    shutil.copyfile(brain.hparams.history.path, folder / "history.csv")
    facts["averaged_epochs"] = [c.meta["epoch"] for c in brain.averaged]
    facts["valid_accuracy"] = [c.meta["valid_accuracy"] for c in brain.averaged]
    facts["trained_in"] = brain.hparams.save_folder
    with atomic_path(facts_path) as unfinished:
        unfinished.write_text(json.dumps(facts, indent=1), encoding="utf-8")


def train_fold(
    settings: Settings, fold: Fold, run_opts: RunOptions
) -> tuple[EmotionBrain, dict[str, DataLoader]]:
    """Train a fold, or go on with it, or find it trained.

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
    EmotionBrain
        The Brain; its checkpoints hold the training.
    dict[str, DataLoader]
        Loaders of the parts: train, valid, test.
    """
    key = digest([settings_key(settings, run_opts), fold_digest(fold)])
    name = f"{settings['experiment']}-fold_{fold.number}-{key}"
    folder = Path(settings["work_folder"]) / "trained" / name
    folder.mkdir(parents=True, exist_ok=True)
    stores = {
        upstream: stored_frames(settings, upstream, fold, run_opts)
        for upstream in settings["finetuned"]
    }
    with FileLock(folder / "lock"):  # a second run of the same fold waits here
        seed_everything(stage_seed(settings["seed"], fold.number, 0), verbose=False)
        hparams = settings.build(fold=fold.number, save_folder=str(folder))
        loaders = make_loaders(hparams, fold, stores or {"wav": audio_reader(settings)})
        brain = make_brain(hparams, list(stores), run_opts, folder)
        brain.train_sampler = loaders["train"].batch_sampler
        if not (folder / "finished").is_file():
            logger.info("Training fold %d of %s.", fold.number, settings["experiment"])
            brain.fit(hparams["epoch_counter"], loaders["train"], loaders["valid"])
            (folder / "finished").touch()
    return brain, loaders


def stored_frames(
    settings: Settings, upstream: str, fold: Fold, run_opts: RunOptions
) -> FrameStore:
    """Compute the frames of a fine-tuned upstream for a fold, or find them.

    Arguments
    ---------
    settings : Settings
        Settings of the stage-B experiment.
    upstream : str
        Name of the upstream in it, and in the experiment that fine-tunes it.
    fold : Fold
        The fold; frames of all its parts are stored.
    run_opts : RunOptions
        Run options.

    Returns
    -------
    FrameStore
        Gives frames by utterance id.
    """
    stage = stage_settings(settings, upstream)
    k = settings["finetuned"][upstream]["averaged_checkpoints"]
    key = digest([settings_key(stage, run_opts), k, fold_digest(fold), upstream])
    name = f"{upstream}-fold_{fold.number}-{key}"
    folder = Path(settings["work_folder"]) / "frames" / name
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        try:
            return FrameStore(folder)
        except FileNotFoundError:
            pass
        except ValueError as error:
            logger.warning("%s It is computed again.", error)
        brain, _ = train_fold(stage, fold, run_opts)
        brain.load_average(k)
        encoder = brain.modules.upstreams[upstream]
        utterances = [*fold.train, *fold.valid, *fold.test]
        check_space(folder, utterances, encoder, brain.hparams.sample_rate_hz)
        loader = make_loader(
            utterances,
            brain.hparams.labels,
            {"wav": audio_reader(settings)},
            evaluation_sampler(vars(brain.hparams), utterances),
            settings["num_workers"],
        )
        show = not run_opts.noprogressbar
        frames = encode_all(loader, encoder, upstream, brain.device, show)
        write_frames(folder, encoder.dim, frames)
    del brain, encoder
    gc.collect()
    torch.cuda.empty_cache()
    return FrameStore(folder)


def make_brain(
    hparams: dict, stored: list[str], run_opts: RunOptions, folder: Path
) -> EmotionBrain:
    """Put model, checkpointer and settings together.

    Arguments
    ---------
    hparams : dict
        Built settings.
    stored : list[str]
        Upstreams whose frames come from a store; the others are trained.
    run_opts : RunOptions
        Run options.
    folder : Path
        Where checkpoints go.

    Returns
    -------
    EmotionBrain
        Ready to fit, or to load the average of its checkpoints.
    """
    model = hparams["model"]
    modules = {"downstream": model.downstream}
    if not stored:
        modules["upstreams"] = model.upstreams
    recoverables = {
        **saved_modules(modules),
        "epoch_counter": hparams["epoch_counter"],
        "history": hparams["history"],
    }
    return EmotionBrain(
        modules,
        hparams={**hparams, "stored_upstreams": stored},
        run_opts=run_opts,
        checkpointer=AtomicCheckpointer(folder / "save", recoverables),
    )
