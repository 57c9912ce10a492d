"""The files of the SpeechBrain recipe of some experiments."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from ser_lib.contribute.corpus import CorpusFacts, corpus_facts, corpus_name
from ser_lib.contribute.stage import ENCODER_DIMS, Stage, stages
from ser_lib.settings import Settings

TASK = "emotion_recognition_ssl"
_COLUMNS = (
    "Task,Dataset,Script_file,Hparam_file,Data_prep_file,Readme_file,Result_url,"
    "HF_repo,test_debug_flags,test_debug_checks,performance"
).split(",")
# On SpeechBrain's samples, which are in its repository.
_SAMPLES = "tests/samples/annotation/ASR"
_DEBUG_ENCODER = "facebook/wav2vec2-base"
_WRITTEN = (
    "train.py,train_log.txt,log.txt,env.log,hyperparams.yaml,predictions.csv,"
    "scores.json,save/label_encoder.txt"
)


def recipe_files(experiments: Sequence[Settings]) -> dict[str, str]:
    """Return the files of a recipe, by their path in SpeechBrain's tree.

    Arguments
    ---------
    experiments : Sequence[Settings]
        Experiments on one corpus. Those that fine-tune the same encoder share the
        hparams file of that stage.

    Returns
    -------
    dict[str, str]
        Path -> text. The lines to append to a file of SpeechBrain are under the name
        ``append_to/<path>``.

    Raises
    ------
    ValueError
        If an experiment cannot be a SpeechBrain recipe, the experiments are on several
        corpora, or they fine-tune under one name with different settings.
    """
    corpora = {corpus_name(settings) for settings in experiments}
    if len(corpora) > 1:
        raise ValueError(
            f"The experiments are on {' and '.join(sorted(corpora))}; a recipe has one "
            f"corpus. Write two."
        )
    (name,) = corpora
    facts = [corpus_facts(settings) for settings in experiments][0]
    found = _distinct([stage for s in experiments for stage in stages(s)])
    folder = f"recipes/{name}/{TASK}"
    shared = _shared_variables(name, facts, found)
    environment = _environment()

    def render(template: str, **variables: Any) -> str:
        return environment.get_template(template).render(**shared, **variables)

    prepare = f"{facts.prepare_module}.py"
    files = {
        f"{folder}/train.py": render("train.py.jinja"),
        f"{folder}/{prepare}": render(f"{prepare}.jinja", **facts.preparation),
        f"{folder}/README.md": render("README.md.jinja"),
        f"{folder}/extra_requirements.txt": "transformers\n",
    }
    for stage in found:
        text = render("hparams.yaml.jinja", **_stage_variables(stage))
        files[f"{folder}/hparams/{stage.name}.yaml"] = text
    listing = f"tests/recipes/{name}.csv"
    path = f"append_to/{listing}" if facts.listed else listing
    files[path] = _csv_lines(name, folder, prepare, found, header=not facts.listed)
    return files


def _distinct(found: Sequence[Stage]) -> list[Stage]:
    """Return each stage once, the fine-tunings first."""
    by_name: dict[str, Stage] = {}
    for stage in found:
        known = by_name.setdefault(stage.name, stage)
        if _stage_variables(known) != _stage_variables(stage):
            raise ValueError(
                f"Two experiments name a stage {stage.name}, with different settings. "
                f"Write two recipes, or give them one."
            )
    return sorted(by_name.values(), key=lambda stage: bool(stage.finetuned))


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ser_lib.contribute"),
        autoescape=False,  # noqa: S701 - Python, YAML and Markdown, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters["as_python"] = _as_python
    environment.filters["as_decimal"] = _as_decimal
    return environment


def _as_python(value: Mapping[str, str] | Sequence[str]) -> str:
    """Return a dict or list of text as ruff formats it."""
    if isinstance(value, Mapping):
        rows = "".join(f'    "{key}": "{value[key]}",\n' for key in value)
        return f"{{\n{rows}}}"
    return json.dumps(list(value))


def _as_decimal(value: float | bool) -> str:
    """Return a number without an exponent, which YAML reads as text: ``1e-05``."""
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:.12f}".rstrip("0").removesuffix(".")


def _shared_variables(
    name: str, facts: CorpusFacts, found: Sequence[Stage]
) -> dict[str, Any]:
    """Return the variables that several templates read."""
    first = found[0].settings
    corpus = first["corpus"]
    how_to_get = corpus.get("how_to_get", f"Download it from {corpus['source']}.")
    return {
        "corpus": name,
        "facts": facts,
        "names": [stage.name for stage in found],
        "labels": first["labels"],
        "sample_rate": first["sample_rate_hz"],
        "two_stages": any(stage.finetuned for stage in found),
        "how_to_get": how_to_get,
        "rows": [row for stage in found for row in _score_rows(stage)],
    }


def _stage_variables(stage: Stage) -> dict[str, Any]:
    """Return what only the hparams file of a stage says."""
    settings = stage.settings
    ((tag, arguments),) = settings.unresolved()["optimizer"].items()
    numbers = ("seed", "number_of_epochs", "patience", "batch_size", "max_batch_s")
    numbers += ("num_workers", "lr_upstream", "lr_downstream", "warmup_fraction")
    numbers += ("averaged_checkpoints", "kept_checkpoints")
    return {
        "name": stage.name,
        "source": stage.source,
        "encoder_dim": ENCODER_DIMS[stage.source],
        "ecapa": stage.aggregator,
        "finetuned": stage.finetuned,
        "finetuned_checkpoints": stage.finetuned_checkpoints,
        "freeze_conv": not stage.finetuned and settings["freeze_feature_extractor"],
        "optimizer": tag.removeprefix("!name:"),
        "optimizer_arguments": arguments or {},
        "s": {key: settings[key] for key in numbers},
    }


def _score_rows(stage: Stage) -> list[dict[str, str]]:
    """Return the rows of the results table: ours if measured, then the paper's."""
    common = {"file": f"{stage.name}.yaml", "encoder": stage.source}
    rows = []
    measured = _measured(stage.settings)
    if measured is not None:
        scores = {"wa": f"{measured.WA:.2f}", "ua": f"{measured.UA:.2f}"}
        source = f"ours, {measured.n} predictions of all folds"
        rows.append({**common, **scores, "source": source})
    else:
        source = "this recipe: not measured yet"
        rows.append({**common, "wa": "-", "ua": "-", "source": source})
    paper = stage.settings["paper"]
    if paper:
        scores = {"wa": f"{paper['WA']:.2f}", "ua": f"{paper['UA']:.2f}"}
        rows.append({**common, **scores, "source": f"paper: {paper['source']}"})
    return rows


