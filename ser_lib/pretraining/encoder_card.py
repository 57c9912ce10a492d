"""The model card of a pre-trained encoder: its training, its data and its limits.

It is filled from the settings and ``pretraining.json`` of the run. Its front matter is
that of the Hugging Face hub, https://huggingface.co/docs/hub/model-cards.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from ser_lib.model_folder import hub_licence
from ser_lib.settings import Settings, options_of
from ser_lib.upstreams.families import FAMILIES
from ser_lib.upstreams.huggingface import HuggingFaceUpstream
from ser_lib.utils.files import atomic_path

NOT_STATED = "not stated"
_MUCH_AUDIO_HOURS = 100
# They do not affect the result, and folders differ between machines.
_NOT_IN_THE_COMMAND = {
    "data_folder",
    "results_folder",
    "output_folder",
    "show_hparams",
    "num_workers",
    "keep_audio_in_memory",
    "tensorboard",
}


def write_encoder_card(settings: Settings, run_folder: str | Path) -> None:
    """Write the card of a finished pre-training into the folder of its encoder.

    Arguments
    ---------
    run_folder : str | Path
        Its output folder, with ``pretraining.json`` and ``encoder``.
    """
    folder = Path(run_folder)
    info = json.loads((folder / "pretraining.json").read_text(encoding="utf-8"))
    with atomic_path(folder / "encoder" / "README.md") as unfinished:
        unfinished.write_text(encoder_card(settings, info), encoding="utf-8")


def encoder_card(settings: Settings, info: Mapping[str, Any]) -> str:
    """Return the card as Markdown; ``info`` is the content of ``pretraining.json``."""
    data = settings["data_name"] or "unnamed audio"
    hours = info["train_hours"] + info["valid_hours"]
    sections = [
        f"---\n{_front_matter(settings)}\n---",
        f"# {info['method']}, pre-trained on {data}",
        f"A speech encoder pre-trained on {hours:.2f} hours of unlabelled audio, with "
        f"the method `{info['method']}` of recipes/Pretraining. It turns waveforms at "
        f"{settings['sample_rate_hz']} Hz into frames.",
        "## Use",
        _use(settings),
        "## Training",
        _training(settings, info),
        "## Training data and licence",
        _data(settings),
        "## Limits",
        _limits(info, hours),
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(settings: Settings) -> str:
    return ModelCardData(
        **hub_licence(settings["data_licence"]),
        library_name="transformers" if _is_hugging_face(settings) else "speechbrain",
        pipeline_tag="feature-extraction",
        tags=["speech", "self-supervised", settings["family"]],
    ).to_yaml()


def _is_hugging_face(settings: Settings) -> bool:
    return FAMILIES[settings["family"]].upstream is HuggingFaceUpstream


def _use(settings: Settings) -> str:
    train = "python train.py hparams/{} --data_folder DATA {}"
    options = f"--family {settings['family']} --upstream_source FOLDER"
    commands = ["cd recipes/RAVDESS", train.format("superb.yaml", options)]
    if _is_hugging_face(settings):
        options = "--hubert_source FOLDER"
        commands.append(train.format("hubert_finetune.yaml", options))
    text = "As the upstream of an experiment in these recipes:\n\n" + _bash(*commands)
    if not _is_hugging_face(settings):
        return text
    return (
        f"{text}\n\nOr with transformers, where padding changes the frames of the "
        "shorter utterances in a batch:\n\n"
        "```python\n"
        "from transformers import AutoModel\n\n"
        'encoder = AutoModel.from_pretrained("FOLDER")\n'
        "```"
    )


def _training(settings: Settings, info: Mapping[str, Any]) -> str:
    excluded = ", ".join(f"`{pattern}`" for pattern in info["excluded"])
    lines = [
        f"Audio: {info['train_hours']:.2f} hours for training, "
        f"{info['valid_hours']:.2f} for validation",
        f"Excluded files (patterns): {excluded or 'none'}",
        f"Epochs: {info['epochs']}; seed {info['seed']}",
        *(_first_and_last(name, info) for name in ("train", "valid")),
        f"Device: {info['device']}, {info['processes']} process(es), precision "
        f"{info['precision']}",
    ]
    items = "\n".join(f"- {line}" for line in lines)
    commands = _bash("cd recipes/Pretraining", _command(settings))
    return f"{items}\n\nCommand:\n\n{commands}"


def _bash(*commands: str) -> str:
    return "\n".join(["```bash", *commands, "```"])


def _first_and_last(part: str, info: Mapping[str, Any]) -> str:
    first, last = info[f"{part}_loss"]
    name = {"train": "Training", "valid": "Validation"}[part]
    return f"{name} loss: {first:.4f} in the first epoch, {last:.4f} in the last"


def _command(settings: Settings) -> str:
    """Return the command that gives these settings, with DATA as its data folder."""
    file = settings.path
    defaults = Settings.from_file(file).unresolved()
    changed = options_of(settings.unresolved(), defaults, _NOT_IN_THE_COMMAND)
    options = " ".join(["--data_folder DATA", *changed])
    return f"python train.py hparams/{file.name} {options}"


def _data(settings: Settings) -> str:
    name = settings["data_name"] or NOT_STATED
    licence = settings["data_licence"] or NOT_STATED
    advice = (
        "The weights are derived from this data: use them within its licence."
        if settings["data_licence"]
        else "Check what the licence of the audio allows before you share these "
        "weights."
    )
    return f"Data: {name}.\n\nLicence of the data: {licence}. {advice}"


def _limits(info: Mapping[str, Any], hours: float) -> str:
    lines = []
    if hours < _MUCH_AUDIO_HOURS:
        lines.append(
            f"- Published encoders are trained on hundreds or thousands of hours, this "
            f"one on {hours:.2f}: it is for demonstrations and tests."
        )
    overlap = (
        "The excluded files (above) were not used in pre-training. An experiment that "
        "tests on other recordings of this data tests on audio that the encoder has "
        "seen, without labels."
        if info["excluded"]
        else "No files were excluded: an experiment that tests on this data tests on "
        "audio that the encoder has seen, without labels."
    )
    lines += [
        f"- {overlap}",
        "- It was not trained on emotions: a classifier must be trained on its frames.",
        "- It has not seen languages, microphones or rooms other than those of its "
        "data.",
    ]
    return "\n".join(lines)
