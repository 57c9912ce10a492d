"""What pre-training changed: the probe table of recipes/Pretraining/README.md.

A probe is the SUPERB protocol on one fold of a corpus, with the encoder before and
after its pre-training. ``probe.csv`` has one row for each method, seed and fold; the
README's table is made from it alone.
"""

import json
from pathlib import Path

import pandas as pd
from speechbrain.utils.run_opts import RunOptions

from ser_lib.experiment import run
from ser_lib.files import atomic_path
from ser_lib.hparams import Settings
from ser_lib.metrics import figures
from ser_lib.predictions import read_predictions
from ser_lib.tables import markdown_table

KEYS = ["method", "seed", "fold"]
BEGIN = "<!-- probe: begin (made by python probe.py) -->"
END = "<!-- probe: end -->"
NOT_YET = "Not measured yet."
_HEADINGS = {
    "method": "Method",
    "epochs": "Epochs",
    "train_loss_first": "Training loss, first epoch",
    "train_loss_last": "last",
    "UA_before": "UA before",
    "UA_after": "UA after",
    "WA_before": "WA before",
    "WA_after": "WA after",
}


def excluded_by(settings: Settings, fold: int, pattern: str) -> list[str]:
    """Give the patterns that keep a fold's test speakers out of pre-training.

    Arguments
    ---------
    settings : Settings
        Settings of an experiment on the corpus.
    fold : int
        Number of the fold, from 1.
    pattern : str
        Which files are those of ``{speaker}``, such as ``Actor_{speaker}/*``.

    Returns
    -------
    list[str]
        A pattern for each test speaker.
    """
    speakers = settings["corpus"]["folds"][fold - 1]["test"]
    return [pattern.format(speaker=speaker) for speaker in speakers]


def run_probe(
    encoder: Path, settings_file: Path, given: dict, run_opts: RunOptions
) -> Path:
    """Run the SUPERB protocol on an encoder.

    Arguments
    ---------
    encoder : Path
        Folder of the encoder.
    settings_file : Path
        ``superb.yaml`` of a corpus.
    given : dict
        Settings that replace those of the file: data_folder, family, folds ...
    run_opts : RunOptions
        SpeechBrain's run options.

    Returns
    -------
    Path
        Output folder of the experiment.
    """
    source = {"upstream_source": str(encoder.resolve())}
    settings = Settings.from_file(settings_file, {**given, **source})
    run(settings, run_opts)
    return Path(settings["output_folder"])


def probe_row(
    pretrained: Path, before: Path, after: Path, fold: int, labels: list[str]
) -> dict:
    """Join what a pre-training and its two probes left.

    Arguments
    ---------
    pretrained : Path
        Output folder of the pre-training.
    before, after : Path
        Output folders of the probes of the untrained encoder and the trained one.
    fold : int
        Number of the fold.
    labels : list[str]
        The corpus's labels.

    Returns
    -------
    dict
        A row of ``probe.csv``; figures in percent.
    """
    facts = json.loads((pretrained / "pretraining.json").read_text(encoding="utf-8"))
    row = {"method": facts["method"], "seed": facts["seed"], "fold": fold}
    row["epochs"] = facts["epochs"]
    for name in ("train_loss", "valid_loss"):
        row[f"{name}_first"], row[f"{name}_last"] = facts[name]
    for name, folder in (("before", before), ("after", after)):
        path = folder / f"fold_{fold}" / "predictions.csv"
        found = figures(read_predictions(path, labels), labels)
        row[f"UA_{name}"], row[f"WA_{name}"] = 100 * found.UA, 100 * found.WA
    return row


def merge_row(path: Path, row: dict) -> None:
    """Put a row into ``probe.csv``, in the place of an older one of the same run.

    Arguments
    ---------
    path : Path
        The file; it may not exist yet.
    row : dict
        As :func:`probe_row` gives it.
    """
    rows = pd.DataFrame([row])
    if path.is_file():
        older = pd.read_csv(path)
        same = (older[KEYS] == rows.loc[0, KEYS]).all(axis=1)
        rows = pd.concat([older[~same], rows]).sort_values(KEYS)
    with atomic_path(path) as unfinished:
        rows.to_csv(unfinished, index=False, float_format="%.4f")


def table_block(path: Path) -> str:
    """Make the table of the README.

    Arguments
    ---------
    path : Path
        ``probe.csv``; it may not exist yet.

    Returns
    -------
    str
        A Markdown table, or that there is nothing yet.
    """
    if not path.is_file():
        return NOT_YET
    rows = pd.read_csv(path)
    several = [key for key in KEYS[1:] if rows[key].nunique() > 1]
    table = rows[[*_HEADINGS, *several]].rename(columns=_HEADINGS)
    return markdown_table(table.set_index(_HEADINGS["method"]))


def update_readme(readme: Path, path: Path) -> bool:
    """Write the table between the two markers of a README.

    Arguments
    ---------
    readme : Path
        The README.
    path : Path
        ``probe.csv``.

    Returns
    -------
    bool
        Whether it was out of date.

    Raises
    ------
    ValueError
        If the README does not have the two markers, once each.
    """
    text = readme.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{readme} needs the lines\n{BEGIN}\nand\n{END}\nonce each.")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    updated = f"{before}{BEGIN}\n\n{table_block(path)}\n\n{END}{after}"
    if updated == text:
        return False
    with atomic_path(readme) as unfinished:
        unfinished.write_text(updated, encoding="utf-8")
    return True
