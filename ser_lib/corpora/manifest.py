"""The manifest: one row for each utterance, checked once.

A corpus parser turns the files of a release into a list of :class:`Utterance`.
:func:`validate` checks this list against ``corpus.yaml``. Later steps need no checks of
their own.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from ser_lib.utils.files import atomic_path


@dataclass(frozen=True)
class Utterance:
    """One labelled utterance of a corpus.

    Arguments
    ---------
    id : str
        Unique name within the corpus.
    path : str
        Audio file, relative to the data folder, with forward slashes.
    label : str
        One of the corpus's labels, after merging.
    speaker : str
        Unique name within the corpus.
    duration_s : float
        Duration of the audio in seconds.
    session, dialog, text : str
        Recording session, conversation and transcript; empty if the corpus has none.
    audio_hash : str
        Hash of the samples (see ``audio_hashes.py``); empty if it was not computed.
    corpus : str
        The corpus, if several are joined; else empty.
    attributes : Mapping[str, str]
        What else the corpus says of the utterance, by name: ``gender``, ``arousal``,
        ``votes_angry`` ... An unknown value is absent or empty.

    Example
    -------
    >>> Utterance("a01", "DC/a01.wav", "anger", "DC", 2.5).speaker
    'DC'
    """

    id: str
    path: str
    label: str
    speaker: str
    duration_s: float
    session: str = ""
    dialog: str = ""
    text: str = ""
    audio_hash: str = ""
    corpus: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict, hash=False)


# The columns of every manifest; attributes are further columns.
COLUMNS = tuple(f.name for f in fields(Utterance) if f.name != "attributes")


def as_row(utterance: Utterance) -> dict[str, str | float]:
    """Return the columns of an utterance: its fields, then the attributes it has.

    Example
    -------
    >>> list(as_row(Utterance("a", "", "sad", "1", 1.5, attributes={"age": "23"})))[-2:]
    ['corpus', 'age']
    """
    known = {name: value for name, value in utterance.attributes.items() if value}
    return {name: getattr(utterance, name) for name in COLUMNS} | known


def write_manifest(path: str | Path, utterances: Iterable[Utterance]) -> None:
    """Write utterances to a CSV file, a column for each field and each attribute.

    Example
    -------
    >>> path = Path(getfixture("tmp_path")) / "train.csv"
    >>> write_manifest(path, [Utterance("a", "a.wav", "sad", "1", 1.5, text="Hm, $")])
    >>> print(path.read_text().strip())
    id,path,label,speaker,duration_s,session,dialog,text,audio_hash,corpus
    a,a.wav,sad,1,1.5,,,"Hm, $",,
    >>> read_manifest(path)[0].text
    'Hm, $'
    """
    rows = [as_row(utterance) for utterance in utterances]
    names = dict.fromkeys((*COLUMNS, *(name for row in rows for name in row)))
    with atomic_path(path) as unfinished:
        with open(unfinished, "w", newline="", encoding="utf-8") as f:
            writer = csv.DictWriter(f, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def read_manifest(path: str | Path) -> list[Utterance]:
    """Read a file written by :func:`write_manifest`.

    Raises
    ------
    ValueError
        If it is not such a file.
    """
    try:
        with open(path, newline="", encoding="utf-8") as f:
            reader = csv.DictReader(f, strict=True)
            if "id" not in (reader.fieldnames or []):
                raise KeyError("id")
            return [_utterance(row) for row in reader]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise ValueError(
            f"{path} is not a part of a fold as written by a run (train.csv, "
            f"valid.csv, test.csv): {type(error).__name__}: {error}."
        ) from error


def _utterance(row: dict[str, str]) -> Utterance:
    if None in row:
        raise ValueError(f"the row of {row['id']} has more values than columns")
    known = {name: row[name] for name in row if name in COLUMNS}
    further = {name: row[name] for name in row if name not in COLUMNS and row[name]}
    known["duration_s"] = float(row["duration_s"])
    return Utterance(**known, attributes=further)


def validate(
    utterances: Sequence[Utterance], corpus: Mapping, data_folder: str | Path
) -> None:
    """Check a parsed corpus against ``corpus.yaml``.

    Arguments
    ---------
    corpus : Mapping
        The ``corpus`` block of ``corpus.yaml``: ``labels``, ``counts`` (expected
        utterances per label), ``min_duration_s``.
    data_folder : str | Path
        The corpus folder, named in the messages.

    Raises
    ------
    ValueError
        If an id occurs twice, a label is not in the list, an utterance is too short, or
        a label has another number of utterances than expected.
    """
    _check_ids(utterances)
    check_labels(utterances, list(corpus["labels"]))
    _check_durations(utterances, corpus["min_duration_s"])
    check_counts(utterances, dict(corpus["counts"]), data_folder)


def _check_ids(utterances: Sequence[Utterance]) -> None:
    repeated = [i for i, n in Counter(u.id for u in utterances).items() if n > 1]
    if repeated:
        raise ValueError(
            f"{len(repeated)} utterance ids occur more than once; the first is "
            f"{repeated[0]}. Ids must be unique within a corpus."
        )


def check_labels(utterances: Sequence[Utterance], labels: list[str]) -> None:
    """Raise a ValueError if an utterance has a label that is not in the list."""
    for u in utterances:
        if u.label not in labels:
            raise ValueError(
                f"{u.id} has the label {u.label!r}, which is not one of {labels}. "
                f"Correct it, or add the label to corpus.yaml."
            )


def _check_durations(utterances: Sequence[Utterance], min_duration_s: float) -> None:
    short = [u for u in utterances if u.duration_s < min_duration_s]
    if short:
        raise ValueError(
            f"{len(short)} utterances are shorter than min_duration_s = "
            f"{min_duration_s} s; the first is {short[0].path} with "
            f"{short[0].duration_s:.3f} s. Remove them from the corpus, or lower "
            f"min_duration_s in corpus.yaml if the encoder accepts shorter audio."
        )


def check_counts(
    utterances: Sequence[Utterance],
    expected: Mapping[str, int],
    data_folder: str | Path,
) -> None:
    """Raise a ValueError if a label has another number of utterances than expected."""
    found = Counter(u.label for u in utterances)
    wrong = [
        f"{label}: expected {n}, found {found[label]}"
        for label, n in expected.items()
        if found[label] != n
    ]
    if wrong:
        raise ValueError(
            f"{data_folder} holds {len(utterances)} utterances, expected "
            f"{sum(expected.values())} ({'; '.join(wrong)}). The release is "
            f"incomplete or was modified. Copy or download it again."
        )
