"""Checks of what predict prints: one whole row for each file, and no nonsense in it."""

import csv
import io
import math
from pathlib import Path

from fuzz.case import FILE_FAILED, Outcome


def read_rows(text: str) -> list[dict]:
    """Rows of CSV, as spreadsheets read them: a carriage return ends a line, too."""
    return list(csv.DictReader(io.StringIO(text)))


def wrong_in_row(row: dict) -> str:
    """What a row holds that it must not; nothing if it is sound."""
    if None in row or None in row.values():
        return f"a row has another number of values than the header: {row}"
    shares = [float(v) for k, v in row.items() if k.startswith("p_") and v != ""]
    if row["error"]:
        return f"a row has an error and a label: {row}" if row["label"] else ""
    if not row["label"]:
        return f"a row has neither label nor error: {row}"
    numbers = [*shares, float(row["score"])]
    if not all(math.isfinite(v) and 0 <= v <= 1 for v in numbers):
        return f"a row has {numbers} for probabilities"
    if abs(sum(shares) - 1) > 1e-3:
        return f"the probabilities of a row add up to {sum(shares)}"
    return ""


def sound_rows(folder: Path, outcome: Outcome) -> str:
    """Sound rows on stdout, and the exit code that belongs to them."""
    rows = read_rows(outcome.stdout)
    failed = outcome.code == FILE_FAILED
    if any(row["error"] for row in rows) != failed:
        return f"exit code {outcome.code} does not go with the rows {rows}"
    return "; ".join(filter(None, map(wrong_in_row, rows)))


def one_row(folder: Path, outcome: Outcome) -> str:
    """As :func:`sound_rows`, of one file."""
    n_rows = len(read_rows(outcome.stdout))
    if n_rows != 1:
        return f"expected one row, found {n_rows}"
    return sound_rows(folder, outcome)
