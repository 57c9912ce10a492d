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
from ser_lib.corpora.manifest import (
    Utterance,
    check_counts,
    check_labels,
    validate,
)
from ser_lib.corpora.tasks import check_targets
from ser_lib.corpora.without_majority import most_voted, uses_all
from ser_lib.settings import Settings, read_tasks


def read_utterances(settings: Settings) -> list[Utterance]:
    """Read a corpus, check it against ``corpus.yaml`` and map its labels.

    Arguments
    ---------
    settings : Settings
        ``read_corpus``, ``corpus``, ``data_folder``, ``label_map``, ``labels``,
        ``utterances``, and ``tasks``, which names the attributes to keep.

    Returns
    -------
    list[Utterance]
        If ``utterances`` is ``all``, those without a majority label come last.

    Raises
    ------
    ValueError
        If the corpus does not match ``corpus.yaml``, ``label_map`` or ``labels`` do not
        match its labels, or the target of a task is wrong.
    """
    tasks = read_tasks(settings)
    utterances = with_all_attributes(settings)
    names = asked_attributes(settings["tasks"], settings["labels"])
    summaries = [describe_votes(utterances, names), *check_targets(tasks, utterances)]
    if if_main_process():
        for summary in filter(None, summaries):
            print(summary)
    return keep_attributes(utterances, names)


def with_all_attributes(settings: Settings) -> list[Utterance]:
    """Read a corpus as :func:`read_utterances` does, and keep all attributes."""
    corpus, label_map = settings["corpus"], settings["label_map"]
    expected = protocol(settings)  # first: it finds a wrong label map
    adds_others = uses_all(settings)
    found = settings["read_corpus"]()
    check_labels(found, corpus["labels"])
    summary = describe_map(found, corpus["labels"], label_map)
    if summary and if_main_process():
        print(summary)
    utterances = map_labels(found, corpus["labels"], label_map)
    if adds_others:
        check_counts(found, corpus["counts"] or {}, settings["data_folder"])
        others = most_voted(found, corpus["labels"], label_map)
        n_without = len(found) - len(utterances) - len(others)
        utterances += others
        if if_main_process():
            print(
                f"utterances is all: {len(others):,} of those left out have a vote for "
                f"{', '.join(settings['labels'])} and are added to the training parts; "
                f"{n_without:,} have none."
            )
    validate(utterances, expected, settings["data_folder"])
    return utterances


def protocol(settings: Settings) -> dict:
    """Return the block ``corpus`` with the labels and counts after mapping.

    If ``utterances`` is ``all``, folds have no expected counts, because their training
    parts differ in size; the counts of the release are checked when it is read.

    Raises
    ------
    ValueError
        If ``labels`` are not those after mapping, in any order.
    """
    corpus, labels = settings["corpus"], settings["labels"]
    mapped = mapped_corpus(corpus, settings["label_map"])
    _check_labels(labels, mapped["labels"])
    counts = {} if uses_all(settings) else mapped["counts"]
    return mapped | {"labels": labels, "counts": counts}


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
