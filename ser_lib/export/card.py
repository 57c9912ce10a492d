"""The card of an exported model: its use, scores, training data and limits.

It is filled from the files of the run. Its metadata block is that of the Hugging Face
hub, https://huggingface.co/docs/hub/model-cards.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from ser_lib.evaluation import FoldResult, result_rows
from ser_lib.export.card_scores import (
    Evidence,
    calibration_text,
    protocol_section,
    scores_section,
)
from ser_lib.model_folder import further_tasks, hub_licence
from ser_lib.settings import VALUE


def model_card(
    run_folder: str | Path,
    info: Mapping,
    evidence: Evidence,
    reports: Iterable[str] = (),
    has_onnx: bool = False,
) -> str:
    """Return the card of a model folder as Markdown.

    Arguments
    ---------
    run_folder : str | Path
        The output folder of the run.
    info : Mapping
        The content of the folder's ``model.json``.
    evidence : Evidence
        What its scores come from.
    reports : Iterable[str]
        Markdown to include, such as the text of a ``stress.md``.
    has_onnx : bool
        Whether the folder contains ``model.onnx``.
    """
    folds = [member["fold"] for member in info["members"].values()]
    is_tested = len(folds) == 1 and not evidence.is_of_other_run
    tested = evidence.of(folds)
    corpus = info["trained_on"]["name"]
    sections = [
        f"---\n{_front_matter(info, tested if is_tested else [])}\n---",
        f"# {info['experiment']} on {corpus}",
        _summary(info, corpus),
        *_note(info["note"]),
        "## Use",
        _use(has_onnx),
        *_adaptation(info["network"].get("standardise_by")),
        "## Scores",
        *scores_section(evidence, folds),
        *map(_report, reports),
        "## Protocol",
        protocol_section(Path(run_folder), info, evidence),
        "## Training data and licence",
        _training_data(info["trained_on"], info["encoders"].values()),
        "## Limits",
        _limits(info, corpus, evidence, tested),
        "## Made with",
        ", ".join(f"{name} {v}" for name, v in info["versions"].items())
        + f"; settings `{info['settings_key']}`. Labels, checksums and details of "
        "the training are in `model.json`." + _precision(info),
    ]
    return "\n\n".join(sections) + "\n"


def _report(text: str) -> str:
    """Return a report as a part of the card: smaller headings, no pictures."""
    lines = [
        f"##{line}" if line.startswith("#") else line
        for line in text.strip().splitlines()
        if not line.startswith("![")
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def _precision(info: Mapping) -> str:
    if "encoder_weights" not in info:
        return ""
    return (
        f" The weights of encoders are stored in {info['encoder_weights']}, half the "
        f"size, and computed with in float32."
    )


def _front_matter(info: Mapping, tested: Sequence[FoldResult]) -> str:
    corpus = info["trained_on"]
    name = f"{info['experiment']} on {corpus['name']}"
    return ModelCardData(
        **hub_licence(corpus["licence"]),
        library_name="speechbrain",
        pipeline_tag="audio-classification",
        tags=["speech-emotion-recognition", "speechbrain", corpus["name"]],
        base_model=_hub_ids(info["encoders"].values()),
        model_name=name,
        eval_results=_eval_results(corpus["name"], tested) if tested else None,
    ).to_yaml()


def _hub_ids(encoders: Iterable[str]) -> list[str] | None:
    """Return owner/name of encoders on the hub; local ones have no slash."""
    names = {"/".join(name.split("/")[:2]) for name in encoders if "/" in name}
    return sorted(names) or None


def _eval_results(corpus: str, tested: Sequence[FoldResult]) -> list[EvalResult]:
    own = result_rows(tested)
    pooled = own[own["fold"] == "pooled"].iloc[0]
    metrics = {
        "WA": ("accuracy", "weighted accuracy, percent"),
        "UA": ("recall", "unweighted accuracy (mean recall of the classes), percent"),
        "macro_F1": ("f1", "macro F1, percent"),
    }
    return [
        EvalResult(
            task_type="audio-classification",
            task_name="speech emotion recognition",
            dataset_type=corpus.lower(),
            dataset_name=f"{corpus}, test part of fold {own['fold'].iloc[0]}",
            metric_type=kind,
            metric_name=name,
            metric_value=float(pooled[column]),
        )
        for column, (kind, name) in metrics.items()
    ]


def _summary(info: Mapping, corpus: str) -> str:
    labels = ", ".join(info["labels"])
    n_members = len(info["members"])
    average = f" It averages the probabilities of {n_members} models."
    return (
        f"The model recognises the emotion of an utterance from its sound. It has "
        f"{len(info['labels'])} labels, in this order: {labels}. It was trained on "
        f"{corpus}.{average if n_members > 1 else ''}{_further_tasks(info)}"
    )


def _further_tasks(info: Mapping) -> str:
    """Say what the model answers besides the emotion."""
    about = [
        f"{task.name} ({task.range[0]:g} to {task.range[1]:g})"
        if task.kind == VALUE
        else f"{task.name} ({', '.join(task.labels)})"
        for task in further_tasks(info["network"])
    ]
    if not about:
        return ""
    return f" `recognizer.analyse_file` also gives {', '.join(about)}."


def _note(note: str) -> list[str]:
    return (
        ["\n".join(f"> {line}" for line in note.strip().splitlines())] if note else []
    )


def _use(has_onnx: bool) -> str:
    text = (
        "```python\n"
        "from ser_lib.inference.recognizer import EmotionRecognizer\n\n"
        'recognizer = EmotionRecognizer.from_hparams(source="FOLDER")\n'
        'out_prob, score, index, label = recognizer.classify_file("speech.wav")\n'
        "```\n\n"
        "Or through SpeechBrain, which runs the folder's `custom_interface.py`:\n\n"
        "```python\n"
        "from speechbrain.inference.interfaces import foreign_class\n\n"
        "recognizer = foreign_class(\n"
        '    source="FOLDER",\n'
        '    pymodule_file="custom_interface.py",\n'
        '    classname="EmotionRecognizer",\n'
        ")\n"
        "```\n\n"
        "Both need the package `ser_lib` of these recipes."
    )
    if has_onnx:
        text += (
            " `model.onnx` needs only onnxruntime. Its input is `wavs` (batch, "
            "samples): one channel, utterances of equal length, prepared as described "
            "in the metadata of the file. Its output is `probabilities` (batch, "
            "labels)."
        )
    return text


def _adaptation(standardise_by: str | None) -> list[str]:
    """Say how a model that standardises frames is adapted."""
    if standardise_by is None:
        return []
    text = (
        "It can be adapted without labels: `recognizer.adapt(recordings)`, or `python "
        "-m ser_lib.predict FOLDER TABLE.csv --adapt_by speaker`. Its frames are then "
        "standardised by these recordings instead of its training part."
    )
    if standardise_by != "mixed":
        text += (
            f" **Adapt it before use**: it was trained, and tested, on frames "
            f"standardised by the recordings of each {standardise_by}."
        )
    return [text]


def _training_data(corpus: Mapping, encoders: Iterable[str]) -> str:
    text = (
        f"{corpus['name']}, {corpus['source']}. {corpus['citation'].strip()}\n\n"
        f"Licence of the data: {corpus['licence']}. The weights are derived from the "
        f"data, so its licence applies to them."
    )
    names = ", ".join(sorted(set(encoders)))
    if names:
        text += (
            f"\n\nPre-trained encoder: {names}. Consider its licence and training data "
            f"as well."
        )
    return text


def _limits(
    info: Mapping, corpus: str, evidence: Evidence, results: Sequence[FoldResult]
) -> str:
    least_ms = 1000 * info["min_duration_s"]
    return "\n".join(
        [
            f"- It was tested only on {corpus}. Expect lower scores with other "
            f"languages, microphones, rooms and speaking styles; test it on your own "
            f"recordings.",
            f"- It always chooses one of its {len(info['labels'])} labels, even for "
            f"noise, music or any other emotion. Silence and audio shorter than "
            f"{least_ms:.0f} ms are refused.",
            calibration_text(info, evidence, results),
            "- It labels how an utterance sounds, not what the speaker feels. Do not "
            "use it for decisions about people.",
        ]
    )
