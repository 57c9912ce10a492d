"""The predictions files, the only thing that reporting needs from a model.

One row per utterance of the test part, or of the validation part: speaker, true label,
predicted label and a probability for each class. The probability columns are in the
order of corpus.yaml; this is checked whenever a file is written or read. Columns of
further tasks follow, see ``task_columns.py``.
"""

import csv
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path

import numpy as np
import pandas as pd

from ser_lib.corpora import VOTES, Utterance
from ser_lib.evaluation.task_columns import (
    further_tasks,
    tasks_of_columns,
    with_truth,
)
from ser_lib.settings import Task
from ser_lib.utils.files import atomic_path
from ser_lib.utils.text_tables import read_csv

# Of the folder of a fold; the first is missing if the fold has no validation part.
PREDICTION_FILES = {"valid": "valid_predictions.csv", "test": "predictions.csv"}
_TEXT_COLUMNS = ["id", "speaker", "label", "prediction"]
_CORPUS = "corpus"  # second column, if several corpora are joined
# Far above rounding to six decimals, far below the effect of a missing class.
_SUM_TOLERANCE = 1e-4


def write_predictions(
    path: str | Path, predictions: pd.DataFrame, labels: Sequence[str]
) -> None:
    """Write predictions as a CSV file, probabilities with six decimals.

    If rounding would change the argmax of a row, that row keeps all its decimals.

    Arguments
    ---------
    path : str | Path
        The file to write; it is replaced only when complete.
    predictions : pd.DataFrame
        Columns ``id``, ``corpus`` (only if several corpora are joined), ``speaker``,
        ``label``, ``prediction`` and ``p_<label>`` for each label, in this order.
    labels : Sequence[str]
        Classes in the order of corpus.yaml.

    Raises
    ------
    ValueError
        See :func:`read_predictions`.

    Example
    -------
    >>> path = Path(getfixture("tmp_path")) / "predictions.csv"
    >>> row = {"id": "a", "speaker": "1", "label": "sad", "prediction": "angry"}
    >>> table = pd.DataFrame([{**row, "p_sad": 0.25, "p_angry": 0.75}])
    >>> write_predictions(path, table, ["sad", "angry"])
    >>> print(path.read_text().strip())
    id,speaker,label,prediction,p_sad,p_angry
    a,1,sad,angry,0.250000,0.750000
    """
    _check(predictions, labels, "The predictions to write")
    columns = _probability_columns(labels)
    probabilities = predictions[columns].to_numpy(float)
    rounded = [[f"{p:.6f}" for p in row] for row in probabilities]
    kept = np.asarray(rounded, float).argmax(axis=1) == probabilities.argmax(axis=1)
    texts = [
        row if is_kept else [repr(float(p)) for p in exact]
        for row, exact, is_kept in zip(rounded, probabilities, kept, strict=True)
    ]
    table = predictions[_text_columns(list(predictions))].reset_index(drop=True)
    table = table.join(pd.DataFrame(texts, columns=columns, dtype=str))
    table = table.join(_rounded(predictions, _further_columns(predictions, labels)))
    with atomic_path(path) as unfinished:
        table.to_csv(unfinished, index=False, lineterminator="\n")


def read_predictions(path: str | Path, labels: Sequence[str]) -> pd.DataFrame:
    """Read and check a file of :func:`write_predictions`.

    Arguments
    ---------
    path : str | Path
        A predictions CSV file.
    labels : Sequence[str]
        Classes in the order of corpus.yaml.

    Returns
    -------
    pd.DataFrame
        The rows in the order of the file; ids and speakers are text.

    Raises
    ------
    ValueError
        If the columns or their order are not as expected, an id occurs twice, a label
        is unknown, the probabilities of a row are not a distribution, or a prediction
        is not the argmax of its row.
    """
    # "NA" or "None" can be the name of a speaker or a label.
    table = read_csv(path, dtype=str, keep_default_na=False)
    _check_columns(table, labels, str(path))
    numbers = [*_probability_columns(labels), *_further_numbers(table, labels)]
    try:
        table = table.astype(dict.fromkeys(numbers, float))
    except ValueError as err:
        raise ValueError(
            f"{path} has a probability that is not a number: {err}"
        ) from err
    _check(table, labels, str(path))
    return table


def read_labels(path: str | Path) -> list[str]:
    r"""Read the labels of a predictions file from its first line.

    Raises
    ------
    ValueError
        If it is not the first line of a predictions file.

    Example
    -------
    >>> path = Path(getfixture("tmp_path")) / "predictions.csv"
    >>> _ = path.write_text("id,speaker,label,prediction,p_sad,p_angry\n")
    >>> read_labels(path)
    ['sad', 'angry']
    """
    with open(path, newline="", encoding="utf-8") as f:
        columns = next(csv.reader(f), [])
    after = columns[len(_text_columns(columns)) :]
    probabilities = takewhile(lambda column: column.startswith("p_"), after)
    labels = [column.removeprefix("p_") for column in probabilities]
    _check_columns(pd.DataFrame(columns=columns), labels, str(path))
    return labels


def _text_columns(columns: Sequence[str]) -> list[str]:
    """Return the columns before the probabilities."""
    first, *others = _TEXT_COLUMNS
    has_corpus = _CORPUS in columns[1:2]
    return [first, _CORPUS, *others] if has_corpus else _TEXT_COLUMNS


def _probability_columns(labels: Sequence[str]) -> list[str]:
    return [f"p_{label}" for label in labels]


