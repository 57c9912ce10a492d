#!/usr/bin/env python3
"""The baseline for every encoder: openSMILE functionals and a linear SVM.

python -m pip install -r extra_requirements.txt
python opensmile_svm.py --data_folder DATA
python opensmile_svm.py --data_folder DATA --features eGeMAPSv02

One vector per utterance holds the mean, deviation, percentiles and so on of pitch,
loudness, spectrum and voice quality: 6,373 numbers in ComParE_2016 (Schuller et al.,
2016, https://doi.org/10.21437/Interspeech.2016-129), 88 in eGeMAPSv02 (Eyben et al.,
2016, https://doi.org/10.1109/TAFFC.2015.2457417). They are scaled to mean 0 and
deviation 1 over the training part. C of the SVM is chosen by accuracy on the validation
part. The rows are written to results.csv in the output folder; ``--results
results.csv`` also adds them to the one in this folder. openSMILE's licence allows
research and evaluation.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ser_lib.audio import read_audio
from ser_lib.corpora import Utterance
from ser_lib.evaluation import FoldResult, compute_scores, merge_results, result_rows
from ser_lib.experiment import prepare
from ser_lib.folds import Fold
from ser_lib.settings import Settings
from ser_lib.utils.command import run_command
from ser_lib.utils.command_line import CommandParser, path_argument
from ser_lib.utils.files import atomic_path
from ser_lib.utils.progress import with_progress
from ser_lib.utils.text_tables import plain_table

HERE = Path(__file__).resolve().parent
COSTS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
Vectors = Mapping[str, np.ndarray]


def compute_features(
    utterances: Sequence[Utterance], data_folder: Path, features: str, path: Path
) -> Vectors:
    """Compute the functionals of each utterance, by id, or read them from ``path``.

    Arguments
    ---------
    features : str
        openSMILE's name of the feature set.
    path : Path
        An ``.npz`` file that caches them.

    Raises
    ------
    ModuleNotFoundError
        If openSMILE is not installed.
    """
    try:
        import opensmile
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "openSMILE is missing: python -m pip install -r extra_requirements.txt"
        ) from error
    if path.is_file():
        found = dict(np.load(path))
        if found.keys() == {u.id for u in utterances}:
            return found
    smile = opensmile.Smile(opensmile.FeatureSet[features])
    vectors = {}
    for u in with_progress(utterances, features, "files"):
        wav = read_audio(data_folder / u.path, 16000).numpy()
        vectors[u.id] = smile.process_signal(wav, 16000).to_numpy()[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as unfinished, unfinished.open("wb") as f:
        np.savez(f, **vectors)
    return vectors


def predict_fold(fold: Fold, vectors: Vectors) -> tuple[pd.DataFrame, float, float]:
    """Choose C on the validation part, then predict the test part.

    Returns
    -------
    pd.DataFrame
        Columns id, speaker, label and prediction.
    float
        The chosen C; the smallest of equally good ones.
    float
        Its validation accuracy, from 0 to 1.
    """
    models = {c: _fit(fold.train, vectors, c) for c in COSTS}
    accuracy = {c: _accuracy(model, fold.valid, vectors) for c, model in models.items()}
    best = max(accuracy, key=accuracy.get)
    rows = [{"id": u.id, "speaker": u.speaker, "label": u.label} for u in fold.test]
    predictions = models[best].predict([vectors[u.id] for u in fold.test])
    return pd.DataFrame(rows).assign(prediction=predictions), best, accuracy[best]


def _fit(part: Sequence[Utterance], vectors: Vectors, cost: float) -> Pipeline:
    model = make_pipeline(StandardScaler(), SVC(C=cost, kernel="linear"))
    return model.fit([vectors[u.id] for u in part], [u.label for u in part])


def _accuracy(model: Pipeline, part: Sequence[Utterance], vectors: Vectors) -> float:
    return model.score([vectors[u.id] for u in part], [u.label for u in part])


def main(arguments: Sequence[str]) -> None:
    """Run all folds and print their table."""
    parser = CommandParser("", __doc__)
    parser.add_argument("--data_folder", type=path_argument, required=True)
    parser.add_argument(
        "--features", choices=["ComParE_2016", "eGeMAPSv02"], default="ComParE_2016"
    )
    parser.add_argument("--results_folder", type=path_argument, default=Path("results"))
    parser.add_argument(
        "--results", type=path_argument, help="a results.csv to add the rows to"
    )
    options = parser.parse_args(arguments)
    experiment = f"opensmile_{options.features}_svm"
    overrides = {
        "data_folder": str(options.data_folder),
        "experiment": experiment,
        "results_folder": str(options.results_folder),
    }
    settings = Settings.from_file(HERE / "hparams" / "fbank_ecapa.yaml", overrides)
    folds, labels = prepare(settings), settings["labels"]
    utterances = [*folds[0].train, *folds[0].valid, *folds[0].test]
    path = Path(settings["cache_folder"]) / f"opensmile_{options.features}.npz"
    vectors = compute_features(utterances, options.data_folder, options.features, path)
    results = []
    for fold in folds:
        table, cost, accuracy = predict_fold(fold, vectors)
        print(f"Fold {fold.number}: C = {cost}, validation accuracy {accuracy:.3f}")
        run = experiment, settings["corpus"]["name"], settings["seed"], fold.number
        found = compute_scores(table, labels)
        results.append(
            FoldResult(*run, "", [], [], "no", [], table, pd.DataFrame(), found)
        )
    rows = result_rows(results)
    merge_results(Path(settings["output_folder"]) / "results.csv", rows)
    if options.results is not None:
        merge_results(options.results, rows)
    print(plain_table(rows.set_index("fold")[["n", "WA", "UA", "macro_F1"]]))
    print("In percent. pooled: over all utterances, not the mean of the folds.")


if __name__ == "__main__":
    run_command(main)