def _measured(settings: Settings) -> Any:
    """Return the pooled row of an experiment in the results file of its corpus."""
    path = settings.path.resolve().parents[1] / "results.csv"
    if not path.is_file():
        return None
    rows = pd.read_csv(path, dtype={"fold": str})
    is_own = rows["experiment"] == settings["experiment"]
    own = rows[is_own & (rows["fold"] == "pooled") & (rows["seed"] == settings["seed"])]
    return next(own.itertuples(), None)


def _csv_lines(
    name: str, folder: str, prepare: str, found: Sequence[Stage], header: bool
) -> str:
    """Return the lines of ``tests/recipes/<corpus>.csv`` for the stages."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, restval="", lineterminator="\n")
    if header:
        writer.writeheader()
    for stage in found:
        writer.writerow(
            {
                "Task": "Emotion_recognition",
                "Dataset": name,
                "Script_file": f"{folder}/train.py",
                "Hparam_file": f"{folder}/hparams/{stage.name}.yaml",
                "Data_prep_file": f"{folder}/{prepare}",
                "Readme_file": f"{folder}/README.md",
                "test_debug_flags": _debug_flags(stage),
                "test_debug_checks": f"file_exists=[{_WRITTEN}]",
            }
        )
    return text.getvalue()


def _debug_flags(stage: Stage) -> str:
    """Return the options that train a stage on SpeechBrain's samples."""
    flags = {
        "data_folder": "tests/samples/ASR/",
        "train_annotation": f"{_SAMPLES}_train.json",
        "valid_annotation": f"{_SAMPLES}_dev.json",
        "test_annotation": f"{_SAMPLES}_dev.json",
        "number_of_epochs": 2,
        "skip_prep": True,
        "wav2vec2_hub": _DEBUG_ENCODER,
        "encoder_dim": ENCODER_DIMS[_DEBUG_ENCODER],
        "out_n_neurons": 4,  # the labels of the samples
        "wav2vec2_folder": "tests/tmp/wav2vec2_checkpoint",
    }
    if stage.finetuned:
        flags["finetuned_folder"] = "null"
    return " ".join(f"--{key}={value}" for key, value in flags.items())
