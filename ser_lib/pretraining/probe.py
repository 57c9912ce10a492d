"""The effect of pre-training: an experiment with the encoder before and after it.

For one method and one fold of a corpus, an encoder is pre-trained on the corpus without
the fold's test speakers. Then an experiment is run on that fold with the untrained and
with the trained encoder. ``probe_table.py`` tabulates the results.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.run_opts import RunOptions

from ser_lib.evaluation import compute_scores, read_predictions
from ser_lib.experiment import run
from ser_lib.folds import Fold
from ser_lib.pretraining.run import pretrain
from ser_lib.settings import Settings, naming_settings
from ser_lib.upstreams.families import FAMILIES
from ser_lib.upstreams.huggingface import HuggingFaceUpstream

# Settings that name an encoder in Hugging Face's format.
SOURCES = ("hubert_source", "w2v2_source")
# Settings of the experiment about the machine, also used for pre-training.
_PASSED_ON = ("num_workers", "keep_audio_in_memory")


@dataclass(frozen=True)
class Probe:
    """The settings that all methods and folds of a comparison share.

    Arguments
    ---------
    experiment : Path
        Settings file of an experiment that takes an encoder.
    data_folder : Path
        The corpus: used for pre-training without labels, then by the experiment with
        them.
    results_folder : Path
        Contains a separate folder for each fold, method and seed, so that several
        processes can run folds at the same time.
    speaker_files : str
        Pattern of the files of ``{speaker}``, such as ``Actor_{speaker}/*``.
    pretraining, changes : str
        Settings, in YAML, of the pre-training and of the experiment that replace those
        in the files.
    """

    experiment: Path
    data_folder: Path
    results_folder: Path
    speaker_files: str = "*Actor_{speaker}/*"
    pretraining: str = ""
    changes: str = ""

    @cached_property
    def settings(self) -> Settings:
        """Settings of the experiment, except its encoder."""
        changes = _read_settings(self.changes, "probe")
        overrides = {"data_folder": str(self.data_folder), **changes}
        return Settings.from_file(self.experiment, overrides)

    @property
    def options(self) -> str:
        """The changed settings, as options of probe.py."""
        texts = {"pretraining": self.pretraining, "probe": self.changes}
        lines = {name: " ".join(text.split()) for name, text in texts.items()}
        return " ".join(f'--{name} "{text}"' for name, text in lines.items() if text)

    def folds(self) -> list[Fold]:
        """Return the folds of the corpus."""
        return self.settings["make_folds"](self.settings["read_corpus"]())

    def check(self, method_file: Path) -> None:
        """Check a method (``hparams/<method>.yaml``) before anything is trained.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, its encoder does not fit the experiment, or the
            changed settings are invalid.
        """
        changes = _read_settings(self.pretraining, "pretraining")
        method = Settings.from_file(method_file, changes)
        encoder_settings(self.settings, method["family"], Path("encoder"))

    def run(self, method_file: Path, fold: Fold, run_opts: RunOptions) -> dict:
        """Pre-train, and run the experiment before and after.

        Arguments
        ---------
        method_file : Path
            Settings of a pre-training, ``hparams/<method>.yaml``.
        fold : Fold
            Its test speakers are excluded from the pre-training.

        Returns
        -------
        dict
            A row of ``probe.csv``, see :func:`probe_row`; empty except in the main
            process.
        """
        pretraining = self._pretraining_settings(method_file, fold)
        encoder = pretrain(pretraining, run_opts)
        encoders = {"before": encoder.with_name("encoder_untrained"), "after": encoder}
        outputs = {}
        for name, folder in encoders.items():
            overrides = {
                "data_folder": str(self.data_folder),
                "folds": fold.number,
                "results_folder": str(encoder.parent / name),
                "cache_folder": str(self.results_folder / "work"),
                **_read_settings(self.changes, "probe"),
                **encoder_settings(self.settings, pretraining["family"], folder),
            }
            settings = Settings.from_file(self.experiment, overrides)
            run(settings, run_opts)
            outputs[name] = Path(settings["output_folder"])
        if not if_main_process():
            return {}
        row = probe_row(encoder.parent, outputs, fold.number, self.settings)
        return {**row, "settings": self.options}

    def _pretraining_settings(self, method_file: Path, fold: Fold) -> Settings:
        corpus = self.settings["corpus"]
        overrides = {
            "data_folder": str(self.data_folder),
            "data_name": corpus["name"],
            "data_licence": corpus.get("licence"),
            "exclude": excluded_by(fold, self.speaker_files),
            "results_folder": str(self.results_folder / f"fold_{fold.number}"),
            **{key: self.settings[key] for key in _PASSED_ON},
            **_read_settings(self.pretraining, "pretraining"),
        }
        return Settings.from_file(method_file, overrides)


def excluded_by(fold: Fold, pattern: str) -> list[str]:
    """Return, sorted, a pattern for the files of each of a fold's test speakers.

    Arguments
    ---------
    pattern : str
        Pattern of the files of ``{speaker}``, such as ``Actor_{speaker}/*``.
    """
    speakers = sorted({utterance.speaker for utterance in fold.test})
    return [pattern.replace("{speaker}", speaker) for speaker in speakers]


def encoder_settings(
    experiment: Settings, family: str, encoder: Path
) -> dict[str, str]:
    """Return the settings that make an experiment use an encoder.

    These are ``family`` and ``upstream_source``, as in ``superb.yaml``, or the one of
    ``SOURCES`` that the experiment has.

    Raises
    ------
    ValueError
        If the experiment takes no encoder or more than one, or only one in Hugging
        Face's format and this one is not.
    """
    source = str(encoder.resolve())
    if "family" in experiment and "upstream_source" in experiment:
        return {"family": family, "upstream_source": source}
    found = [key for key in SOURCES if key in experiment]
    if len(found) != 1:
        raise ValueError(
            f"{experiment.path} does not take exactly one speech encoder. Expected the "
            f"settings family and upstream_source (as in superb.yaml), or one of "
            f"{', '.join(SOURCES)} (as in hubert_finetune.yaml), but it has "
            f"{' and '.join(found) or 'none of them'}."
        )
    if FAMILIES[family].upstream is not HuggingFaceUpstream:
        raise ValueError(
            f"{experiment.path} needs an encoder in Hugging Face's format, but "
            f"{family} has another format. Use superb.yaml or another method."
        )
    return {found[0]: source}


def probe_row(
    pretrained: Path, outputs: Mapping[str, Path], fold: int, experiment: Settings
) -> dict:
    """Return the row of ``probe.csv`` of a pre-training and its two experiments.

    Scores are in percent. The column ``settings`` is not included.

    Arguments
    ---------
    outputs : Mapping[str, Path]
        Output folders of the experiment ``before`` and ``after`` it.
    """
    info = json.loads((pretrained / "pretraining.json").read_text(encoding="utf-8"))
    labels = list(experiment["labels"])
    row = {"experiment": experiment["experiment"]}
    row |= {"method": info["method"], "seed": info["seed"], "fold": fold}
    row["epochs"] = info["epochs"]
    for name in ("train_loss", "valid_loss"):
        row[f"{name}_first"], row[f"{name}_last"] = info[name]
    for name, folder in outputs.items():
        path = folder / f"fold_{fold}" / "predictions.csv"
        scores = compute_scores(read_predictions(path, labels), labels)
        row[f"UA_{name}"], row[f"WA_{name}"] = 100 * scores.UA, 100 * scores.WA
    return row


def _read_settings(text: str, option: str) -> dict[str, Any]:
    with naming_settings(f"--{option}", text):
        settings = YAML(typ="safe").load(text) if text.strip() else {}
    if not isinstance(settings, dict):
        raise ValueError(
            f"--{option} is {text!r}; expected settings such as "
            f"{{number_of_epochs: 10}}."
        )
    return settings
