"""The test utterances that a model got wrong: a file, a list and a section."""

from pathlib import Path

import pandas as pd

from ser_lib.utils.files import atomic_path
from ser_lib.utils.text_tables import markdown_table, plain_table

ERRORS_FILE = "wrong_predictions.csv"
_MOST_LISTED = 100  # in the report; the file has all


def wrong_predictions(predictions: pd.DataFrame) -> pd.DataFrame:
    """Select the predictions that are wrong.

    Arguments
    ---------
    predictions : pd.DataFrame
        As ``predictions.read_predictions`` gives them.

    Returns
    -------
    pd.DataFrame
        In the order given: ``id``, ``label``, ``prediction`` and ``probability``,
        that of the prediction.

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
    """Write ``wrong_predictions.csv``.

    Arguments
    ---------
    folder : str | Path
        Where to.
    errors : pd.DataFrame
        As :func:`wrong_predictions` gives them.
    """
    with atomic_path(Path(folder) / ERRORS_FILE) as unfinished:
        errors.to_csv(unfinished, index=False, float_format="%.3f")


def error_sections(errors: pd.DataFrame) -> list[str]:
    """Write what the report says about the errors.

    Arguments
    ---------
    errors : pd.DataFrame
        As :func:`wrong_predictions` gives them.

    Returns
    -------
    list[str]
        Sections in Markdown: the list itself if it has at most 100 rows.
    """
    found = f"{len(errors)} test utterances were classified wrongly"
    if len(errors) > _MOST_LISTED:
        text = f"{found}: see [{ERRORS_FILE}]({ERRORS_FILE})."
        return ["## Wrong predictions", text]
    return ["## Wrong predictions", f"{found}.", markdown_table(errors.set_index("id"))]


def list_errors(folder: str | Path) -> str:
    """Give the wrong predictions of a written report as text for the console.

    Arguments
    ---------
    folder : str | Path
        The folder of the report.

    Returns
    -------
    str
        One line each, and how many there are.

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
