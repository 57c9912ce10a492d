"""Wrongly classified test utterances: a CSV file, a printed list, a report section."""

from pathlib import Path

import pandas as pd

from ser_lib.utils.files import atomic_path
from ser_lib.utils.text_tables import markdown_table, plain_table

ERRORS_FILE = "wrong_predictions.csv"
_MOST_LISTED = 100  # in the report; the file has all


def wrong_predictions(predictions: pd.DataFrame) -> pd.DataFrame:
    """Select the wrong predictions.

    Arguments
    ---------
    predictions : pd.DataFrame
        As returned by ``read_predictions``.

    Returns
    -------
    pd.DataFrame
        ``id``, ``label``, ``prediction`` and ``probability`` (of the prediction).

    Example
    -------
    >>> row = {"id": "a", "speaker": "1", "label": "sad", "prediction": "angry"}
    >>> wrong_predictions(pd.DataFrame([{**row, "p_sad": 0.25, "p_angry": 0.75}]))
      id label prediction  probability
    0  a   sad      angry         0.75
    """
    wrong = predictions[predictions["label"] != predictions["prediction"]]
    columns = [name for name in predictions if name.startswith("p_")]
    return (
        wrong[["id", "label", "prediction"]]
        .assign(probability=wrong[columns].max(axis=1))
        .reset_index(drop=True)
    )


def write_wrong_predictions(folder: str | Path, errors: pd.DataFrame) -> None:
    """Write what :func:`wrong_predictions` found to ``wrong_predictions.csv``."""
    with atomic_path(Path(folder) / ERRORS_FILE) as unfinished:
        errors.to_csv(unfinished, index=False, float_format="%.3f")


def error_sections(errors: pd.DataFrame) -> list[str]:
    """Return the report's section about errors; up to 100 are listed in it."""
    count = f"{len(errors)} test utterances were classified wrongly"
    if len(errors) > _MOST_LISTED:
        text = f"{count}: see [{ERRORS_FILE}]({ERRORS_FILE})."
        return ["## Wrong predictions", text]
    return ["## Wrong predictions", f"{count}.", markdown_table(errors.set_index("id"))]


def list_errors(folder: str | Path) -> str:
    """Return the wrong predictions of a written report as a table for the console.

    Arguments
    ---------
    folder : str | Path
        The folder of the report.

    Returns
    -------
    str
        One line per utterance, then their count.

    Example
    -------
    >>> row = {"id": "a", "label": "sad", "prediction": "angry", "probability": 0.75}
    >>> folder = getfixture("tmp_path")
    >>> write_wrong_predictions(folder, pd.DataFrame([row]))
    >>> print(list_errors(folder))
    id label prediction probability
     a   sad      angry        0.75
    Wrong predictions: 1
    """
    text = dict.fromkeys(("id", "label", "prediction"), str)
    path = Path(folder) / ERRORS_FILE
    errors = pd.read_csv(path, dtype=text, keep_default_na=False)
    lines = [] if errors.empty else [plain_table(errors.set_index("id"))]
    return "\n".join([*lines, f"Wrong predictions: {len(errors)}"])
