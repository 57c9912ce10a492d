"""One fold of one experiment: where it is stored, what is finished, how it is run.

The two stages of Morais et al. (2022), section 2, in the order in which they run::

    run = FoldRun(settings, fold, run_opts)
    run.evaluate()              # runs those of the following steps that are missing:
        run.frames(upstream)    #   fine-tune the upstream, average, compute its frames
        run.train(stores)       #   train on the frames
                                #   average, read the test part once, write the results

An experiment without fine-tuned upstreams has no frames; it reads audio or text.
"""

import gc
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch
from speechbrain.utils.distributed import ddp_barrier, if_main_process
from speechbrain.utils.logger import get_logger
from speechbrain.utils.run_opts import RunOptions
from speechbrain.utils.seed import seed_everything
from torch.utils.data import DataLoader

from ser_lib.corpora import Utterance
from ser_lib.dataio import (
    FrameStore,
    check_space,
    encode_all,
    evaluation_sampler,
    fold_inputs,
    make_loader,
    make_loaders,
    with_degraded_copies,
    write_shared_frames,
)
from ser_lib.evaluation import PREDICTION_FILES, fold_fault
from ser_lib.folds import Fold, fold_digest
from ser_lib.settings import Settings
from ser_lib.training import (
    EmotionBrain,
    discard_results,
    finetuning_settings,
    make_brain,
    result_key,
    settings_key,
    write_results,
)
from ser_lib.utils.digests import digest
from ser_lib.utils.distributed import locked
from ser_lib.utils.files import atomic_path
from ser_lib.utils.seeds import epoch_seed

logger = get_logger(__name__)


