"""Utterances without a label of their own, for training on annotators' votes.

The annotators of IEMOCAP do not agree on a quarter of its utterances, and agree on a
label outside the protocol for others. ``utterances: all`` adds them to the training
parts, where their votes are soft labels. Validation and test parts stay as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ser_lib.corpora.attributes import VOTES, mapped_votes, number_of_votes
from ser_lib.corpora.label_map import LabelMap, new_labels
from ser_lib.corpora.manifest import Utterance
from ser_lib.settings import Settings

_CHOICES = ("labelled", "all")


@dataclass(frozen=True)
class WithoutMajority(Utterance):
    """An utterance that is for training only; its label is the one most voted for."""


def uses_all(settings: Settings) -> bool:
    """Return whether ``utterances`` is ``all``.

    Raises
    ------
    ValueError
        If it is something else, or if no task trains on votes.
    """
    choice = settings["utterances"]
    if choice not in _CHOICES:
        raise ValueError(
            f"utterances is {choice!r}; expected one of {', '.join(_CHOICES)}."
        )
    if choice == "labelled":
        return False
    emotion = settings["tasks"].get("emotion") or {}
    if emotion.get("kind") != "distribution":
        raise ValueError(
            "utterances is all, which adds utterances without a majority label. They "
            "can be trained on by their votes only: give --tasks "
            '"{emotion: {kind: distribution}}".'
        )
    return True


def most_voted(
    utterances: Sequence[Utterance], labels: Sequence[str], label_map: LabelMap
) -> list[WithoutMajority]:
    """Label the utterances that a label map leaves out by their votes.

    Arguments
    ---------
    utterances : Sequence[Utterance]
        With the labels of the corpus.
    labels, label_map
        See ``label_map.mapped_labels``.

    Returns
    -------
    list[WithoutMajority]
        Those with a vote for a label that is not left out. If several labels have most
        votes, the first in the order of the corpus is taken.

    Example
    -------
    >>> votes = {"votes_sad": "1", "votes_angry": "1", "votes_bored": "1"}
    >>> row = Utterance("a", "", "bored", "1", 1.5, attributes=votes)
    >>> most_voted([row], ["angry", "sad", "bored"], {"bored": None})[0].label
    'angry'
    """
    new = new_labels(labels, label_map)
    remaining = [label for label in dict.fromkeys(new.values()) if label is not None]
    added = []
    for u in utterances:
        if new[u.label] is None:
            own: Mapping = vars(u) | {"attributes": mapped_votes(u, new)}
            moved = WithoutMajority(**own)
            n = {x: number_of_votes(moved, f"{VOTES}{x}") for x in remaining}
            first = max(remaining, key=n.__getitem__)
            if n[first]:
                added.append(WithoutMajority(**own | {"label": first}))
    return added
