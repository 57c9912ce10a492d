"""The report of an adaptation curve: a README, the rows and a picture."""

from pathlib import Path

import pandas as pd

from ser_lib.adaptation_curve.curve import ADAPTED_TO, ALL, N_DRAWS, PLAIN
from ser_lib.adaptation_curve.figure import curve_figure
from ser_lib.inference import PRIOR_S
from ser_lib.utils.files import UNFINISHED, atomic_path
from ser_lib.utils.listing import first_few
from ser_lib.utils.text_tables import markdown_table, plain_table

ROWS_FILE, FIGURE_FILE, README_FILE = "adaptation.csv", "adaptation.png", "README.md"
_HOW = (
    f"The test speakers are new to the model. It is adapted, without labels, to "
    f"recordings of one speaker drawn at random, and classifies the speaker's other "
    f"recordings; the scores are over {N_DRAWS} draws together. Speakers with fewer "
    f"than twice as many recordings are left out. `all`: adapted to all recordings of "
    f"the speaker, which it then classifies, as `predict --adapt_by speaker` does. "
    f"`corpus`: adapted to all test recordings of the corpus together.\n\n"
    f"UA is the mean recall of the classes in percent, with the 95 % interval of "
    f"drawing test speakers with replacement; with few speakers it is too narrow. "
    f"Prior: how much speech like that of the training part is added to the "
    f"recordings; `recognizer.adapt` adds {PRIOR_S:g} s."
)


def check_folder(folder: Path) -> None:
    """Refuse an output folder that holds something else.

    Raises
    ------
    ValueError
        If it is a file, or holds files that this command does not write.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out {folder} is a file; expected a folder.")
    own = {"work", ROWS_FILE, FIGURE_FILE}
    if (folder / ROWS_FILE).is_file():
        own.add(README_FILE)  # else it is someone else's
    names = {path.name for path in folder.glob("*")}
    others = sorted(n for n in names - own if not n.startswith(UNFINISHED))
    if others:
        raise ValueError(
            f"{folder} holds other files ({first_few(others)}): it is not the folder "
            f"of an adaptation curve. Choose another --out."
        )


def write_report(
    folder: Path, rows: pd.DataFrame, run_folder: Path, command: str
) -> str:
    """Write ``adaptation.csv``, ``adaptation.png`` and ``README.md``.

    Arguments
    ---------
    folder : Path
        The output folder.
    rows : pd.DataFrame
        From ``curve.measure_curve``.
    run_folder : Path
        The run, for the title.
    command : str
        The command line.

    Returns
    -------
    str
        The tables for the console.
    """
    title = "Adaptation of " + "/".join(run_folder.resolve().parts[-2:])
    with atomic_path(folder / ROWS_FILE) as unfinished:
        rows.to_csv(unfinished, index=False, lineterminator="\n")
    with atomic_path(folder / FIGURE_FILE) as unfinished:
        curve_figure(rows, title).savefig(unfinished)
    sections = [f"# {title}", result_sentence(rows), f"```bash\n{command}\n```", _HOW]
    sections += ["![UA by the number of recordings](adaptation.png)"]
    texts = []
    for corpus, own in rows.groupby("corpus", sort=False):
        scores, errors = ua_table(own), error_table(own)
        sections += [f"## {corpus}", markdown_table(scores)]
        sections += ["Expected calibration error, percent:", markdown_table(errors)]
        texts += [str(corpus), plain_table(scores)]
    with atomic_path(folder / README_FILE) as unfinished:
        unfinished.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    return "\n".join([*texts, result_sentence(rows)])


def result_sentence(rows: pd.DataFrame) -> str:
    """Say in words what adaptation is worth, at the prior of ``recognizer.adapt``.

    Example
    -------
    >>> rows = [("A", None, "0", 50.0), ("A", 3.0, "1", 60.0), ("A", 3.0, "all", 70.0)]
    >>> table = pd.DataFrame(rows, columns=["corpus", "prior_s", "adapted_to", "UA"])
    >>> result_sentence(table)
    'A: the UA is 50.0 as the model is, 60.0 adapted to 1 recording of a speaker, and \
70.0 adapted to all, with a prior of 3 s.'
    """
    corpus = rows["corpus"].iloc[-1]  # all corpora, if there are several
    own = rows[rows["corpus"] == corpus]
    priors_s = own["prior_s"].dropna().unique()
    prior_s = min(priors_s, key=lambda p: abs(p - PRIOR_S))
    plain = own.loc[own["adapted_to"] == PLAIN, "UA"].item()
    scores = own[own["prior_s"] == prior_s].set_index("adapted_to")["UA"]
    parts = [f"{plain:.1f} as the model is"]
    for n in ("1", "10"):
        if n in scores:
            what = "recording" if n == "1" else "recordings"
            parts.append(f"{scores[n]:.1f} adapted to {n} {what} of a speaker")
    parts.append(f"and {scores[ALL]:.1f} adapted to all")
    return f"{corpus}: the UA is {', '.join(parts)}, with a prior of {prior_s:g} s."


def ua_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the UA of one corpus, with a row for each number of recordings."""
    table = _by_prior(rows.assign(text=[_score(row) for _, row in rows.iterrows()]))
    counted = rows.drop_duplicates("adapted_to").set_index("adapted_to")
    counts = counted.loc[table.index, "n_speakers"]
    table.insert(0, "speakers", counts)
    table.insert(1, "left out", counts.max() - counts)
    return table


def error_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the calibration errors of one corpus, as ``ua_table`` does."""
    return _by_prior(rows.assign(text=rows["calibration_error"].map("{:.1f}".format)))


def _score(row: pd.Series) -> str:
    score = f"{row['UA']:.1f}"
    has_interval = pd.notna(row["low"])
    return f"{score} [{row['low']:.1f}, {row['high']:.1f}]" if has_interval else score


def _by_prior(rows: pd.DataFrame) -> pd.DataFrame:
    """Spread ``text`` over a column for each prior; plain has the same in all."""
    adapted = rows[rows["adapted_to"] != PLAIN]
    table = adapted.pivot(index="adapted_to", columns="prior_s", values="text")
    table.loc[PLAIN] = rows.loc[rows["adapted_to"] == PLAIN, "text"].item()
    table = table.loc[[name for name in ADAPTED_TO if name in table.index]]
    table.columns = [f"prior {prior_s:g} s" for prior_s in table.columns]
    return table.rename_axis("adapted to")
