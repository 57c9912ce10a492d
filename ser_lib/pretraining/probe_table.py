"""The probe tables of recipes/Pretraining/README.md, generated from ``probe.csv``.

``probe.csv`` has one row per experiment, method, seed and fold. The README has the
SUPERB probe of the first fold for each method, and means over folds for experiments
that were run on several.
"""

from pathlib import Path

import pandas as pd

from ser_lib.utils.distributed import locked
from ser_lib.utils.files import atomic_path
from ser_lib.utils.marked_blocks import with_block
from ser_lib.utils.text_tables import markdown_table, mean_and_sd

KEYS = ["experiment", "method", "seed", "fold"]
METRICS = ("UA", "WA")
BEGIN = "<!-- probe: begin (made by python probe.py) -->"
END = "<!-- probe: end -->"
NOT_YET = "Not measured yet."
_ONE_FOLD = (
    "Percent. One fold and one seed: small differences say nothing. This does not rank "
    "the methods, whose published models are larger and were trained on thousands of "
    "times more audio, and the scores cannot be compared with those of other corpora or"
    " folds."
)
_SEVERAL_FOLDS = (
    "Percent, mean ± standard deviation over folds; a difference is taken in each fold."
    " The folds share most of their training speakers, so the deviation is not the "
    "error of the mean. One pre-training and one training per fold: another seed gives "
    "other scores. They say nothing about encoders of a published size."
)


def record(row: dict, folder: Path) -> None:
    """Add a row to ``probe.csv`` and update the README; safe with other processes.

    Arguments
    ---------
    row : dict
        A row of ``probe.csv``; empty except in the main process of a run.
    folder : Path
        Folder of ``README.md`` and ``probe.csv``; the lock is in its folder
        ``results``.
    """
    with locked(folder / "results"):
        if row:
            merge_row(folder / "probe.csv", row)
            update_readme(folder / "README.md", folder / "probe.csv")


def merge_row(path: Path, row: dict) -> None:
    """Add a row of ``Probe.run`` to ``probe.csv``, replacing one of the same run."""
    rows = pd.DataFrame([row])
    if path.is_file():
        older = _read(path)
        same = (older[KEYS] == rows.loc[0, KEYS]).all(axis=1)
        rows = pd.concat([older[~same], rows]).sort_values(KEYS)
    with atomic_path(path) as unfinished:
        rows.to_csv(unfinished, index=False, float_format="%.4f")


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"settings": str}).fillna({"settings": ""})


def probe_block(path: Path) -> str:
    """Return the two tables of ``probe.csv``, if it exists, with their notes."""
    rows = _read(path) if path.is_file() else pd.DataFrame(columns=KEYS)
    first_folds = rows[(rows["experiment"] == "superb") & (rows["fold"] == 1)]
    n_folds = rows.groupby(KEYS[:3])["fold"].transform("size")
    parts = ["SUPERB's protocol, fold 1:", NOT_YET]
    if len(first_folds):
        parts[1:] = [
            _table_of_methods(first_folds),
            _ONE_FOLD,
            _settings_of(first_folds),
        ]
    several = rows[n_folds > 1]
    parts += ["Several folds:", NOT_YET]
    if len(several):
        parts[-1:] = [
            _table_over_folds(several),
            _SEVERAL_FOLDS,
            _settings_of(several),
        ]
    return "\n\n".join(parts)


def _table_of_methods(rows: pd.DataFrame) -> str:
    table = pd.DataFrame({"Method": rows["method"]})
    if rows["seed"].nunique() > 1:
        table["Seed"] = rows["seed"]
    table["Epochs"] = rows["epochs"]
    table["Training loss, first epoch"] = rows["train_loss_first"]
    table["last"] = rows["train_loss_last"]
    for metric in METRICS:
        before, after = rows[f"{metric}_before"], rows[f"{metric}_after"]
        table[f"{metric} before"], table[f"{metric} after"] = before, after
        table[f"{metric} difference"] = (after - before).map("{:+.2f}".format)
    return markdown_table(table.set_index("Method"))


def _table_over_folds(rows: pd.DataFrame) -> str:
    lines = []
    for (experiment, method, seed), run in rows.groupby(KEYS[:3]):
        line = {"Experiment": experiment, "Method": method, "Seed": seed}
        line["Folds"] = len(run)
        for metric in METRICS:
            before, after = run[f"{metric}_before"], run[f"{metric}_after"]
            line[f"{metric} before"] = mean_and_sd(before)
            line[f"{metric} after"] = mean_and_sd(after)
            sign = "+" if (after - before).mean() >= 0 else ""
            line[f"{metric} difference"] = sign + mean_and_sd(after - before)
            line[f"{metric} gained in"] = f"{(after > before).sum()} of {len(run)}"
        lines.append(line)
    table = pd.DataFrame(lines)
    if table["Seed"].nunique() == 1:
        table = table.drop(columns="Seed")
    return markdown_table(table.set_index("Experiment"))


def _settings_of(rows: pd.DataFrame) -> str:
    """Describe the settings on the command line from which rows were computed."""
    texts = []
    for settings, same in rows.groupby("settings"):
        options = f"`{settings}`" if settings else "none"
        methods = ", ".join(sorted(set(same["method"])))
        users = f" ({methods})" if rows["settings"].nunique() > 1 else ""
        texts.append(f"{options}{users}")
    return f"Settings given on the command line: {'; '.join(texts)}."


def update_readme(readme: Path, path: Path) -> bool:
    """Write the tables of ``probe.csv`` between the two markers of a README.

    Returns
    -------
    bool
        Whether the README was out of date.

    Raises
    ------
    ValueError
        If the README does not contain each of the two markers exactly once.
    """
    text = readme.read_text(encoding="utf-8")
    updated = with_block(text, BEGIN, END, probe_block(path), str(readme))
    if updated == text:
        return False
    with atomic_path(readme) as unfinished:
        unfinished.write_text(updated, encoding="utf-8")
    return True
