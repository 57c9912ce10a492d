"""Adapt to few or many recordings of each test speaker, and score the others."""

import copy
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from ser_lib.adaptation_curve.pooled_fold import PooledFold
from ser_lib.evaluation import reliability, scores_by
from ser_lib.settings import EMOTION
from ser_lib.upstreams import joined_moments
from ser_lib.utils.command import raise_if_interrupted
from ser_lib.utils.digests import digest
from ser_lib.utils.progress import Progress

PLAIN, ALL, CORPUS = "0", "all", "corpus"
N_RECORDINGS = (1, 2, 5, 10, 20, 50)
ADAPTED_TO = (PLAIN, *map(str, N_RECORDINGS), ALL, CORPUS)
N_DRAWS = 10
ALL_CORPORA = "all corpora"
COLUMNS = [
    *("corpus", "prior_s", "adapted_to", "UA", "low", "high"),
    *("n_speakers", "n_utterances", "calibration_error"),
]


class Trial(NamedTuple):
    """Which recordings a model is adapted to, and which it then classifies.

    Arguments
    ---------
    adapted_to : str
        One of ``ADAPTED_TO``.
    recordings, classified : Sequence[int]
        Indices of the utterances of a fold; no recordings leave the model as it is.
    """

    adapted_to: str
    recordings: Sequence[int]
    classified: Sequence[int]


def trials(fold: PooledFold) -> Iterator[Trial]:
    """Yield what is adapted and classified in a fold.

    For 1 to 50 recordings, ``N_DRAWS`` times at random; more recordings contain the
    fewer of the same draw. A speaker with fewer than 2 n recordings is not adapted
    to n. "all" and "corpus" classify the recordings that they are adapted to.
    """
    everyone = range(len(fold.utterances))
    yield Trial(PLAIN, [], everyone)
    for own in _grouped([u.corpus for u in fold.utterances]).values():
        yield Trial(CORPUS, own, own)
    speakers = [(u.corpus, u.speaker) for u in fold.utterances]
    for speaker, own in _grouped(speakers).items():
        yield Trial(ALL, own, own)
        ordered = sorted(own, key=lambda i: fold.utterances[i].id)
        generator = np.random.default_rng(int(digest(speaker), 16))
        for _ in range(N_DRAWS):
            drawn = [ordered[i] for i in generator.permutation(len(ordered))]
            for n in N_RECORDINGS:
                if len(own) >= 2 * n:
                    yield Trial(str(n), drawn[:n], drawn[n:])


def _grouped(keys: Sequence) -> dict:
    groups: dict = {}
    for i, key in enumerate(keys):
        groups.setdefault(key, []).append(i)
    return groups


@torch.no_grad()
def classify(fold: PooledFold, trial: Trial, prior_s: float) -> np.ndarray:
    """Adapt a model and classify; return (classified, labels) probabilities."""
    standardisers = fold.standardisers
    if trial.recordings:
        standardisers = _adapted(fold, trial.recordings, prior_s)
    classified = list(trial.classified)
    statistics = {
        name: torch.stack([s.mean, s.sd]).expand(len(classified), -1, -1)
        for name, s in standardisers.items()
    }
    pooled = [
        branch.standardise(values[classified], statistics)
        for branch, values in zip(fold.downstream.branches, fold.pooled, strict=True)
    ]
    logits = fold.downstream.split(fold.downstream(pooled))[EMOTION]
    return (logits / fold.temperature).softmax(-1).double().numpy()


def _adapted(
    fold: PooledFold, recordings: Sequence[int], prior_s: float
) -> nn.ModuleDict:
    standardisers = copy.deepcopy(fold.standardisers)
    for name, standardiser in standardisers.items():
        moments = joined_moments(fold.moments[name][list(recordings)])
        standardiser.adapt(moments, prior_s * fold.frames_per_s[name])
    return standardisers


def measure_curve(
    folds: Sequence[PooledFold], priors_s: Sequence[float]
) -> pd.DataFrame:
    """Compute the rows of ``adaptation.csv``.

    Arguments
    ---------
    folds : Sequence[PooledFold]
        The folds of a run, which are pooled.
    priors_s : Sequence[float]
        Speech like that of the training part that is added to the recordings.

    Returns
    -------
    pd.DataFrame
        The columns ``COLUMNS``, a row for each corpus and for all together. ``UA`` and
        the ends of its 95 % interval (drawing test speakers) are over the answers of
        all draws together, in percent, as is the expected calibration error.
        ``prior_s`` is empty if the model is not adapted.
    """
    labels, rows = folds[0].labels, []
    every = [(fold, trial) for fold in folds for trial in trials(fold)]
    plain = [pair for pair in every if pair[1].adapted_to == PLAIN]
    adapted = [pair for pair in every if pair[1].adapted_to != PLAIN]
    total = len(plain) + len(priors_s) * len(adapted)
    with Progress("adapting", total, "adaptations") as bar:
        for prior_s, pairs in [(None, plain), *((p, adapted) for p in priors_s)]:
            answers = []
            for fold, trial in pairs:
                raise_if_interrupted()
                answers.append(_answers(fold, trial, prior_s or 0.0))
                bar.update()
            table = pd.concat(answers, ignore_index=True)
            rows += [row | {"prior_s": prior_s} for row in _rows(table, labels)]
    return pd.DataFrame(rows, columns=COLUMNS).round(2)


def _answers(fold: PooledFold, trial: Trial, prior_s: float) -> pd.DataFrame:
    probabilities = classify(fold, trial, prior_s)
    utterances = [fold.utterances[i] for i in trial.classified]
    return pd.DataFrame(
        {
            "adapted_to": trial.adapted_to,
            "corpus": [u.corpus or fold.corpus for u in utterances],
            "id": [u.id for u in utterances],
            "speaker": [u.speaker for u in utterances],
            "label": [u.label for u in utterances],
            "prediction": [fold.labels[i] for i in probabilities.argmax(1)],
            "confidence": probabilities.max(1),
        }
    )


def _rows(answers: pd.DataFrame, labels: Sequence[str]) -> list[dict]:
    """Score the answers of one prior."""
    if answers["corpus"].nunique() > 1:
        joined = answers.assign(corpus=ALL_CORPORA)
        answers = pd.concat([answers, joined], ignore_index=True)
    rows = []
    for name in ADAPTED_TO:
        own = answers[answers["adapted_to"] == name]
        if own.empty:
            continue
        parts = dict(list(own.groupby("corpus")))
        for score in scores_by("corpus", own, labels).to_dict("records"):
            part = parts[score["corpus"]]
            is_correct = (part["label"] == part["prediction"]).to_numpy()
            error = reliability(part["confidence"].to_numpy(), is_correct).error
            rows.append(
                {
                    "corpus": score["corpus"],
                    "adapted_to": name,
                    "UA": score["UA"],
                    "low": score["UA_low"],
                    "high": score["UA_high"],
                    "n_speakers": part["speaker"].nunique(),
                    "n_utterances": part["id"].nunique(),
                    "calibration_error": 100 * error,
                }
            )
    return rows
