"""From the files of a corpus to checked utterances with the labels of an experiment."""

from collections.abc import Mapping

from speechbrain.utils.distributed import if_main_process

from ser_lib.corpora.attributes import (
    asked_attributes,
    describe_votes,
    keep_attributes,
)
from ser_lib.corpora.label_map import (
    LabelMap,
    describe_map,
    map_labels,
    mapped_counts,
    mapped_labels,
)
from ser_lib.corpora.manifest import Utterance, check_labels, validate
from ser_lib.settings import Settings


def read_utterances(settings: Settings) -> list[Utterance]:
    """Read a corpus, check it against ``corpus.yaml`` and map its labels.

    Arguments
    ---------
    settings : Settings
        ``read_corpus``, ``corpus``, ``data_folder``, ``label_map``, ``labels``, and
        ``tasks``, which names the attributes to keep.

    Raises
    ------
    ValueError
        If the corpus does not match ``corpus.yaml``, or ``label_map`` or ``labels`` do
        not match its labels.
    """
    utterances = with_all_attributes(settings)
    names = asked_attributes(settings["tasks"], settings["labels"])
    summary = describe_votes(utterances, names)
    if summary and if_main_process():
        print(summary)
    return keep_attributes(utterances, names)


def with_all_attributes(settings: Settings) -> list[Utterance]:
    """Read a corpus as :func:`read_utterances` does, and keep all attributes."""
    corpus, label_map = settings["corpus"], settings["label_map"]
    expected = protocol(settings)  # first: it finds a wrong label map
    utterances = settings["read_corpus"]()
    check_labels(utterances, corpus["labels"])
    summary = describe_map(utterances, corpus["labels"], label_map)
    if summary and if_main_process():
        print(summary)
    utterances = map_labels(utterances, corpus["labels"], label_map)
    validate(utterances, expected, settings["data_folder"])
    return utterances


def protocol(settings: Settings) -> dict:
    """Return the block ``corpus`` with the labels and counts after mapping.

    Raises
    ------
    ValueError
        If ``labels`` are not those after mapping, in any order.
    """
    corpus, labels = settings["corpus"], settings["labels"]
    mapped = mapped_corpus(corpus, settings["label_map"])
    _check_labels(labels, mapped["labels"])
    return mapped | {"labels": labels}


def mapped_corpus(corpus: Mapping, label_map: LabelMap) -> dict:
    """Return a block ``corpus`` with its labels and counts mapped."""
    labels = mapped_labels(corpus["labels"], label_map)
    counts = mapped_counts(corpus.get("counts") or {}, corpus["labels"], label_map)
    return {**corpus, "labels": labels, "counts": counts}


def _check_labels(labels: list, expected: list[str]) -> None:
    if len(labels) != len(expected) or set(labels) != set(expected):
        raise ValueError(
            f"labels is {labels}; expected each label of the corpus once: {expected}. "
            f"Put numbers in quotation marks: --labels \"['1', '2']\"."
        )
