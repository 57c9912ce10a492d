"""The stages of an experiment, as far as a SpeechBrain recipe can have them.

Each stage becomes one hparams file. What the recipe cannot say is refused: an encoder
that SpeechBrain's ``Wav2Vec2`` cannot load, text, several encoders, and settings that
change how a stage is trained.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ser_lib.settings import Settings
from ser_lib.training import finetuning_settings

_ENCODER = "!new:ser_lib.upstreams.HuggingFaceUpstream"
_MEAN = "!name:ser_lib.aggregators.MeanPooling"
_ECAPA = "!name:ser_lib.aggregators.EcapaTdnn"
_ONE_BRANCH = [{"upstreams": ["upstream"], "aggregator": {"!ref": "<aggregator>"}}]

# Size of the frames of an encoder, which a SpeechBrain recipe states.
ENCODER_DIMS = {
    "facebook/hubert-base-ls960": 768,
    "facebook/hubert-large-ll60k": 1024,
    "facebook/wav2vec2-base": 768,
    "facebook/wav2vec2-large-robust": 1024,
}

# Settings that the recipe leaves out, with the only value that they may have.
_WITHOUT = {
    "tasks": {},
    "utterances": "labelled",
    "trim_silence_db": None,
    "balance_by": [],
    "crop_s": None,
    "wav_augment": None,
    "frame_augment": None,
    "degraded_copies": 0,
    "standardise_by": None,
    "modality_dropout": 0.0,
    "frozen_layers": 0,
    "lr_layer_decay": 1.0,
    "lora": None,
    "final_lr_fraction": 0.0,
    "label_smoothing": 0.0,
    "class_weights": None,
    "focal_gamma": 0.0,
    "average_after": 0.0,
}


@dataclass(frozen=True)
class Stage:
    """One training of the recipe.

    Arguments
    ---------
    settings : Settings
        The settings of the experiment that trains it.
    aggregator : dict | None
        Sizes of the ECAPA-TDNN (``embedding_size``, ``channels``,
        ``attention_channels``); None for the mean over time.
    finetuned : str
        Name of the stage that fine-tunes the encoder; empty if this one does.
    finetuned_checkpoints : int
        How many checkpoints of that stage are averaged.
    """

    settings: Settings
    aggregator: dict[str, Any] | None
    finetuned: str
    finetuned_checkpoints: int

    @property
    def name(self) -> str:
        """Name of the experiment, and of the hparams file."""
        return self.settings["experiment"]

    @property
    def source(self) -> str:
        """Hub id of the encoder."""
        return self.settings["upstream_source"]


def stages(settings: Settings) -> list[Stage]:
    """Return the stages of an experiment, the fine-tuning first.

    Raises
    ------
    ValueError
        If the experiment, or what it fine-tunes, cannot be a SpeechBrain recipe.

    Example
    -------
    >>> from pathlib import Path
    >>> import ser_lib
    >>> recipe = Path(ser_lib.__file__).parents[1] / "recipes" / "IEMOCAP"
    >>> path = recipe / "hparams" / "hubert_ecapa.yaml"
    >>> settings = Settings.from_file(path, {"data_folder": "DATA"})
    >>> [stage.name for stage in stages(settings)]
    ['hubert_finetune', 'hubert_ecapa']
    """
    block = settings["finetuned"]
    if not block:
        return [_stage(settings, "", 0)]
    # Fusions, which fine-tune several encoders, are refused before their first one.
    _check_encoder(settings)
    first = finetuning_settings(settings, "upstream")
    n_averaged = block["upstream"]["averaged_checkpoints"]
    return [_stage(first, "", 0), _stage(settings, first["experiment"], n_averaged)]


def _stage(settings: Settings, finetuned: str, n_averaged: int) -> Stage:
    _check_encoder(settings)
    _check_training(settings)
    aggregator = _aggregator(settings)
    if not finetuned and aggregator is not None:
        raise _refusal(settings, "trains ECAPA-TDNN in the stage of the encoder")
    if not finetuned and settings.unresolved()["upstream"][_ENCODER].get("freeze"):
        raise _refusal(settings, "has a frozen encoder that nothing fine-tunes")
    return Stage(settings, aggregator, finetuned, n_averaged)


def _check_encoder(settings: Settings) -> None:
    tree = settings.unresolved()
    if "upstream" not in tree:
        raise _refusal(settings, "reads several encoders")
    tag, arguments = _tagged(tree["upstream"])
    if tag != _ENCODER:
        reason = f"reads {tag.rpartition('.')[2]}, not a wav2vec 2.0 or HuBERT encoder"
        raise _refusal(settings, reason)
    if arguments.get("layer", "last") != "last":
        raise _refusal(settings, f"reads the layers {arguments['layer']!r}")
    source = settings["upstream_source"]
    if source not in ENCODER_DIMS:
        known = ", ".join(ENCODER_DIMS)
        raise _refusal(settings, f"reads {source}; expected one of {known}")
    _, model = _tagged(tree["model"])
    if model["branches"] != _ONE_BRANCH or set(model["upstreams"]) != {"upstream"}:
        raise _refusal(settings, "has a model of several branches")


def _check_training(settings: Settings) -> None:
    changed = [k for k, v in _WITHOUT.items() if k in settings and settings[k] != v]
    if changed:
        key = changed[0]
        reason = f"has {key}: {settings[key]}, which the recipe does not have"
        raise _refusal(settings, f"{reason} (expected {_WITHOUT[key]})")


def _aggregator(settings: Settings) -> dict[str, Any] | None:
    tag, _ = _tagged(settings.unresolved()["aggregator"])
    if tag == _MEAN:
        return None
    if tag != _ECAPA:
        name = tag.rpartition(".")[2]
        raise _refusal(settings, f"aggregates by {name}, not the mean or ECAPA-TDNN")
    if settings["input_norm"] != "none" or settings["stem_channels"]:
        reason = "normalises or convolves the frames before ECAPA-TDNN"
        raise _refusal(settings, reason)
    return {
        "embedding_size": settings["embedding_size"],
        "channels": settings["ecapa_channels"],
        "attention_channels": settings["ecapa_attention_channels"],
    }


def _tagged(node: Mapping[str, Any]) -> tuple[str, Any]:
    """Return the tag and the arguments of a node of ``Settings.unresolved()``."""
    ((tag, arguments),) = node.items()
    return tag, arguments or {}


def _refusal(settings: Settings, reason: str) -> ValueError:
    return ValueError(
        f"{settings['experiment']} cannot be a SpeechBrain recipe: it {reason}."
    )
