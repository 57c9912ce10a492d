"""Attributes: what a corpus says of an utterance besides its emotion.

The setting ``tasks`` names those that an experiment uses. Only these reach the folds,
so an experiment without tasks has the manifests and digests that it always had.
"""

import math
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
        elif task != "emotion":  # its target is the label
            names.append(block.get("column", task))
    return list(dict.fromkeys(names))


def keep_attributes(
    utterances: Sequence[Utterance], names: Sequence[str]
) -> list[Utterance]:
    """Reduce the attributes of utterances to those named, in this order.

    Votes are kept together: a label that an utterance has no vote for gets a 0, and an
    utterance without any vote for these labels has none of these attributes.

    Example
    -------
    >>> votes = {"votes_sad": "2", "votes_bored": "1", "age": "23"}
    >>> row = Utterance("a", "", "sad", "1", 1.5, attributes=votes)
    >>> keep_attributes([row], ["gender", "votes_calm", "votes_sad"])[0].attributes
    {'votes_calm': '0', 'votes_sad': '2'}
    """
    return [replace(u, attributes=_kept(u, names)) for u in utterances]


def _kept(utterance: Utterance, names: Sequence[str]) -> dict[str, str]:
    known = {name: value for name, value in utterance.attributes.items() if value}
    voted = {name for name in names if name.startswith(VOTES)}
    has_votes = any(number_of_votes(utterance, name) for name in voted)
    zeros = dict.fromkeys(voted, "0") if has_votes else {}
    asked = [name for name in names if has_votes or name not in voted]
    found = zeros | known
    return {name: found[name] for name in asked if name in found}


def number_of_votes(utterance: Utterance, name: str) -> float:
    """Return an attribute as a number of votes, or a share; 0 if it is absent.

    Raises
    ------
    ValueError
        If it is not a number of 0 or more.
    """
    text = utterance.attributes.get(name) or "0"
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:  # also if it is not a number
        raise ValueError(
            f"{utterance.id} has {name} = {text!r}; expected a number of votes, or a "
            f"share, of 0 or more."
        )
    return number


def mapped_votes(
    utterance: Utterance, new: Mapping[str, str | None]
) -> Mapping[str, str]:
    """Return the attributes of an utterance with its votes for other labels.

    Arguments
    ---------
    new : Mapping[str, str | None]
        Label -> what it becomes. Votes for labels that become the same are added up.
        Votes for labels that are left out (None) become ``votes_``, to be counted.

    Example
    -------
    >>> votes = {"votes_happy": "2", "votes_excited": "0.5", "votes_bored": "0.5"}
    >>> row = Utterance("a", "", "happy", "1", 1.5, attributes=votes)
    >>> mapped_votes(row, {"happy": "happy", "excited": "happy", "bored": None})
    {'votes_happy': '2.5', 'votes_': '0.5'}
    """
    names = {f"{VOTES}{old}": f"{VOTES}{to or ''}" for old, to in new.items()}
    names[VOTES] = VOTES
    mapped: dict[str, str] = {}
    for name, text in utterance.attributes.items():
        to = names.get(name, name)
        if to in mapped:
            total = float(mapped[to] or 0) + number_of_votes(utterance, name)
            text = f"{total:g}"
        elif to != name:
            number_of_votes(utterance, name)
        mapped[to] = text
    return mapped


def describe_votes(utterances: Sequence[Utterance], names: Sequence[str]) -> str:
    """Say how many votes are for the labels of the experiment.

    Arguments
    ---------
    utterances : Sequence[Utterance]
        Before :func:`keep_attributes`.
    names : Sequence[str]
        See :func:`asked_attributes`.

    Returns
    -------
    str
        A sentence; empty if no votes are asked for.
    """
    labels = [name for name in names if name.startswith(VOTES)]
    if not labels:
        return ""
    found = [{k for k in u.attributes if k.startswith(VOTES)} for u in utterances]
    total = sum(
        number_of_votes(u, k)
        for u, own in zip(utterances, found, strict=True)
        for k in own
    )
    kept = [sum(number_of_votes(u, name) for name in labels) for u in utterances]
    return (
        f"Votes: {sum(kept):,.10g} of {total:,.10g} are for "
        f"{', '.join(name.removeprefix(VOTES) for name in labels)}; the others are "
        f"left out. {kept.count(0):,} of {len(kept):,} utterances have no vote for "
        f"them."
    )
