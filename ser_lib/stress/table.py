"""The recordings of a stress report: a table as in recipes/Custom, and its groups."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ser_lib.corpora import (
    LabelMap,
    Utterance,
    describe_map,
    folder_of,
    map_labels,
    read_csv_table,
    read_recordings,
)


class Table(NamedTuple):
    """The recordings to test on.

    Arguments
    ---------
    utterances : list[Utterance]
        With the labels of the model.
    data_folder : Path
        Their paths start there.
    groups : pd.DataFrame
        A row for each utterance, indexed by its id; a column for each kind of group.
    label_map : str
        What the label map did, in words; empty if nothing.
    members : dict[str, str]
        Id -> the member of an ensemble that classifies it; empty for the whole model.
    """

    utterances: list[Utterance]
    data_folder: Path
    groups: pd.DataFrame
    label_map: str
    members: dict[str, str]


def read_table(
    path: Path,
    data_folder: Path | None,
    groups: Sequence[str],
    label_map: LabelMap,
    model_labels: Sequence[str],
    sample_rate_hz: int,
    fold_column: str | None = None,
) -> Table:
    """Read a table, check its audio files and map its labels to those of a model.

    Arguments
    ---------
    path : Path
        A table as in recipes/Custom/README.md.
    data_folder : Path | None
        Relative paths start there; None for the folder of the table.
    groups : Sequence[str]
        Columns that name groups, such as gender.
    label_map : LabelMap
        What labels of the table count as, see ``corpora/label_map.py``.
    model_labels : Sequence[str]
        The labels of the model.
    sample_rate_hz : int
        Sampling rate of the model.
    fold_column : str | None
        Column with the fold whose model classifies the recording.

    Raises
    ------
    FileNotFoundError, ValueError
        If the table or a file cannot be used, a column does not name two groups, or the
        model does not know a label.
    """
    more = [] if fold_column is None else [fold_column]
    rows = read_csv_table(path, list(dict.fromkeys([*groups, *more])))
    folder = data_folder or Path(folder_of(path))
    read = read_recordings(rows, folder, sample_rate_hz, path)
    labels = sorted({u.label for u in read})
    utterances = map_labels(read, labels, label_map)
    unknown = sorted({u.label for u in utterances} - set(model_labels))
    if unknown:
        raise ValueError(
            f"{path}: the model does not know the labels {', '.join(unknown)}; its "
            f"labels are {', '.join(model_labels)}. Say what each counts as, or null "
            f'to leave it out: --label_map "{{{unknown[0]}: null}}".'
        )
    known = {row.id: row.groups for row in rows}
    ids = [u.id for u in utterances]
    columns = list(groups)
    table = pd.DataFrame([known[i] for i in ids], index=ids)[columns]
    for column in table:
        found = sorted(set(table[column]))
        if len(found) < 2:
            raise ValueError(
                f"{path}: expected at least two groups in the column {column}, found "
                f"{', '.join(found)} in all {len(ids)} rows."
            )
    members = {i: f"fold_{known[i][name]}" for i in ids for name in more}
    label_text = describe_map(read, labels, label_map)
    return Table(utterances, folder, table, label_text, members)
