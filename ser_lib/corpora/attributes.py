"""Attributes: what a corpus says of an utterance besides its emotion.

The setting ``tasks`` names those that an experiment uses. Only these reach the folds,
so an experiment without tasks has the manifests and digests that it always had.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ser_lib.corpora.manifest import Utterance

VOTES = "votes_"  # before a label: how many annotators chose it, or which share


def asked_attributes(tasks: Mapping[str, Mapping], labels: Sequence[str]) -> list[str]:
    """Return the attributes that tasks need.

    Arguments
    ---------
    tasks : Mapping[str, Mapping]
        The setting ``tasks``: task -> ``kind`` and perhaps ``column``.
    labels : Sequence[str]
        The labels of the experiment.

    Example
    -------
    >>> tasks = {"emotion": {"kind": "distribution"}, "sex": {"column": "gender"}}
    >>> asked_attributes(tasks, ["angry", "sad"])
    ['votes_angry', 'votes_sad', 'gender']
    """
    names: list[str] = []
    for task, block in tasks.items():
        if block.get("kind") == "distribution":
            names += [f"{VOTES}{label}" for label in labels]
        elif task != "emotion" or "column" in block:  # else it is the label
            names.append(block.get("column", task))
    return list(dict.fromkeys(names))


def keep_attributes(
    utterances: Sequence[Utterance], names: Sequence[str]
) -> list[Utterance]:
    """Reduce the attributes of utterances to those named, in this order.

    Example
    -------
    >>> row = Utterance("a", "", "sad", "1", 1.5, attributes={"age": "23", "a": "b"})
    >>> keep_attributes([row], ["gender", "age"])[0].attributes
    {'age': '23'}
    """
    return [
        replace(u, attributes={n: u.attributes[n] for n in names if n in u.attributes})
        for u in utterances
    ]
