"""The pages of a table of experiments and of a stress report."""

from pathlib import Path

import pandas as pd

from ser_lib.html_report.charts import Interval, interval_chart
from ser_lib.html_report.content import Figure, Page, Section, Table, table_of
from ser_lib.utils.text_tables import read_csv, with_interval

_STRESS_FILE, _CLAIMS_FILE = "stress.csv", "claims.csv"


def table_file(folder: Path) -> Path | None:
    """Return the scores of a table that ``table1.py`` has written; None without."""
    if not (folder / _CLAIMS_FILE).is_file():
        return None
    others = [
        path
        for path in sorted(folder.glob("*.csv"))
        if path.name != _CLAIMS_FILE and path.with_suffix(".md").is_file()
    ]
    return others[0] if len(others) == 1 else None


def table_page(path: Path) -> Page:
    """Collect the page of a table of experiments.

    Arguments
    ---------
    path : Path
        Its scores, such as ``table1.csv``; ``table1.md`` and ``claims.csv`` are beside.
    """
    rows = read_csv(path)
    title, *lines = path.with_suffix(".md").read_text("utf-8").splitlines()
    tested = rows[rows["UA"].notna()]
    sections = []
    if len(tested):
        bars = [
            Interval(r.experiment, r.UA, r.UA_low, r.UA_high, _given(r.paper_UA))
            for r in tested.itertuples()
        ]
        has_paper = tested["paper_UA"].notna().any()
        caption = "UA of each row with its 95 % interval, by drawing test speakers"
        if has_paper:
            caption += "; circles are the scores of the paper"
        svg = interval_chart(bars, "UA of each row", "UA, percent", "paper")
        sections.append(Section("Scores", figures=[Figure(svg, caption)]))
    about = ["experiment", "upstream", "fine_tuned", "averaged", "aggregator"]
    shown = rows[["row", *about]].rename(columns={"fine_tuned": "fine-tuned"})
    shown = shown.set_index("row")
    for metric in ("WA", "UA"):
        shown[f"{metric} [95 % interval]"] = _with_intervals(rows, metric)
        shown[f"{metric} of the paper"] = rows.set_index("row")[f"paper_{metric}"]
    shown = shown.dropna(axis=1, how="all")
    sections.append(Section("Rows", tables=[table_of(shown, "Rows of the table")]))
    claims = read_csv(path.with_name(_CLAIMS_FILE))
    if len(claims):
        table = table_of(claims.set_index("claim"), "Paired tests, UA in points")
        sections.append(Section("Claims", tables=[table]))
    notes = [line.removeprefix("> ") for line in lines if line.startswith("> ")]
    subtitle = f"{len(tested)} of {len(rows)} rows have results."
    return Page(title.removeprefix("# "), subtitle, sections, notes=notes)


def stress_page(folder: Path) -> Page:
    """Collect the page of a stress report, from ``stress.csv`` and ``stress.md``."""
    rows = read_csv(folder / _STRESS_FILE, keep_default_na=True)
    title, *lines = (folder / "stress.md").read_text("utf-8").splitlines()
    whole = rows[rows["group"].isna()]
    names = ["condition", "UA", "UA_low", "UA_high"]
    bars = [Interval(*row) for row in whole[names].itertuples(index=False)]
    svg = interval_chart(bars, "UA in each condition", "UA, percent")
    figure = Figure(svg, "UA in each condition with its 95 % interval")
    clean = whole.iloc[0]
    conditions = _conditions(whole)
    found = [line.removeprefix("- ") for line in lines if line.startswith("- ")]
    sections = [
        Section("It fails where", items=found),
        Section("Conditions", figures=[figure], tables=[conditions]),
        *(_group(name, own) for name, own in rows.groupby("group", sort=False)),
    ]
    value, _, interval = with_interval(clean, "UA").partition(" ")
    subtitle = f"{clean['n']} utterances of {clean['speakers']} speakers."
    highlights = [(f"UA, {clean['condition'].lower()}", f"{value} %", interval)]
    return Page(title.removeprefix("# "), subtitle, sections, highlights)


def is_stress(folder: Path) -> bool:
    """Return whether a folder is that of a stress report."""
    return all((folder / n).is_file() for n in (_STRESS_FILE, "stress.md"))


def _conditions(rows: pd.DataFrame) -> Table:
    shown = rows.set_index("condition")[["n"]].copy()
    for metric in ("UA", "WA"):
        shown[f"{metric} [95 % interval]"] = _with_intervals(rows, metric)
    shown["change of UA"] = _with_intervals(rows, "change")
    return table_of(shown, "All conditions, in percent; change against clean in points")


def _group(name: str, rows: pd.DataFrame) -> Section:
    shown = rows.set_index("condition")[["value", "n"]].copy()
    shown["UA [95 % interval]"] = _with_intervals(rows, "UA")
    shown["gap to the best"] = _with_intervals(rows, "gap")
    table = table_of(shown, f"UA by {name}, in percent; gaps in points", ["value"])
    return Section(f"UA by {name}", tables=[table])


def _with_intervals(rows: pd.DataFrame, metric: str) -> list[str]:
    return [
        "" if pd.isna(row[metric]) else with_interval(row, metric)
        for _, row in rows.iterrows()
    ]


def _given(value: float) -> float | None:
    return None if pd.isna(value) else float(value)
