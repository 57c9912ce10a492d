"""The card of an exported model: its use, scores, training data and limits.

It is filled from the files of the run. Its metadata block is that of the Hugging Face
hub, https://huggingface.co/docs/hub/model-cards.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from huggingface_hub import EvalResult, ModelCardData

from ser_lib.corpora import Utterance, read_manifest
from ser_lib.evaluation import (
    FoldResult,
    calibrated_answers,
    collect,
    fold_table,
    reliability,
    result_rows,
)
from ser_lib.inference import is_calibrated
from ser_lib.model_folder import hub_licence
from ser_lib.utils.text_tables import markdown_table, with_interval


def model_card(run_folder: str | Path, info: Mapping, has_onnx: bool = False) -> str:
    """Return the card of a model folder as Markdown.

    Arguments
    ---------
    run_folder : str | Path
        The output folder of the run.
    info : Mapping
        The content of the folder's ``model.json``.
    has_onnx : bool
        Whether the folder contains ``model.onnx``.
    """
    results = collect(run_folder, info["labels"], info["settings_key"])
    folds = [member["fold"] for member in info["members"].values()]
    own = result_rows([result for result in results if result.fold in folds])
    corpus = info["trained_on"]["name"]
    sections = [
        f"---\n{_front_matter(info, own, len(folds) > 1)}\n---",
        f"# {info['experiment']} on {corpus}",
        _summary(info, corpus),
        *_note(info["note"]),
        "## Use",
        _use(has_onnx),
        *_adaptation(info["network"].get("standardise_by")),
        "## Scores",
        *_scores(results, own, folds),
        "## Protocol",
        _protocol(Path(run_folder), info, results),
        "## Training data and licence",
        _training_data(info["trained_on"], info["encoders"].values()),
        "## Limits",
        _limits(info, corpus, [r for r in results if r.fold in folds]),
        "## Made with",
        ", ".join(f"{name} {v}" for name, v in info["versions"].items())
        + f"; settings `{info['settings_key']}`. Labels, checksums and details of "
        "the training are in `model.json`.",
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(info: Mapping, own: pd.DataFrame, is_ensemble: bool) -> str:
    corpus = info["trained_on"]
    name = f"{info['experiment']} on {corpus['name']}"
    return ModelCardData(
        **hub_licence(corpus["licence"]),
        library_name="speechbrain",
        pipeline_tag="audio-classification",
        tags=["speech-emotion-recognition", "speechbrain", corpus["name"]],
        base_model=_hub_ids(info["encoders"].values()),
        model_name=name,
        eval_results=None if is_ensemble else _eval_results(corpus["name"], own),
    ).to_yaml()


def _hub_ids(encoders: Iterable[str]) -> list[str] | None:
    """Return owner/name of encoders on the hub; local ones have no slash."""
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


def _summary(info: Mapping, corpus: str) -> str:
    labels = ", ".join(info["labels"])
    n_members = len(info["members"])
    average = f" It averages the probabilities of {n_members} models."
    return (
        f"The model recognises the emotion of an utterance from its sound. It has "
        f"{len(info['labels'])} labels, in this order: {labels}. It was trained on "
        f"{corpus}.{average if n_members > 1 else ''}"
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


def _scores(
    results: Sequence[FoldResult], own: pd.DataFrame, folds: list[int]
) -> list[str]:
    pooled = own[own["fold"] == "pooled"].iloc[0]
    wa, ua = with_interval(pooled, "WA"), with_interval(pooled, "UA")
    if len(folds) == 1:
        text = f"On the test part of fold {folds[0]}: "
    else:
        text = (
            "**The ensemble itself is not tested**, because every utterance of the "
            "corpus was in the training data of some members. The pooled scores of the "
            "members, each on the test part of its own fold: "
        )
    text += (
        f"WA {wa}, UA {ua} (percent, with 95 % intervals from drawing test speakers "
        f"with replacement; they do not reflect the seed of the training). WA is the "
        f"share of correct utterances, UA the mean recall of the classes. All finished "
        f"folds of the run:"
    )
    return [text, markdown_table(fold_table(result_rows(results)))]


def _protocol(run_folder: Path, info: Mapping, results: Sequence[FoldResult]) -> str:
    tested = ", ".join(str(result.fold) for result in results)
    lines = [
        f"Experiment {info['experiment']}, seed {info['seed']}; finished folds: "
        f"{tested}. In each fold, the weights of the best epochs by validation "
        f"accuracy were averaged; the result was tested once. To train it, run in the "
        f"recipe of the corpus: `python train.py hparams/{info['experiment']}.yaml "
        f"--data_folder DATA`."
    ]
    for member in info["members"].values():
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
            f"({speakers}); {_overlap(**parts)}; averaged epochs: {epochs}."
        )
    return "\n".join([lines[0], "", *lines[1:]])


def _overlap(
    train: Sequence[Utterance], valid: Sequence[Utterance], test: Sequence[Utterance]
) -> str:
    seen = {u.speaker for u in (*train, *valid)}
    shared = sorted({u.speaker for u in test} & seen)
    if not shared:
        return "no test speaker appears in training or validation"
    return f"{len(shared)} test speakers also appear in training or validation"


def _size(part: Sequence[Utterance]) -> str:
    speakers = len({u.speaker for u in part})
    return f"{len(part)} utterances of {speakers} speakers"


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


def _calibration(info: Mapping, results: Sequence[FoldResult]) -> str:
    """Say what its probabilities are worth, as a list item."""
    if not is_calibrated(info):
        return (
            "- Its probabilities are not calibrated: 0.9 does not mean that it is "
            "right nine times out of ten."
        )
    answers = calibrated_answers(results)
    before, after = (
        100 * reliability(answers[name], answers["is_correct"]).error
        for name in ("before", "after")
    )
    ensemble = "; the average of members is less sure" * (len(results) > 1)
    return (
        f"- Its probabilities are calibrated on validation recordings (temperature "
        f"scaling). On test recordings of {info['trained_on']['name']}, the expected "
        f"calibration error is {after:.1f} percent, without it {before:.1f}"
        f"{ensemble}. On other speech, and after adaptation, it may be larger."
    )


def _limits(info: Mapping, corpus: str, results: Sequence[FoldResult]) -> str:
    least_ms = 1000 * info["min_duration_s"]
    return "\n".join(
        [
            f"- It was tested only on {corpus}. Expect lower scores with other "
            f"languages, microphones, rooms and speaking styles; test it on your own "
            f"recordings.",
            f"- It always chooses one of its {len(info['labels'])} labels, even for "
            f"noise, music or any other emotion. Silence and audio shorter than "
            f"{least_ms:.0f} ms are refused.",
            _calibration(info, results),
            "- It labels how an utterance sounds, not what the speaker feels. Do not "
            "use it for decisions about people.",
        ]
    )
