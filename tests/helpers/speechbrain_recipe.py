"""One fold of IEMOCAP, trained by this package and by SpeechBrain's recipe.

``bench_finetuning.py`` times both. Each keeps its own batches, optimisers and workers.
"""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import soundfile
from hyperpyyaml import load_hyperpyyaml
from speechbrain import Brain, Stage
from speechbrain.utils.run_opts import RunOptions
from torch.utils.data import DataLoader

from ser_lib.corpora import Utterance
from ser_lib.dataio import fold_inputs, make_loaders
from ser_lib.folds import Fold
from ser_lib.settings import Settings
from ser_lib.training.assembly import make_brain

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "IEMOCAP"
LABELS = ["neu", "hap", "ang", "sad"]
RATE_HZ = 16000
PARTS = ("train_annotation", "valid_annotation", "test_annotation")


def write_noise(folder: Path, durations_s: Sequence[float]) -> list[Utterance]:
    """Write a file of noise per duration; labels take turns."""
    generator = np.random.default_rng(0)
    utterances = []
    for i, duration_s in enumerate(durations_s):
        wav = 0.1 * generator.standard_normal(round(duration_s * RATE_HZ))
        soundfile.write(folder / f"{i}.wav", wav, RATE_HZ)
        label = LABELS[i % len(LABELS)]
        utterances.append(Utterance(f"u{i}", f"{i}.wav", label, "A", duration_s))
    return utterances


class Training:
    """A Brain and its loader, trained epoch by epoch, without validation."""

    def __init__(self, brain: Brain, loader: DataLoader) -> None:
        self._brain, self._loader = brain, loader
        self._epochs = iter(brain.hparams.epoch_counter)
        brain.on_fit_start()

    def train_epoch(self) -> None:
        """Run the part of ``Brain.fit`` before validation and saving."""
        epoch = next(self._epochs)
        self._brain._fit_train(self._loader, epoch, enable=False)


def ours(
    folder: Path,
    encoder: Path,
    utterances: list[Utterance],
    run_opts: RunOptions,
    **settings: object,
) -> Training:
    """Build the training of ``hubert_finetune.yaml``."""
    given = {"hubert_source": str(encoder), "data_folder": str(folder), **settings}
    given |= {"results_folder": str(folder / "ours"), "tensorboard": "no"}
    settings = Settings.from_file(RECIPE / "hparams" / "hubert_finetune.yaml", given)
    fold = Fold(1, utterances, [], utterances[:1])
    work = folder / "ours"
    work.mkdir(exist_ok=True)
    hparams = settings.build(fold=1, save_folder=str(work))
    brain = make_brain(hparams, {}, run_opts, work, utterances)
    loaders = make_loaders(hparams, fold, fold_inputs(settings, brain.reads, fold))
    brain.train_sampler = loaders["train"].batch_sampler
    return Training(brain, loaders["train"])


def theirs(
    script: Path,
    folder: Path,
    encoder: Path,
    utterances: list[Utterance],
    run_opts: RunOptions,
) -> Training:
    """Build the training of a ``train_with_wav2vec2.py``, as its last part does."""
    recipe = _import(script)
    rows = {
        u.id: {"wav": f"{{data_root}}/{u.path}", "length": u.duration_s, "emo": u.label}
        for u in utterances
    }
    annotation = folder / "utterances.json"
    annotation.write_text(json.dumps(rows))
    given = {
        "data_folder": str(folder),
        "output_folder": str(folder / "theirs"),
        "wav2vec2_hub": str(encoder),
        "encoder_dim": _hidden_size(encoder),
        **dict.fromkeys(PARTS, str(annotation)),
    }
    with open(script.parent / "hparams" / f"{script.stem}.yaml") as f:
        hparams = load_hyperpyyaml(f, given)
    (folder / "theirs" / "save").mkdir(parents=True, exist_ok=True)
    datasets = recipe.dataio_prep(hparams)
    if not hparams["freeze_wav2vec2"] and hparams["freeze_wav2vec2_conv"]:
        hparams["wav2vec2"].model.feature_extractor._freeze_parameters()
    brain = recipe.EmoIdBrain(
        modules=hparams["modules"],
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    options = hparams["dataloader_options"]
    loader = brain.make_dataloader(datasets["train"], Stage.TRAIN, **options)
    return Training(brain, loader)


def _import(script: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _hidden_size(encoder: Path) -> int:
    return json.loads((encoder / "config.json").read_text())["hidden_size"]
