"""What the card of a model says about its scores, and about how they came about."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ser_lib.corpora import Utterance, read_manifest
from ser_lib.evaluation import (
    FoldResult,
    calibrated_answers,
    calibration_of,
    collect,
    corpus_table,
    cross_fitted,
    fold_table,
    pool,
    reliability,
    result_rows,
    task_rows,
    task_table,
)
from ser_lib.inference import is_calibrated
from ser_lib.utils.text_tables import markdown_table, with_interval


class Evidence:
    """The finished folds that say what a model is worth.

    Arguments
    ---------
    run_folder : str | Path
        The output folder of the run that trained the model.
    measured_by : str | Path | None
        Another run with the same settings, which tested what this one did not.
    labels, settings_key
        Those of the run that trained the model.

    Raises
    ------
    ValueError
        If the other run has no finished folds with these settings, or only one.
    """

    def __init__(
        self,
        run_folder: str | Path,
        measured_by: str | Path | None,
        labels: Sequence[str],
        settings_key: str,
    ) -> None:
        self.labels, self.is_of_other_run = list(labels), measured_by is not None
        self.folder = Path(run_folder if measured_by is None else measured_by)
        self.results = collect(self.folder, labels, settings_key)
        if self.is_of_other_run:
            self._check(Path(run_folder), settings_key)

    def _check(self, run_folder: Path, settings_key: str) -> None:
        if not self.results:
            raise ValueError(
                f"{self.folder} does not measure {run_folder}: it has no finished fold "
                f"with the same settings (settings_key {settings_key}). Only the folds "
                f"may differ."
            )
        cross_fitted(self.results)

    def of(self, folds: Sequence[int]) -> list[FoldResult]:
        """Return the results of a model: of its own folds, or of another run."""
        if self.is_of_other_run:
            return self.results
        return [result for result in self.results if result.fold in folds]

    @property
    def calibration(self) -> dict:
        """Temperature and accuracies from the test parts of another run.

        Each prediction is by a model that was not trained on the recording, as in
        scikit-learn's ``CalibratedClassifierCV`` with ``ensemble=False``.
        """
        return calibration_of(pool(self.results), self.labels)


def scores_section(evidence: Evidence, folds: Sequence[int]) -> list[str]:
    """Return scores with intervals, and the tables of folds and corpora."""
    own = result_rows(evidence.of(folds))
    pooled = own[own["fold"] == "pooled"].iloc[0]
    wa, ua = with_interval(pooled, "WA"), with_interval(pooled, "UA")
    text = (
        f"{_whose(evidence, folds)} WA {wa}, UA {ua} (percent, with 95 % intervals "
        f"from drawing test speakers with replacement; they do not reflect the seed of "
        f"the training). WA is the share of correct utterances, UA the mean recall of "
        f"the classes. All finished folds of the run:"
    )
    sections = [text, markdown_table(fold_table(result_rows(evidence.results)))]
    predictions = pool(evidence.results)
    if "corpus" in predictions:
        by_corpus = corpus_table(predictions, evidence.labels)
        sections += ["By corpus, all folds together:", markdown_table(by_corpus)]
    further = task_rows(evidence.results)
    if not further.empty:
        sections += ["Its other tasks:", markdown_table(task_table(further))]
    return sections


def _whose(evidence: Evidence, folds: Sequence[int]) -> str:
    """Say what was tested, up to the scores."""
    if evidence.is_of_other_run:
        return (
            "**These weights themselves are not tested.** The scores are of models "
            "that were trained with the same settings on the folds below, each tested "
            "on the test part of its fold. Pooled:"
        )
    if len(folds) == 1:
        return f"On the test part of fold {folds[0]}:"
    return (
        "**The ensemble itself is not tested**, because every utterance of the corpus "
        "was in the training data of some members. The pooled scores of the members, "
        "each on the test part of its own fold:"
    )


def protocol_section(run_folder: Path, info: Mapping, evidence: Evidence) -> str:
    """Say how each fold was trained and tested."""
    members = {m["fold"]: m["averaged_epochs"] for m in info["members"].values()}
    tested = ", ".join(str(result.fold) for result in evidence.results)
    experiment = info["experiment"]
    text = (
        f"Experiment {experiment}, seed {info['seed']}; finished folds: {tested}. In "
        f"each fold, the weights of the best epochs by validation accuracy were "
        f"averaged; the result was tested once. To train it, run in the recipe of the "
        f"corpus: `python train.py hparams/{experiment}.yaml {_data(info)}`."
    )
    if not evidence.is_of_other_run:
        return "\n".join([text, "", *_fold_lines(run_folder, members)])
    lines = [
        f"- This model: {_trained_on(run_folder, fold)}; averaged epochs: "
        f"{_listed(epochs)}."
        for fold, epochs in members.items()
    ]
    text += (
        " This model was trained on another split of the data; where it has no "
        "validation part, the last epochs were averaged."
    )
    measured = {result.fold: result.averaged_epochs for result in evidence.results}
    return "\n".join([text, "", *lines, *_fold_lines(evidence.folder, measured)])


def _data(info: Mapping) -> str:
    """Return the option that names the data."""
    names = info["trained_on"]["name"].split(" + ")
    if len(names) == 1:
        return "--data_folder DATA"
    return '--corpora "{' + ", ".join(f"{name}: DIR" for name in names) + '}"'


def _fold_lines(run_folder: Path, epochs: Mapping[int, Sequence[int]]) -> list[str]:
    lines = []
    for fold, averaged in epochs.items():
        train, valid, test = _parts(run_folder, fold)
        speakers = ", ".join(sorted({u.speaker for u in test}))
        lines.append(
            f"- Fold {fold}: {_trained_on(run_folder, fold)}, tested on {_size(test)} "
            f"({speakers}); {_overlap(train, valid, test)}; averaged epochs: "
            f"{_listed(averaged)}."
        )
    return lines


def _trained_on(run_folder: Path, fold: int) -> str:
    train, valid, _ = _parts(run_folder, fold)
    text = f"trained on {_size(train)}"
    return f"{text}, validated on {_size(valid)}" if valid else text


def _parts(run_folder: Path, fold: int) -> list[list[Utterance]]:
    folder = run_folder / f"fold_{fold}"
    return [
        read_manifest(folder / f"{part}.csv") for part in ("train", "valid", "test")
    ]


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _overlap(
    train: Sequence[Utterance], valid: Sequence[Utterance], test: Sequence[Utterance]
) -> str:
    seen = {u.speaker for u in (*train, *valid)}
    shared = sorted({u.speaker for u in test} & seen)
    if not shared:
        return "no test speaker appears in training or validation"
    return f"{len(shared)} test speakers also appear in training or validation"


def _size(part: Sequence[Utterance]) -> str:
    speakers = len({u.speaker for u in part})
    return f"{len(part)} utterances of {speakers} speakers"


def calibration_text(
    info: Mapping, evidence: Evidence, results: Sequence[FoldResult]
) -> str:
    """Say what the probabilities are worth, as a list item."""
    if not is_calibrated(info):
        return (
            "- Its probabilities are not calibrated: 0.9 does not mean that it is "
            "right nine times out of ten."
        )
    found = cross_fitted(results) if evidence.is_of_other_run else None
    answers = calibrated_answers(results, found)
    before, after = (
        100 * reliability(answers[name], answers["is_correct"]).error
        for name in ("before", "after")
    )
    ensemble = "; the average of members is less sure" * (len(info["members"]) > 1)
    how = (
        "the predictions of the tested models, by a temperature (for this error, that "
        "of each fold was fitted to the other folds)"
        if evidence.is_of_other_run
        else "validation recordings, by a temperature"
    )
    return (
        f"- Its probabilities are calibrated on {how}. On test recordings of "
        f"{info['trained_on']['name']}, the expected calibration error is {after:.1f} "
        f"percent, without it {before:.1f}{ensemble}. On other speech, and after "
        f"adaptation, it may be larger."
    )
