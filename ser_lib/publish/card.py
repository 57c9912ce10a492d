"""The card of a pack: what it is, its scores, how to repeat it, what it is not.

Its metadata block is that of data sets on the Hugging Face hub,
https://huggingface.co/docs/hub/datasets-cards.
"""

from collections.abc import Sequence

import pandas as pd
from huggingface_hub import DatasetCardData

from ser_lib.evaluation import fold_table, result_rows, task_rows, task_table
from ser_lib.model_folder import hub_licence
from ser_lib.publish.citation import title_of
from ser_lib.publish.runs import Run, repeating_commands
from ser_lib.utils.text_tables import markdown_table, mean_and_sd, with_interval

_FILES = (
    "Each run is in `<experiment>/seed_<n>`: all settings (`hyperparams.yaml`, "
    "flattened), labels and protocol (`corpus.yaml`), the utterances of each part of "
    "each fold (`fold_<k>/train.csv`, `valid.csv`, `test.csv`), a probability for each "
    "class of each tested utterance (`fold_<k>/predictions.csv`), learning curves "
    "(`history.csv`, `train_log.txt`), the report (`report/report.md`) and the "
    "versions of all packages (`environment.json`)."
)
_CHECK = (
    "`python -m ser_lib.publish --verify FOLDER`, of the speech emotion recognition "
    "recipes, recomputes every score from the predictions and checks the files, the "
    "folds and the labels. `sha256sum -c checksums.sha256` checks only the files."
)
_LIMITS = (
    "- It has no audio and no transcripts, which belong to the corpus: the column "
    "`text` of the parts is empty, so their digests differ from those in `folds.json`. "
    "Paths are relative to the data folder.",
    "- It has no weights. `python -m ser_lib.export` writes a model folder.",
    "- The scores are of these corpora and these folds only. Expect lower ones with "
    "other speakers, languages, microphones and rooms.",
    "- The intervals come from drawing test speakers. They do not reflect the seed of "
    "the training.",
    "- `environment.json` lists what was installed when the run was last started. "
    "Other hardware and versions can change the last digits of a probability, and so "
    "a few predictions.",
)


def pack_card(runs: Sequence[Run], identity: str) -> str:
    """Return the card as Markdown.

    Arguments
    ---------
    runs : Sequence[Run]
        The runs in the pack; their files are complete.
    identity : str
        The id of the pack.
    """
    sections = [
        f"---\n{_front_matter(runs)}\n---",
        f"# {title_of(runs)}",
        f"Predictions and scores of speech emotion recognition, id `{identity}`. "
        f"Every score below can be computed from the predictions in this folder.",
        "## Scores",
        markdown_table(_summary(runs)),
        "Percent; sd over folds; 95 % intervals by drawing test speakers. WA is the "
        "share of correct utterances, UA the mean recall of the classes.",
        *(section for run in runs for section in _run_sections(run)),
        "## Files",
        _FILES,
        "## Check",
        _CHECK,
        "## What it is not",
        "\n".join(_LIMITS),
        "## Corpora",
        *_corpora(runs),
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(runs: Sequence[Run]) -> str:
    names = sorted({run.corpus["name"] for run in runs})
    licences = {run.corpus.get("licence") for run in runs}
    licence = hub_licence(licences.pop() if len(licences) == 1 else None)
    return DatasetCardData(
        **licence,
        pretty_name=title_of(runs),
        task_categories=["audio-classification"],
        tags=["speech-emotion-recognition", "predictions", "speechbrain", *names],
    ).to_yaml()


def _summary(runs: Sequence[Run]) -> pd.DataFrame:
    lines = []
    for run in runs:
        rows = result_rows(run.results)
        folds, pooled = rows[rows["fold"] != "pooled"], rows.iloc[-1]
        line = {
            "experiment": pooled["experiment"],
            "seed": pooled["seed"],
            "corpus": pooled["corpus"],
            "adapted": pooled["adapted"],
            "folds": len(folds),
            "n": pooled["n"],
        }
        for metric in ("WA", "UA"):
            line[f"{metric} mean ± sd"] = mean_and_sd(folds[metric])
            line[f"pooled {metric} [95 % interval]"] = with_interval(pooled, metric)
        lines.append(line)
    return pd.DataFrame(lines).set_index("experiment")


def _run_sections(run: Run) -> list[str]:
    sections = [f"## {run.experiment}, seed {run.seed}"]
    if note := run.report["note"].strip():
        sections.append("\n".join(f"> {line}" for line in note.splitlines()))
    sections.append(markdown_table(fold_table(result_rows(run.results))))
    further = task_rows(run.results)
    if not further.empty:
        sections += ["Its other tasks:", markdown_table(task_table(further))]
    commands = "\n".join(repeating_commands(run))
    return [
        *sections,
        "To repeat it, in a clone of the recipes, with the versions in "
        f"`environment.json`:\n\n```bash\n{commands}\n```",
    ]


def _corpora(runs: Sequence[Run]) -> list[str]:
    corpora = {run.corpus["name"]: run.corpus for run in runs}
    return [
        f"{name}, {corpus.get('source', 'source not stated')}. "
        f"{str(corpus.get('citation', '')).strip()}\n\nIts licence: "
        f"{corpus.get('licence', 'not stated')}. Labels and ids are from the corpus, "
        f"so its licence applies to this pack."
        for name, corpus in corpora.items()
    ]
