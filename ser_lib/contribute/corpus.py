"""What the recipe says of a corpus: its folds and how its folder looks."""

import textwrap
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ser_lib.corpora import new_labels, ravdess
from ser_lib.settings import Settings


class CorpusFacts(NamedTuple):
    """What the templates need to know of a corpus.

    Arguments
    ---------
    prepare_module : str
        The script that writes the annotations, without its suffix.
    folder_hint : str
        A data folder, for the examples.
    folds_comment, protocol : str
        What the folds are, in a few words and in a sentence.
    n_folds : int
        Their number.
    listed : bool
        Whether SpeechBrain has recipes for the corpus.
    preparation : dict
        Variables of the template of ``prepare_module``.
    """

    prepare_module: str
    folder_hint: str
    folds_comment: str
    protocol: str
    n_folds: int
    listed: bool
    preparation: dict[str, Any]


def corpus_name(settings: Settings) -> str:
    """Return the name of the corpus of an experiment."""
    if "corpora" in settings:
        return "several corpora"
    if "csv" in settings:
        return "a table of recordings"
    return settings["corpus"]["name"]


def corpus_facts(settings: Settings) -> CorpusFacts:
    """Return what the templates need to know of the corpus of an experiment.

    Raises
    ------
    ValueError
        If there is no template for the corpus or its folds.
    """
    experiment = settings["experiment"]
    name = corpus_name(settings)
    if name not in _FACTS:
        raise ValueError(
            f"{experiment} is on {name}, for which there is no SpeechBrain recipe to "
            f"write; expected {' or '.join(_FACTS)}."
        )
    corpus = settings["corpus"]
    make_folds, facts = _FACTS[corpus["name"]]
    if make_folds not in settings.unresolved()["make_folds"]:
        raise ValueError(
            f"{experiment} does not use the folds of recipes/{corpus['name']}/"
            f"corpus.yaml ({make_folds}); a SpeechBrain recipe has no others."
        )
    return facts(corpus, new_labels(corpus["labels"], settings["label_map"]))


def _iemocap(corpus: Mapping, labels: Mapping[str, str | None]) -> CorpusFacts:
    if not corpus["part_digests"]:
        raise ValueError(
            "part_digests of IEMOCAP is null; expected those of SUPERB's folds."
        )
    dialogs = " ".join(" ".join(names) for names in corpus["dialog_order"].values())
    return CorpusFacts(
        prepare_module="iemocap_prepare",
        folder_hint="/path/to/IEMOCAP_full_release",
        folds_comment="number of the session to test on, 1 to 5",
        protocol=(
            "The five folds are those of [SUPERB](https://arxiv.org/abs/2105.01051): "
            "fold k tests on session k, and a random 20 % of the other sessions are "
            "for validation."
        ),
        n_folds=len(corpus["dialog_order"]),
        listed=True,
        preparation={
            "emotions": {old: new for old, new in labels.items() if new is not None},
            "dialogs": "\n".join(textwrap.wrap(dialogs, 78)),
            "part_digests": corpus["part_digests"],
        },
    )


def _ravdess(corpus: Mapping, labels: Mapping[str, str | None]) -> CorpusFacts:
    codes = {code: labels.get(name) for code, name in ravdess.EMOTIONS.items()}
    counts = corpus["counts"]
    return CorpusFacts(
        prepare_module="ravdess_prepare",
        folder_hint="/path/to/Audio_Speech_Actors_01-24",
        folds_comment="1 to 6",
        protocol=(
            "The six folds have no speaker in two parts. The test actors are those of "
            "[EmoBox](https://github.com/emo-box/EmoBox); two others are for "
            "validation."
        ),
        n_folds=len(corpus["folds"]),
        listed=False,
        preparation={
            "emotions": {code: new for code, new in codes.items() if new is not None},
            "n_recordings": sum(counts[x] for x in counts if labels.get(x)),
            "folds": corpus["folds"],
        },
    )


# By corpus: the function in make_folds that the template copies, and the facts.
_FACTS: dict[str, tuple[str, Callable[..., CorpusFacts]]] = {
    "IEMOCAP": ("!name:ser_lib.folds.superb_folds", _iemocap),
    "RAVDESS": ("!name:ser_lib.folds.speaker_folds", _ravdess),
}
