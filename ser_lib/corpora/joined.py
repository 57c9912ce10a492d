"""Several corpora as one: labels of the shared vocabulary, names with the corpus.

The setting ``corpora`` names recipes and their data folders. A table of one's own
recordings has any name and the path of its CSV file::

    corpora: {RAVDESS: /data/RAVDESS, nEMO: /data/nEMO, mine: calls/my.csv}

Utterances, speakers, sessions and dialogs get the name of their corpus in front, such
as ``RAVDESS/01``, so that equal names stay apart.
"""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from speechbrain.utils.distributed import if_main_process

from ser_lib.corpora.label_map import (
    describe_map,
    map_labels,
    mapped_labels,
    shared_vocabulary,
)
from ser_lib.corpora.manifest import Utterance
from ser_lib.corpora.reading import with_all_attributes
from ser_lib.settings import RECIPES, Settings

FOLDS_BY = ("speaker", "corpus", "matrix", "all")


def read_corpora(corpora: Mapping[str, str], folds_by: str) -> list[Utterance]:
    """Read several corpora, each as its own recipe does.

    Arguments
    ---------
    corpora : Mapping[str, str]
        Recipe -> data folder, or any name -> CSV file.
    folds_by : str
        See :func:`joint_labels`.

    Returns
    -------
    list[Utterance]
        In the order of the corpora; paths are relative to :func:`common_folder`.

    Raises
    ------
    ValueError
        If a corpus does not match its ``corpus.yaml``.
    """
    labels = joint_labels(corpora, folds_by)
    utterances = []
    for name, source in corpora.items():
        settings = _settings_of(name, source)
        if if_main_process():
            print(f"Reading {name} from {source}")
        own = with_all_attributes(settings)
        mapped = map_labels(own, settings["labels"], "shared")
        kept = [u for u in mapped if u.label in labels]
        if if_main_process():
            print(_summary(own, mapped, kept, settings["labels"]))
        folder = os.path.relpath(settings["data_folder"], common_folder(corpora))
        utterances += [_named(u, name, folder) for u in kept]
    return utterances


def joint_labels(corpora: Mapping[str, str], folds_by: str) -> list[str]:
    """Return the labels of several corpora, in the order of the shared vocabulary.

    Arguments
    ---------
    corpora : Mapping[str, str]
        See :func:`read_corpora`.
    folds_by : str
        ``speaker`` and ``all``: the labels of all corpora together. ``corpus``: those
        that at least two corpora have, because the corpus that is left out cannot teach
        a label. ``matrix``: those that every corpus has.

    Raises
    ------
    ValueError
        If fewer than two labels remain.
    """
    _check(corpora, folds_by)
    n_corpora = Counter(
        label
        for name, source in corpora.items()
        for label in mapped_labels(_settings_of(name, source)["labels"], "shared")
    )
    least = {"speaker": 1, "all": 1, "corpus": 2, "matrix": len(corpora)}[folds_by]
    labels = [label for label in shared_vocabulary() if n_corpora[label] >= least]
    if len(labels) < 2:
        raise ValueError(
            f"The corpora {', '.join(corpora)} have {labels or 'no label'} in common; "
            f"expected at least two labels to distinguish."
        )
    return labels


def common_folder(corpora: Mapping[str, str]) -> str:
    """Return the nearest folder that holds all corpora.

    Example
    -------
    >>> common_folder({"RAVDESS": "/data/RAVDESS", "mine": "/data/calls/my.csv"})
    '/data'
    """
    folders = [
        Path(source).parent if _is_table(source) else Path(source)
        for source in map(str, corpora.values())
    ]
    return os.path.commonpath([folder.absolute() for folder in folders])


def joint_name(corpora: Mapping[str, str]) -> str:
    """Return a name for several corpora, such as ``RAVDESS + nEMO``."""
    return " + ".join(corpora)


def joint_text(corpora: Mapping[str, str], key: str) -> str:
    """Return a text of each ``corpus.yaml``, such as ``licence``; once if all agree."""
    texts = {
        name: " ".join(_settings_of(name, source)["corpus"].get(key, "").split())
        for name, source in corpora.items()
    }
    known = {name: text or "your own" for name, text in texts.items()}
    if len(set(known.values())) == 1:
        return next(iter(known.values()))
    return "; ".join(f"{name}: {text}" for name, text in known.items())


def _check(corpora: object, folds_by: str) -> None:
    if not isinstance(corpora, Mapping) or not corpora:
        raise ValueError(
            f"corpora is {corpora!r}; expected recipes and their data folders: "
            f'--corpora "{{RAVDESS: DIR, nEMO: DIR}}".'
        )
    for name, source in corpora.items():
        if not isinstance(source, str) or not source.strip():
            raise ValueError(
                f"corpora has {name}: {source!r}; expected the path of its data "
                f"folder, or of a CSV file."
            )
    if folds_by not in FOLDS_BY:
        raise ValueError(f"folds_by is {folds_by!r}; expected one of {FOLDS_BY}.")
    if folds_by in ("corpus", "matrix") and len(corpora) < 2:
        raise ValueError(
            f"folds_by is {folds_by}, but there is one corpus: {', '.join(corpora)}. "
            f"Give at least two, or use --folds_by speaker."
        )


def _is_table(source: str) -> bool:
    return source.lower().endswith((".csv", "db.yaml"))


@lru_cache(maxsize=100)  # needed several times, and parsing is slow
def _settings_of(name: str, source: str) -> Settings:
    recipe, given = (name, {"data_folder": source})
    if _is_table(source):
        recipe, given = ("Custom", {"csv": source})
    path = RECIPES / recipe / "corpus.yaml"
    if not path.is_file() or (recipe == "Multi"):
        known = sorted(p.parent.name for p in RECIPES.glob("*/corpus.yaml"))
        known = [k for k in known if k not in ("Custom", "Multi")]
        raise ValueError(
            f"corpora names {name}, which is not a recipe; expected some of "
            f"{', '.join(known)}, or a name of your own with a CSV file."
        )
    return Settings.from_files([RECIPES / "hparams" / "base.yaml", path], given)


def _named(utterance: Utterance, corpus: str, folder: str) -> Utterance:
    """Put the name of the corpus in front of all names."""

    def named(name: str) -> str:
        return f"{corpus}/{name}" if name else ""

    return replace(
        utterance,
        id=named(utterance.id),
        path=Path(os.path.normpath(Path(folder, utterance.path))).as_posix(),
        speaker=named(utterance.speaker),
        session=named(utterance.session),
        dialog=named(utterance.dialog),
        corpus=corpus,
    )


def _summary(own: list, mapped: list, kept: list, labels: list[str]) -> str:
    """Say what became of the labels of one corpus."""
    alone = Counter(u.label for u in mapped) - Counter(u.label for u in kept)
    lines = [f"{len(kept)} of {len(own)} utterances are used."]
    lines += [describe_map(own, labels, "shared")]
    if alone:
        found = ", ".join(f"{n} {label}" for label, n in alone.items())
        lines += [f"Left out, because too few corpora have the label: {found}."]
    return "\n".join(line for line in lines if line)