def _further_columns(table: pd.DataFrame, labels: Sequence[str]) -> list[str]:
    return list(table)[len(_text_columns(list(table))) + len(labels) :]


def _further_numbers(table: pd.DataFrame, labels: Sequence[str]) -> list[str]:
    """Return the columns of further tasks that have a number in each row."""
    tasks = further_tasks(table, labels)
    values = [task.prediction for task in tasks if not task.labels]
    return values + [name for task in tasks for name in task.probabilities]


def _rounded(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return some columns with numbers as text with six decimals."""
    rows = table[columns].reset_index(drop=True)
    return rows.map(lambda value: value if isinstance(value, str) else f"{value:.6f}")


def _check(predictions: pd.DataFrame, labels: Sequence[str], where: str) -> None:
    _check_columns(predictions, labels, where)
    _check_ids_and_labels(predictions, labels, where)
    _check_probabilities(predictions, labels, where)


def _check_columns(
    predictions: pd.DataFrame, labels: Sequence[str], where: str
) -> None:
    found = list(predictions.columns)
    expected = [*_text_columns(found), *_probability_columns(labels)]
    further = found[len(expected) :]
    votes = [f"{VOTES}{label}" for label in labels]
    if further[: len(votes)] == votes:
        further = further[len(votes) :]
    if found[: len(expected)] != expected or tasks_of_columns(further) is None:
        raise ValueError(
            f"{where}: expected the columns {expected}, found {found}. The labels of "
            f"the model and of the corpus must be the same, in the same order."
        )


def _check_ids_and_labels(
    predictions: pd.DataFrame, labels: Sequence[str], where: str
) -> None:
    repeated = predictions["id"][predictions["id"].duplicated()]
    if len(repeated):
        raise ValueError(
            f"{where}: {len(repeated)} ids are repeated, the first is "
            f"{repeated.iloc[0]!r}. Expected one row per utterance."
        )
    for column in ("label", "prediction"):
        unknown = predictions[~predictions[column].isin(labels)]
        if len(unknown):
            raise ValueError(
                f"{where}: {unknown['id'].iloc[0]} has the {column} "
                f"{unknown[column].iloc[0]!r}, which is not one of {list(labels)}."
            )


def _check_probabilities(
    predictions: pd.DataFrame, labels: Sequence[str], where: str
) -> None:
    values = predictions[_probability_columns(labels)].to_numpy(float)
    is_distribution = (values >= 0).all(axis=1) & (
        np.abs(values.sum(axis=1) - 1) <= _SUM_TOLERANCE
    )
    if not is_distribution.all():
        row = int(np.flatnonzero(~is_distribution)[0])
        raise ValueError(
            f"{where}: the probabilities of {predictions['id'].iloc[row]} are "
            f"{values[row].tolist()}, expected numbers from 0 to 1 that sum to 1."
        )
    most_probable = np.asarray(labels, dtype=object)[values.argmax(axis=1)]
    wrong = np.flatnonzero(predictions["prediction"].to_numpy(object) != most_probable)
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(
            f"{where}: the prediction of {predictions['id'].iloc[row]} is "
            f"{predictions['prediction'].iloc[row]!r}, but its most probable class is "
            f"{most_probable[row]!r}."
        )


def prediction_table(
    ids: Sequence[str], probabilities: np.ndarray, labels: Sequence[str]
) -> pd.DataFrame:
    """Build a table of probabilities and most probable labels.

    Arguments
    ---------
    ids : Sequence[str]
        The utterance of each row.
    probabilities : (rows, labels) np.ndarray
        A probability for each class.
    labels : Sequence[str]
        Classes in the order of the columns.

    Example
    -------
    >>> prediction_table(["a"], np.array([[0.25, 0.75]]), ["sad", "angry"])
      id prediction  p_sad  p_angry
    0  a      angry   0.25     0.75
    """
    table = pd.DataFrame(probabilities, columns=_probability_columns(labels))
    table.insert(0, "id", list(ids))
    table.insert(1, "prediction", [labels[i] for i in probabilities.argmax(axis=1)])
    return table


def write_parts(
    folder: Path,
    predictions: Mapping[str, pd.DataFrame],
    utterances: Sequence[Utterance],
    labels: Sequence[str],
    tasks: Sequence[Task] = (),
) -> None:
    """Write the predictions of the parts of a fold, with the truth, sorted by id.

    Arguments
    ---------
    folder : Path
        The folder of the fold; predictions of an earlier run in it are removed.
    predictions : Mapping[str, pd.DataFrame]
        ``valid`` and ``test`` -> table of :func:`prediction_table`.
    utterances : Sequence[Utterance]
        Of all parts.
    tasks : Sequence[Task]
        All tasks, the emotion first.
    """
    truth = {u.id: u for u in utterances}
    for part, name in PREDICTION_FILES.items():
        (folder / name).unlink(missing_ok=True)
        if part in predictions:
            rows = _rows(predictions[part], truth, tasks)
            write_predictions(folder / name, rows, labels)


def _rows(
    predictions: pd.DataFrame, truth: Mapping[str, Utterance], tasks: Sequence[Task]
) -> pd.DataFrame:
    rows = predictions.sort_values("id", ignore_index=True)
    utterances = [truth[i] for i in rows["id"]]
    rows.insert(1, "speaker", [u.speaker for u in utterances])
    rows.insert(2, "label", [u.label for u in utterances])
    if any(u.corpus for u in utterances):
        rows.insert(1, _CORPUS, [u.corpus for u in utterances])
    return with_truth(rows, tasks, utterances)
