"""Label maps: merge labels of a corpus, or leave them out.

The setting ``label_map`` names the labels to change; the others stay as they are::

    label_map: {calm: neutral, boredom: null}   # merge calm into neutral, drop boredom
    label_map: shared                           # the vocabulary of recipes/labels.yaml

A parser returns the labels of the release. They are counted, and mapped afterwards.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from ser_lib.corpora.attributes import mapped_votes
from ser_lib.corpora.manifest import Utterance
from ser_lib.settings import RECIPES, Settings

LabelMap = Mapping[str, str | None] | str


def mapped_labels(labels: Sequence[str], label_map: LabelMap) -> list[str]:
    """Return the labels that remain after mapping, in the order of the corpus.

    Arguments
    ---------
    labels : Sequence[str]
        The labels of the corpus.
    label_map : LabelMap
        Label -> the label that it counts as, or None to leave it out; or ``"shared"``.

    Raises
    ------
    ValueError
        If the map names a label that the corpus does not have (unless it leaves out one
        of the shared vocabulary), or fewer than two labels remain.

    Example
    -------
    >>> mapped_labels(["calm", "sad", "bored"], {"calm": "neutral", "bored": None})
    ['neutral', 'sad']
    """
    new = new_labels(labels, label_map)
    remaining = [label for label in dict.fromkeys(new.values()) if label is not None]
    if len(remaining) < 2:
        raise ValueError(
            f"label_map {dict(new)} leaves the labels {remaining}; expected at least "
            f"two to distinguish."
        )
    return remaining


def new_labels(labels: Sequence[str], label_map: LabelMap) -> dict[str, str | None]:
    """Return what each label of a corpus becomes; see :func:`mapped_labels`."""
    if label_map == "shared":
        label_map = shared_label_map(labels)
    wrong = [name for name in label_map.values() if not _is_label(name)]
    if wrong:
        raise ValueError(
            f"label_map has the new label {wrong[0]!r}; expected text, or null to "
            f"leave a label out."
        )
    unknown = [label for label in label_map if label not in labels]
    # Joined corpora may lack a label of the shared vocabulary that is left out anyway.
    unknown = [x for x in unknown if label_map[x] or x not in shared_vocabulary()]
    if unknown:
        raise ValueError(
            f"label_map names {', '.join(map(str, unknown))}, which the corpus does "
            f"not have; its labels are {', '.join(labels)}."
        )
    return {label: label_map.get(label, label) for label in labels}


def map_labels(
    utterances: Sequence[Utterance], labels: Sequence[str], label_map: LabelMap
) -> list[Utterance]:
    """Replace the labels of utterances; those whose label is left out are dropped.

    Votes of annotators are mapped as the labels are, see ``attributes.mapped_votes``.
    Arguments are those of :func:`mapped_labels`.

    Example
    -------
    >>> rows = [Utterance(s, "", s, "A", 1.0) for s in ("calm", "sad", "bored")]
    >>> new = {"calm": "neutral", "bored": None}
    >>> [u.label for u in map_labels(rows, ["calm", "sad", "bored"], new)]
    ['neutral', 'sad']
    """
    new = new_labels(labels, label_map)
    return [
        replace(u, label=new[u.label], attributes=mapped_votes(u, new))
        for u in utterances
        if new[u.label] is not None
    ]


def mapped_counts(
    counts: Mapping[str, int], labels: Sequence[str], label_map: LabelMap
) -> dict[str, int]:
    """Add up the expected counts of the labels that are merged.

    Example
    -------
    >>> mapped_counts({"calm": 8, "sad": 4}, ["calm", "sad"], {"calm": "sad"})
    {'sad': 12}
    """
    total: Counter[str] = Counter()
    for label, new in new_labels(labels, label_map).items():
        if new is not None and label in counts:
            total[new] += counts[label]
    return dict(total)


def describe_map(
    utterances: Sequence[Utterance], labels: Sequence[str], label_map: LabelMap
) -> str:
    """Say how many utterances a map merges and leaves out; empty if it changes none.

    Arguments
    ---------
    utterances : Sequence[Utterance]
        With the labels of the corpus.
    labels, label_map
        See :func:`mapped_labels`.

    Example
    -------
    >>> rows = [Utterance(s, "", s, "A", 1.0) for s in ("calm", "sad", "bored")]
    >>> new = {"calm": "sad", "bored": None}
    >>> print(describe_map(rows, ["calm", "sad", "bored"], new))
    Label map: 1 calm count as sad. Left out: 1 bored.
    """
    n = Counter(u.label for u in utterances)
    new = new_labels(labels, label_map)
    changed = {k: v for k, v in new.items() if v != k and n[k]}
    merged = [f"{n[k]} {k} count as {v}" for k, v in changed.items() if v is not None]
    left_out = [f"{n[k]} {k}" for k, v in changed.items() if v is None]
    sentences = [", ".join(merged)] if merged else []
    sentences += [f"Left out: {', '.join(left_out)}"] if left_out else []
    return f"Label map: {'. '.join(sentences)}." if sentences else ""


def shared_label_map(labels: Sequence[str]) -> dict[str, str | None]:
    """Map labels to the shared vocabulary of ``recipes/labels.yaml``.

    Raises
    ------
    ValueError
        If the vocabulary has no entry for a label.

    Example
    -------
    >>> shared_label_map(["anger", "joy", "boredom", "sad"])
    {'anger': 'angry', 'joy': 'happy', 'boredom': None}
    """
    vocabulary, synonyms = _shared()
    unknown = [x for x in labels if x not in vocabulary and x not in synonyms]
    if unknown:
        raise ValueError(
            f"The shared vocabulary has no entry for {', '.join(unknown)}; expected "
            f"one of {', '.join(vocabulary)}, or one of the synonyms in "
            f"recipes/labels.yaml. Add it there."
        )
    return {label: synonyms[label] for label in labels if label in synonyms}


def shared_vocabulary() -> list[str]:
    """Return the labels of the shared vocabulary, in their order."""
    return _shared()[0]


@lru_cache
def _shared() -> tuple[list[str], dict[str, str | None]]:
    shared = Settings.from_file(RECIPES / "labels.yaml")
    return shared["vocabulary"], shared["synonyms"]


def _is_label(name: object) -> bool:
    return name is None or (isinstance(name, str) and name.strip() != "")