class FoldRun:
    """One fold of one experiment.

    Arguments
    ---------
    fold : Fold
        The fold; its digest is part of every key.
    run_opts : RunOptions
        SpeechBrain's run options (device, precision ...).
    known : dict | None
        Fixed frames that the folds of a run share.
    text_is_optional : bool
        Whether utterances may lack a transcript: ``modality_dropout`` of the experiment
        that this one fine-tunes for allows it. The key does not depend on it.
    """

    def __init__(
        self,
        settings: Settings,
        fold: Fold,
        run_opts: RunOptions,
        known: dict | None = None,
        text_is_optional: bool = False,
    ) -> None:
        self.settings = settings
        self.fold = fold
        self.run_opts = run_opts
        self._known = {} if known is None else known
        self._text_is_optional = text_is_optional

    # ---- where it is stored, what is finished

    @cached_property
    def key(self) -> str:
        """Digest of everything that can change the trained fold."""
        parts = [settings_key(self.settings, self.run_opts), fold_digest(self.fold)]
        return digest(parts)

    @property
    def folder(self) -> Path:
        """Folder of the checkpoints; a file ``finished`` marks a trained fold."""
        return self._cached("trained", self.key)

    @property
    def output_folder(self) -> Path:
        """Folder of predictions.csv, history.csv and, written last, fold.json."""
        return Path(self.settings["output_folder"]) / f"fold_{self.fold.number}"

    @property
    def info(self) -> dict:
        """The first entries of fold.json, on which the results depend."""
        return {
            "experiment": self.settings["experiment"],
            "corpus": self.settings["corpus"]["name"],
            "seed": self.settings["seed"],
            "fold": self.fold.number,
            "settings_key": result_key(self.settings, self.run_opts),
            "fold_digest": fold_digest(self.fold),
        }

    @property
    def is_trained(self) -> bool:
        """Whether all epochs are finished."""
        return (self.folder / "finished").is_file()

    @property
    def is_tested(self) -> bool:
        """Whether results of these settings on this data exist."""
        return not fold_fault(self.output_folder, self.info)

    def finetuning(self, upstream: str) -> "FoldRun":
        """Return the run that fine-tunes an upstream on this fold.

        Experiments that fine-tune with the same settings share it.
        """
        settings = finetuning_settings(self.settings, upstream)
        is_optional = self.settings["modality_dropout"] > 0
        return FoldRun(settings, self.fold, self.run_opts, text_is_optional=is_optional)

    def frames_folder(self, upstream: str) -> Path:
        """Return the folder of the frames of a fine-tuned upstream."""
        finetuning = self.finetuning(upstream)
        parts = [
            settings_key(finetuning.settings, self.run_opts),
            self._n_averaged(upstream),
            fold_digest(self.fold),
        ]
        return finetuning._cached("frames", digest(parts))

    # ---- how it is run

    def evaluate(self) -> None:
        """Train the fold if needed, read its test part once, and write the results."""
        fault = fold_fault(self.output_folder, self.info)
        if not fault:
            logger.info("Fold %d is finished: nothing to do.", self.fold.number)
            return
        ddp_barrier()  # all processes have read the results
        if if_main_process():
            discard_results(self.output_folder, fault)
        stores = {name: self.frames(name) for name in self.settings["finetuned"]}
        brain, loaders = self.train(stores)
        brain.load_average(self.settings["averaged_checkpoints"])
        parts = [name for name in PREDICTION_FILES if name in loaders]
        predictions = {name: brain.predict(loaders[name]) for name in parts}
        if if_main_process():
            write_results(
                self.output_folder,
                self.info | self._trained_in,
                brain,
                predictions,
                self._utterances,
            )

    def frames(self, upstream: str) -> FrameStore:
        """Return the frames of a fine-tuned upstream, computing missing ones.

        Arguments
        ---------
        upstream : str
            A key of the block ``finetuned``.

        Returns
        -------
        FrameStore
            Frames of all parts of the fold, by utterance id.
        """
        folder = self.frames_folder(upstream)
        with locked(folder):
            try:
                return FrameStore(folder)
            except FileNotFoundError:
                pass
            except ValueError as error:
                logger.warning("%s Computing the frames again.", error)
            ddp_barrier()  # all processes have checked before anything is written
            finetuning = self.finetuning(upstream)
            brain, _ = finetuning.train()
            brain.load_average(self._n_averaged(upstream))
            finetuning._write_frames(brain, folder)
        del brain
        gc.collect()
        torch.cuda.empty_cache()
        return FrameStore(folder)

    def train(
        self, stores: Mapping[str, FrameStore] | None = None
    ) -> tuple[EmotionBrain, dict[str, DataLoader]]:
        """Train the fold, or resume its training, unless it is trained.

        Arguments
        ---------
        stores : Mapping[str, FrameStore] | None
            The frames of each fine-tuned upstream; None without fine-tuning.

        Returns
        -------
        EmotionBrain
            Its checkpointer holds the checkpoints of the training.
        dict[str, DataLoader]
            Loaders of the parts.

        Raises
        ------
        ValueError
            If an upstream reads transcripts and an utterance has none.
        """
        stores = stores or {}
        with locked(self.folder):
            self._save_settings()
            seed = epoch_seed(self.settings["seed"], self.fold.number, 0)
            seed_everything(seed, verbose=False)
            hparams = self.settings.build(
                fold=self.fold.number, save_folder=str(self.folder)
            )
            utterances = self._utterances if self.is_trained else self._with_copies
            utterances = sorted(utterances, key=lambda u: u.id)
            brain = make_brain(hparams, stores, self.run_opts, self.folder, utterances)
            inputs = self._inputs(brain) | stores
            encoders = [str(self.frames_folder(name)) for name in stores]
            key = digest([encoders, [u.id for u in utterances]])
            loader = self._loader(brain, inputs, utterances)
            if brain.prepare_frames(loader, utterances, self._known, key):
                inputs = {k: v for k, v in inputs.items() if k == "text"}  # no frames
            n_copies = self.settings["degraded_copies"]
            train = with_degraded_copies(self.fold.train, n_copies)
            loaders = make_loaders(hparams, replace(self.fold, train=train), inputs)
            brain.train_sampler = loaders["train"].batch_sampler
            if not self.is_trained:
                name = self.settings["experiment"]
                logger.info("Training fold %d of %s.", self.fold.number, name)
                loader = self._loader(brain, inputs, train)
                brain.fit_standardisation([u.id for u in train], loader)
                brain.targets.fit(self.fold.train)
                valid = loaders.get("valid")  # None if the fold has no such part
                brain.fit(hparams["epoch_counter"], loaders["train"], valid)
                (self.folder / "finished").touch()
        return brain, loaders

    @property
    def _utterances(self) -> list[Utterance]:
        return [*self.fold.train, *self.fold.valid, *self.fold.test]

    @property
    def _with_copies(self) -> list[Utterance]:
        """All utterances with degraded copies, so that folds can share frames."""
        n_copies = self.settings["degraded_copies"]
        return with_degraded_copies(self._utterances, n_copies)

    def _inputs(self, brain: EmotionBrain) -> dict:
        settings, optional = self.settings, self._text_is_optional
        return fold_inputs(settings, brain.inputs, self.fold, optional)

    def _loader(
        self, brain: EmotionBrain, inputs: Mapping, utterances: Sequence[Utterance]
    ) -> DataLoader:
        """Create a loader of some utterances, in a fixed order."""
        return make_loader(
            utterances,
            brain.hparams.labels,
            inputs,
            evaluation_sampler(vars(brain.hparams), utterances),
            self.settings["num_workers"],
        )

    @property
    def _trained_in(self) -> dict:
        """The entries of fold.json about the trainings, which an export reads."""
        finetuned = self.settings["finetuned"]
        return {
            "trained_in": str(self.folder),
            "upstreams_trained_in": {
                name: str(self.finetuning(name).folder) for name in finetuned
            },
        }

    # ---- files

    def _cached(self, kind: str, key: str) -> Path:
        name = f"{self.settings['experiment']}-fold_{self.fold.number}-{key}"
        return Path(self.settings["cache_folder"]) / kind / name

    def _n_averaged(self, upstream: str) -> int:
        return self.settings["finetuned"][upstream]["averaged_checkpoints"]

    def _save_settings(self) -> None:
        """Write the settings next to the checkpoints, where an export reads them."""
        if if_main_process():
            with atomic_path(self.folder / "hyperparams.yaml") as unfinished:
                unfinished.write_text(self.settings.text, encoding="utf-8")

    def _write_frames(self, brain: EmotionBrain, folder: Path) -> None:
        """Write the frames of the fine-tuned upstream."""
        ((_, encoder),) = brain.upstreams.items()
        inputs = self._inputs(brain)
        utterances = self._with_copies
        loader = self._loader(brain, inputs, utterances)
        check_space(folder, utterances, encoder, self.settings["sample_rate_hz"])
        show = not brain.noprogressbar and if_main_process()
        label = f"frames of {self.settings['experiment']}"
        frames = encode_all(loader, encoder, label, brain.device, show)
        write_shared_frames(folder, encoder.dim, frames)
