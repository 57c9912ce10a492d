"""The rules of the split audit; see ``audit.py``."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ser_lib.corpora import Utterance
from ser_lib.folds.fold import Fold
from ser_lib.utils.listing import first_few

PAIRS = ("train-valid", "train-test", "valid-test")
# The fields that are compared, and nouns for messages.
NOUNS = {
    "id": "utterance",
    "audio": "recording",
    "speaker": "speaker",
    "session": "session",
    "dialog": "dialog",
    "text": "text",
}
# Modality, vocal channel, emotion, intensity, statement, repetition and actor
# (https://zenodo.org/records/1188976). All except the modality identify the recording.
_RAVDESS_NAME = re.compile(r"\d\d-(?P<recording>\d\d(-\d\d){5})")


@dataclass(frozen=True)
class Finding:
    """One finding of the audit.

    Arguments
    ---------
    fold : int
        Number of the fold.
    rule : str
        The field that was compared (``speaker`` ...), or ``copies``, ``classes``,
        ``counts``.
    where : str
        A pair of parts, a part, or ``fold``.
    n : int
        Number of cases.
    verdict : str
        ``forbidden``, ``allowed`` (by the protocol), or ``noted`` (not a leak).
    message : str
        Description with the first ids.
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
        For each field, the pairs of parts that may share it.

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
    incomplete: Sequence[str] = (),
) -> list[Finding]:
    """Apply every rule to one fold.

    Arguments
    ---------
    allowed : set[tuple[str, str]]
        What the parts may share, from :func:`allowed_overlaps`.
    labels : Sequence[str]
        The classes that every part must have.
    counts : Mapping[str, int] | None
        Utterances of each class in the whole fold; not compared if None or empty.
    validation : bool
        Whether the protocol has a validation part.
    incomplete : Sequence[str]
        Parts that may lack a class.

    Returns
    -------
    list[Finding]
        All findings, allowed or not; empty if the parts have nothing in common.

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
        *_missing_classes(fold, labels, validation, incomplete),
        *(_wrong_counts(fold, counts) if counts else ()),
    ]


def _overlaps(fold: Fold, allowed: set[tuple[str, str]]) -> Iterator[Finding]:
    """Find values that two parts have in common."""
    for field in NOUNS:
        by_value = {name: _by_value(part, field) for name, part in fold.parts.items()}
        for pair in PAIRS:
            first, second = (by_value[name] for name in pair.split("-"))
            shared = sorted(first.keys() & second.keys())
            if shared:
                verdict = "allowed" if (field, pair) in allowed else "forbidden"
                message = (
                    f"{pair.replace('-', ' and ')} share "
                    f"{counted([len(shared)], NOUNS[field])}: "
                    f"{_shared_values(field, shared, first, second)}"
                )
                yield Finding(fold.number, field, pair, len(shared), verdict, message)


def _shared_values(
    field: str,
    shared: list[str],
    first: Mapping[str, list[Utterance]],
    second: Mapping[str, list[Utterance]],
) -> str:
    """List the first values that two parts share, and their utterances."""
    if field == "id":
        return first_few(shared)
    if field == "audio":  # ids mean more than hashes
        twins = ((first[value][0].id, second[value][0].id) for value in shared)
        return first_few(" is the same as ".join(ids) for ids in twins)
    ids = [u.id for value in shared for u in second[value]]
    later_part = f"{counted([len(ids)], 'utterance')} of the later part"
    return f"{first_few(shared)} ({later_part}: {first_few(ids)})"


def _copies(fold: Fold) -> Iterator[Finding]:
    """Find RAVDESS recordings that occur twice in a fold, even within one part.

    Some copies of RAVDESS hold the sound of the videos next to the audio files, or all
    actors a second time. The sound of a video was encoded differently, so its samples
    differ; only its name identifies it.
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
            f"{first_few(' and '.join(paths) for paths in copies)}; names that start "
            f"with 01 are the sound of the videos, 03 is the audio-only file of the "
            f"same recording, and some copies of the corpus hold all actors a second "
            f"time (in audio_speech_actors_01-24); keep only the file with 03",
        )


def _repeats(fold: Fold) -> Iterator[Finding]:
    """Find audio that occurs twice within a part, which is not a leak."""
    for name, part in fold.parts.items():
        for twins in _by_value(part, "audio").values():
            if len(twins) > 1:
                message = f"the same audio is in {first_few(u.id for u in twins)}"
                yield Finding(fold.number, "audio", name, len(twins), "noted", message)


def _missing_classes(
    fold: Fold, labels: Sequence[str], validation: bool, incomplete: Sequence[str]
) -> Iterator[Finding]:
    for name, part in fold.parts.items():
        if name == "valid" and not part and not validation:
            message = "the protocol has no validation part; the last epoch is tested"
            yield Finding(fold.number, "classes", name, 0, "noted", message)
            continue
        found = {u.label for u in part}
        if missing := [label for label in labels if label not in found]:
            n = len(missing)
            lacks = f"the {name} part has no utterance labelled {', '.join(missing)}"
            if name in incomplete:
                message = f"{lacks}, as the protocol allows"
                yield Finding(fold.number, "classes", name, n, "noted", message)
                continue
            message = f"{lacks}; expected all of {', '.join(labels)} in every part"
            yield Finding(fold.number, "classes", name, n, "forbidden", message)


def _wrong_counts(fold: Fold, counts: Mapping[str, int]) -> Iterator[Finding]:
    rows = [u for part in fold.parts.values() for u in part]
    found = Counter(u.label for u in rows)
    wrong = [k for k in {**counts, **found} if counts.get(k, 0) != found[k]]
    if wrong:
        differing = (
            f"{k}: expected {counts.get(k, 0)}, found {found[k]}" for k in wrong
        )
        message = (
            f"its parts hold {len(rows)} utterances, counts in corpus.yaml say "
            f"{sum(counts.values())} ({'; '.join(differing)})"
        )
        yield Finding(fold.number, "counts", "fold", len(wrong), "forbidden", message)


def _by_value(part: Iterable[Utterance], field: str) -> dict[str, list[Utterance]]:
    """Group utterances by a field; those without a value are left out."""
    groups = defaultdict(list)
    for u in part:
        if value := value_of(u, field):
            groups[value].append(u)
    return groups


def value_of(utterance: Utterance, field: str) -> str:
    """Return the value that utterances are compared by; empty if it is unknown.

    Arguments
    ---------
    field : str
        A key of ``NOUNS``.

    Returns
    -------
    str
        For ``text``, only its words in lower case; for ``audio``, the hash.

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
    """Format how many there are of something, over several folds.

    Arguments
    ---------
    numbers : Sequence[int]
        The number in each fold.
    noun : str
        What is counted; its plural must end in s.

    Returns
    -------
    str
        One number if it is the same in all folds, otherwise the lowest and the highest.

    Example
    -------
    >>> counted([1], "speaker"), counted([3, 8, 5], "dialog")
    ('1 speaker', '3 to 8 dialogs')
    """
    low, high = min(numbers), max(numbers)
    number = str(high) if low == high else f"{low} to {high}"
    return f"{number} {noun}{'' if high == 1 else 's'}"
