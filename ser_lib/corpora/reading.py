"""From the files of a corpus to checked utterances with the labels of an experiment."""

from speechbrain.utils.distributed import if_main_process

from ser_lib.corpora.label_map import describe_map, map_labels, mapped_counts
from ser_lib.corpora.manifest import Utterance, check_durations, validate
from ser_lib.settings import Settings


def read_utterances(settings: Settings) -> list[Utterance]:
    """Read a corpus, check it against ``corpus.yaml`` and map its labels.

    Arguments
    ---------
    settings : Settings
        ``read_corpus``, ``corpus``, ``data_folder``, ``label_map`` and ``labels``.

    Raises
    ------
    ValueError
        If the corpus does not match ``corpus.yaml``, or ``label_map`` or ``labels`` do
        not match its labels.
    """
    corpus, label_map = settings["corpus"], settings["label_map"]
    utterances = settings["read_corpus"]()
    validate(utterances, corpus, settings["data_folder"])
    summary = describe_map(utterances, corpus["labels"], label_map)
    if summary and if_main_process():
        print(summary)
    utterances = map_labels(utterances, corpus["labels"], label_map)
    check_durations(utterances, corpus["min_duration_s"])
    _check_labels(settings["labels"], {u.label for u in utterances})
    return utterances


def protocol(settings: Settings) -> dict:
    """Return the block ``corpus`` with the labels and counts after mapping."""
    corpus, label_map = settings["corpus"], settings["label_map"]
    counts = mapped_counts(corpus["counts"], corpus["labels"], label_map)
    return {**corpus, "labels": settings["labels"], "counts": counts}


def _check_labels(labels: list, found: set[str]) -> None:
    if len(labels) != len(found) or set(labels) != found:
        raise ValueError(
            f"labels is {labels}; expected each label of the corpus once: "
            f"{sorted(found)}. Put numbers in quotation marks: --labels \"['1', '2']\"."
        )
