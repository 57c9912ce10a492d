"""The index of the real IEMOCAP release, the only part of it that is stored here."""

import csv
import json
from pathlib import Path

from ser_lib.corpora import Utterance


def superb_release(shared_data: Path) -> list[Utterance]:
    """Return the manifest of the release in SUPERB's order, without audio and texts."""
    order = json.loads((shared_data / "superb" / "dialog_order.json").read_text())
    rank = {dialog: n for n, dialog in enumerate(sum(order.values(), []))}
    with open(shared_data / "iemocap_index.csv", newline="") as f:
        rows = [(*row["utterance"].rsplit("_", 1), row) for row in csv.DictReader(f)]
    rows.sort(key=lambda row: (rank[row[0]], row[1]))
    return [
        Utterance(
            id=row["utterance"],
            path="",
            label=row["label"].replace("exc", "hap"),
            speaker=dialog[:5] + turn[0],
            duration_s=float(row["duration_s"]),
            session=dialog[4],
            dialog=dialog,
        )
        for dialog, turn, row in rows
    ]
