"""The card of an exported model: what it is, how good, on what data, and its limits.

Filled from the files of the run. The block at its head is that of the Hugging Face
hub, https://huggingface.co/docs/hub/model-cards.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from huggingface_hub import EvalResult, ModelCardData

from ser_lib.corpora import Utterance, read_manifest
from ser_lib.evaluation import FoldResult, collect, fold_table, result_rows
from ser_lib.model_folder import hub_licence
from ser_lib.utils.text_tables import markdown_table, with_interval


def model_card(run_folder: str | Path, about: Mapping, has_onnx: bool = False) -> str:
    """Write the card of a model folder.

    Arguments
    ---------
    run_folder : str | Path
        The output folder of the run.
    about : Mapping
        The content of the folder's ``model.json``.
    has_onnx : bool
        Whether the folder holds ``model.onnx``.

    Returns
    -------
    str
        Markdown with a block for the Hugging Face hub at its head.

    Raises
    ------
    ValueError
        If the files of a fold are unsound.
    """
    results = collect(run_folder, about["labels"], about["settings_key"])
    folds = [member["fold"] for member in about["members"].values()]
    own = result_rows([result for result in results if result.fold in folds])
    corpus = about["trained_on"]["name"]
    sections = [
        f"---\n{_front_matter(about, own, len(folds) > 1)}\n---",
        f"# {about['experiment']} on {corpus}",
        _what_it_is(about, corpus),
        *_note(about["note"]),
        "## Use",
        _use(has_onnx),
        "## Scores",
        *_scores(results, own, folds),
        "## Protocol",
        _protocol(Path(run_folder), about, results),
        "## Training data and licence",
        _training_data(about["trained_on"], about["encoders"].values()),
        "## Limits",
        _limits(about, corpus),
        "## Made with",
        ", ".join(f"{name} {v}" for name, v in about["versions"].items())
        + f"; settings `{about['settings_key']}`. Labels, checksums and what "
        "is known of the training are in `model.json`.",
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(about: Mapping, own: pd.DataFrame, is_ensemble: bool) -> str:
    corpus = about["trained_on"]
    name = f"{about['experiment']} on {corpus['name']}"
    return ModelCardData(
        **hub_licence(corpus["licence"]),
        library_name="speechbrain",
        pipeline_tag="audio-classification",
        tags=["speech-emotion-recognition", "speechbrain", corpus["name"]],
        base_model=_hub_ids(about["encoders"].values()),
        model_name=name,
        eval_results=None if is_ensemble else _eval_results(corpus["name"], own),
    ).to_yaml()


def _hub_ids(encoders: Iterable[str]) -> list[str] | None:
    """A file on the hub is named owner/name/file; a local encoder has no slash."""
    names = {"/".join(name.split("/")[:2]) for name in encoders if "/" in name}
    return sorted(names) or None


def _eval_results(corpus: str, own: pd.DataFrame) -> list[EvalResult]:
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


def _what_it_is(about: Mapping, corpus: str) -> str:
    labels = ", ".join(about["labels"])
    n_members = len(about["members"])
    average = f"The average of the probabilities of {n_members} models"
    return (
        f"{'The model' if n_members == 1 else average} tells {len(about['labels'])} "
        f"emotions from the sound of an utterance: {labels} (in this order). It was "
        f"trained on {corpus}."
    )


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
        "or through SpeechBrain, which runs the folder's `custom_interface.py`:\n\n"
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
            " `model.onnx` needs onnxruntime alone: it takes `wavs` (batch, samples), "
            "one channel, utterances of one length, prepared as the metadata of the "
            "file say, and gives `probabilities` (batch, labels)."
        )
    return text


def _scores(
    results: Sequence[FoldResult], own: pd.DataFrame, folds: list[int]
) -> list[str]:
    pooled = own[own["fold"] == "pooled"].iloc[0]
    wa, ua = with_interval(pooled, "WA"), with_interval(pooled, "UA")
    if len(folds) == 1:
        text = f"The test part of fold {folds[0]}, whose speakers it never heard: "
    else:
        text = (
            "**The ensemble itself is not tested**: each utterance of the corpus was "
            "trained on by some of its members. These are the figures of the single "
            "members, each on the test part of its own fold, pooled: "
        )
    text += (
        f"WA {wa}, UA {ua} (percent, with 95 % intervals from drawing test speakers "
        f"with replacement; they do not cover the seed). WA is the share of correct "
        f"utterances, UA the mean recall of the classes. All finished folds of the run:"
    )
    return [text, markdown_table(fold_table(result_rows(results)))]


def _protocol(run_folder: Path, about: Mapping, results: Sequence[FoldResult]) -> str:
    tested = ", ".join(str(result.fold) for result in results)
    lines = [
        f"Experiment {about['experiment']}, seed {about['seed']}; finished folds: "
        f"{tested}. In each fold, the weights of the best epochs by validation "
        f"accuracy were averaged, and the test part was read once, after that. "
        f"Command, in the recipe of the corpus: `python train.py "
        f"hparams/{about['experiment']}.yaml --data_folder DATA`."
    ]
    for member in about["members"].values():
        folder = run_folder / f"fold_{member['fold']}"
        parts = {
            part: read_manifest(folder / f"{part}.csv")
            for part in ("train", "valid", "test")
        }
        epochs = ", ".join(map(str, member["averaged_epochs"]))
        speakers = ", ".join(sorted({u.speaker for u in parts["test"]}))
        lines.append(
            f"- Fold {member['fold']}: trained on {_size(parts['train'])}, validated "
            f"on {_size(parts['valid'])}, tested on {_size(parts['test'])} "
            f"({speakers}); averaged epochs: {epochs}."
        )
    return "\n".join([lines[0], "", *lines[1:]])


def _size(part: Sequence[Utterance]) -> str:
    speakers = len({u.speaker for u in part})
    return f"{len(part)} utterances of {speakers} speakers"


def _training_data(corpus: Mapping, encoders: Iterable[str]) -> str:
    text = (
        f"{corpus['name']}, {corpus['source']}. {corpus['citation'].strip()}\n\n"
        f"Licence of the data: {corpus['licence']}. The weights are made from that "
        f"data: use them within its licence."
    )
    names = ", ".join(sorted(set(encoders)))
    if names:
        text += (
            f"\n\nPre-trained encoder: {names}. Its own licence and training data "
            f"count as well."
        )
    return text


def _limits(about: Mapping, corpus: str) -> str:
    least_ms = 1000 * about["min_duration_s"]
    return "\n".join(
        [
            f"- Measured on {corpus} alone. Expect less with other languages, "
            f"microphones, rooms and ways of speaking; test it on your own recordings.",
            f"- It always chooses one of its {len(about['labels'])} labels, also for "
            f"noise, music or an emotion that it does not know. Silence and audio "
            f"below {least_ms:.0f} ms are refused.",
            "- A probability is not calibrated: 0.9 does not mean right nine times of "
            "ten.",
            "- It labels how an utterance sounds, not what somebody feels. Do not use "
            "it for decisions about people.",
        ]
    )
