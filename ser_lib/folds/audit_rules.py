"""What the split audit compares, rule by rule; see ``ser_lib/folds/audit.py``."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ser_lib.corpora import Utterance
from ser_lib.folds.fold import Fold

PAIRS = ("train-valid", "train-test", "valid-test")
# What utterances are compared by, and what one of it is called.
NOUNS = {
    "id": "utterance",
    "audio": "recording",
    "speaker": "speaker",
    "session": "session",
    "dialog": "dialog",
    "text": "text",
}
# Modality, vocal channel, emotion, intensity, statement, repetition and actor
# (https://zenodo.org/records/1188976). All but the modality name the recording.
_RAVDESS_NAME = re.compile(r"\d\d-(?P<recording>\d\d(-\d\d){5})")


@dataclass(frozen=True)
class Finding:
    """One thing that the audit found.

    Arguments
    ---------
    fold : int
        Number of the fold.
    rule : str
        What was compared (``speaker`` ...), or ``copies``, ``classes``, ``counts``.
    where : str
        A pair of parts, a part, or ``fold``.
    n : int
        How many there are of it.
    verdict : str
        ``forbidden``, ``allowed`` (by the protocol), or ``noted`` (no leak).
    message : str
        What was found, with the first ids.
    """

    fold: int
    rule: str
    where: str
    n: int
    verdict: str
    message: str


def allowed_overlaps(block: Mapping[str, Sequence[str]]) -> set[tuple[str, str]]:
    """Read the block ``allowed_overlap`` of a corpus.

    Arguments
    ---------
    block : Mapping[str, Sequence[str]]
        Field to the pairs of parts that may share it.

    Returns
    -------
    set[tuple[str, str]]
        Each field with each of its pairs.

    Raises
    ------
    ValueError
        If a field or a pair is unknown, or if the field is ``id``.

    Example
    -------
    >>> allowed_overlaps({"speaker": ["train-valid"], "text": []})
    {('speaker', 'train-valid')}
    """
    fields = [field for field in NOUNS if field != "id"]
    for field, pairs in block.items():
        if field not in fields:
            raise ValueError(
                f"allowed_overlap in corpus.yaml has {field!r}; choose from {fields}."
            )
        if isinstance(pairs, str) or set(pairs or ()) - set(PAIRS):
            raise ValueError(
                f"allowed_overlap in corpus.yaml has {field}: {pairs!r}; expected a "
                f"list of pairs from {list(PAIRS)}."
            )
    return {(field, pair) for field, p in block.items() for pair in p or ()}


def audit_fold(
    fold: Fold,
    allowed: set[tuple[str, str]],
    labels: Sequence[str],
    counts: Mapping[str, int] | None,
    validation: bool = True,
) -> list[Finding]:
    """Apply every rule to one fold.

    Arguments
    ---------
    fold : Fold
        The fold.
    allowed : set[tuple[str, str]]
        What the parts may share, as given by :func:`allowed_overlaps`.
    labels : Sequence[str]
        The classes that every part must have.
    counts : Mapping[str, int] | None
        Utterances of each class in the whole fold; not compared if None or empty.
    validation : bool
        Whether the protocol has a validation part.

    Returns
    -------
    list[Finding]
        What was found, allowed or not; empty if the parts have nothing in common.

    Example
    -------
    >>> a, b, c = (Utterance(i, "", "sad", "S" + i, 1.0) for i in "abc")
    >>> found = audit_fold(Fold(1, [a], [b], [c, b]), set(), ["sad"], {"sad": 4})
    >>> [(finding.rule, finding.where) for finding in found]
    [('id', 'valid-test'), ('speaker', 'valid-test')]
    """
    return [
        *_overlaps(fold, allowed),
        *_copies(fold),
        *_repeats(fold),
        *_missing_classes(fold, labels, validation),
        *(_wrong_counts(fold, counts) if counts else ()),
    ]


def _overlaps(fold: Fold, allowed: set[tuple[str, str]]) -> Iterator[Finding]:
    """Values that two parts have in common."""
    for field in NOUNS:
        by_value = {name: _by_value(part, field) for name, part in fold.parts.items()}
        for pair in PAIRS:
            first, second = (by_value[name] for name in pair.split("-"))
            shared = sorted(first.keys() & second.keys())
            if shared:
                verdict = "allowed" if (field, pair) in allowed else "forbidden"
                what = (
                    f"{pair.replace('-', ' and ')} share "
                    f"{counted([len(shared)], NOUNS[field])}: "
                    f"{_which(field, shared, first, second)}"
                )
                yield Finding(fold.number, field, pair, len(shared), verdict, what)


def _which(
    field: str,
    shared: list[str],
    first: Mapping[str, list[Utterance]],
    second: Mapping[str, list[Utterance]],
) -> str:
    """Name the first of the values that two parts share, and the utterances."""
    if field == "id":
        return _first(shared)
    if field == "audio":  # a hash would tell nobody anything
        twins = ((first[value][0].id, second[value][0].id) for value in shared)
        return _first(" is the same as ".join(ids) for ids in twins)
    ids = [u.id for value in shared for u in second[value]]
    later_part = f"{counted([len(ids)], 'utterance')} of the later part"
    return f"{_first(shared)} ({later_part}: {_first(ids)})"


def _copies(fold: Fold) -> Iterator[Finding]:
    """RAVDESS recordings that are there twice, within a part as well.

    Copies of RAVDESS circulate that hold the sound of the videos beside the audio
    files, or the whole tree a second time. The sound of a video was coded in another
    way, so its samples differ; its name tells.
    """
    files = defaultdict(dict)
    for u in (u for part in fold.parts.values() for u in part):
        if match := _RAVDESS_NAME.fullmatch(Path(u.path).stem):
            files[match["recording"]][u.path] = u
    copies = [list(paths) for paths in files.values() if len(paths) > 1]
    if copies:
        yield Finding(
            fold.number,
            "copies",
            "fold",
            len(copies),
            "forbidden",
            f"{counted([len(copies)], 'RAVDESS recording')} in more than one file: "
            f"{_first(' and '.join(paths) for paths in copies)}; names that begin with "
            f"01 are the sound of the videos, 03 is the audio-only file of the same "
            f"recording, and some copies of the corpus hold all actors a second time "
            f"(in audio_speech_actors_01-24); keep one file of each, that with 03",
        )


def _repeats(fold: Fold) -> Iterator[Finding]:
    """The same audio twice within a part: no leak, but good to know."""
    for name, part in fold.parts.items():
        for twins in _by_value(part, "audio").values():
            if len(twins) > 1:
                what = f"the same audio is in {_first(u.id for u in twins)}"
                yield Finding(fold.number, "audio", name, len(twins), "noted", what)


def _missing_classes(
    fold: Fold, labels: Sequence[str], validation: bool
) -> Iterator[Finding]:
    for name, part in fold.parts.items():
        if name == "valid" and not part and not validation:
            what = "by the protocol nothing is validated, and the last epoch is tested"
            yield Finding(fold.number, "classes", name, 0, "noted", what)
            continue
        found = {u.label for u in part}
        if missing := [label for label in labels if label not in found]:
            what = (
                f"the {name} part has no utterance labelled {', '.join(missing)}; "
                f"expected all of {', '.join(labels)} in every part"
            )
            yield Finding(fold.number, "classes", name, len(missing), "forbidden", what)


def _wrong_counts(fold: Fold, counts: Mapping[str, int]) -> Iterator[Finding]:
    rows = [u for part in fold.parts.values() for u in part]
    found = Counter(u.label for u in rows)
    wrong = [k for k in {**counts, **found} if counts.get(k, 0) != found[k]]
    if wrong:
        differing = (
            f"{k}: expected {counts.get(k, 0)}, found {found[k]}" for k in wrong
        )
        what = (
            f"its parts hold {len(rows)} utterances, counts in corpus.yaml say "
            f"{sum(counts.values())} ({'; '.join(differing)})"
        )
        yield Finding(fold.number, "counts", "fold", len(wrong), "forbidden", what)


def _by_value(part: Iterable[Utterance], field: str) -> dict[str, list[Utterance]]:
    """Group utterances by a field; those that do not have it are left out."""
    groups = defaultdict(list)
    for u in part:
        if value := value_of(u, field):
            groups[value].append(u)
    return groups


def value_of(utterance: Utterance, field: str) -> str:
    """Say what an utterance is compared by; empty where its corpus does not tell.

    Arguments
    ---------
    utterance : Utterance
        The utterance.
    field : str
        A key of ``NOUNS``.

    Returns
    -------
    str
        Of a text the words alone, in lower case; of the audio its hash.

    Example
    -------
    >>> value_of(Utterance("a", "", "sad", "S", 1.0, text="Go on, go ON!"), "text")
    'go on go on'
    """
    if field == "audio":
        return utterance.audio_hash
    if field == "text":
        return " ".join(re.findall(r"\w+", utterance.text.casefold()))
    return getattr(utterance, field)


def counted(numbers: Sequence[int], noun: str) -> str:
    """Write how many there are of something, over several folds.

    Arguments
    ---------
    numbers : Sequence[int]
        How many there are in each fold.
    noun : str
        What is counted; its plural must end in s.

    Returns
    -------
    str
        One number if it is the same in all folds, else the lowest and the highest.

    Example
    -------
    >>> counted([1], "speaker"), counted([3, 8, 5], "dialog")
    ('1 speaker', '3 to 8 dialogs')
    """
    low, high = min(numbers), max(numbers)
    number = str(high) if low == high else f"{low} to {high}"
    return f"{number} {noun}{'' if high == 1 else 's'}"


def _first(names: Iterable[str], n: int = 5) -> str:
    names = list(names)
    return ", ".join(names[:n]) + (", ..." if len(names) > n else "")
