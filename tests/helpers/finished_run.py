"""A finished run, small enough to recompute by hand, for the tests of the report."""

import json
from pathlib import Path

import pandas as pd

from ser_lib.evaluation import write_predictions

LABELS = ["sad", "angry"]


def write_fold(
    output_folder: Path, fold: int, predicted: str = "saaa", **fold_info: object
) -> None:
    """Write a fold of two speakers with the true labels s s a a.

    ``predicted`` has one letter per utterance; by default, half of "sad" and all of
    "angry" are correct. ``fold_info`` replaces entries of fold.json.
    """
    names = {"s": "sad", "a": "angry"}
    rows = [
        {
            "id": f"{fold}-{i}",
            "speaker": f"{fold}{'MF'[i % 2]}",
            "label": names["ssaa"[i]],
            "prediction": names[letter],
            "p_sad": 0.75 if letter == "s" else 0.25,
            "p_angry": 0.25 if letter == "s" else 0.75,
        }
        for i, letter in enumerate(predicted)
    ]
    folder = output_folder / f"fold_{fold}"
    write_predictions(folder / "predictions.csv", pd.DataFrame(rows), LABELS)
    history = {
        "epoch": [1, 2, 3],
        "train_loss": [0.9, 0.7, 0.6],
        "valid_loss": [0.8, 0.7, 0.75],
        "valid_accuracy": [0.5, 0.75, 0.7],
        "lr": [1e-4, 1e-4, 5e-5],
    }
    pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
    fold_info = {
        "experiment": "mean_pooling",
        "corpus": "TOY",
        "seed": 1986,
        "fold": fold,
        "settings_key": "key",
        "averaged_epochs": [2, 3],
        "valid_accuracy": [0.75, 0.7],
        **fold_info,
    }
    (folder / "fold.json").write_text(json.dumps(fold_info))
