"""Split audit: what the parts of a fold share, and what the protocol says to it.

The protocol is data. The block ``allowed_overlap`` in ``corpus.yaml`` names the pairs
of parts that may share speakers, sessions, dialogs, sentence texts or audio::

    allowed_overlap:
      speaker: [train-valid]
      text: [train-valid, train-test, valid-test]

What it does not name is forbidden. An utterance may never be in two parts.
``python -m ser_lib.folds FOLDER`` audits the folds that a run has written.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ser_lib.folds.audit_rules import (
    NOUNS,
    PAIRS,
    Finding,
    allowed_overlaps,
    audit_fold,
    counted,
    value_of,
)
from ser_lib.folds.fold import Fold
from ser_lib.utils.text_tables import plain_table


@dataclass(frozen=True)
class Audit:
    """The result of :func:`audit_folds`.

    Arguments
    ---------
    folds : list[Fold]
        The folds.
    labels : list[str]
        The classes that every part must have.
    findings : list[Finding]
        All findings, by fold.
    """

    folds: list[Fold]
    labels: list[str]
    findings: list[Finding]

    def by_verdict(self, verdict: str) -> list[Finding]:
        """Findings that are ``forbidden``, ``allowed`` or ``noted``."""
        return [finding for finding in self.findings if finding.verdict == verdict]

    def check(self) -> None:
        """Raise a ValueError that says what is forbidden, if anything is."""
        if self.by_verdict("forbidden"):
            raise ValueError(
                f"{self._forbidden()}\nWhat a protocol shares on purpose must stand "
                f"under allowed_overlap in corpus.yaml."
            )

    def summary(self) -> str:
        """Say in a few lines what was found, over all folds."""
        lines = [self._forbidden()]
        for pair in PAIRS:
            shared = defaultdict(list)
            for finding in self.by_verdict("allowed"):
                if finding.where == pair:
                    shared[finding.rule].append(finding.n)
            if shared:
                what = ", ".join(
                    counted(n + [0] * (len(self.folds) - len(n)), NOUNS[rule])
                    for rule, n in shared.items()
                )
                parts = pair.replace("-", " and ")
                lines.append(f"Allowed by the protocol: {parts} share {what}.")
        # What is within a part is found again in the next fold: say it once.
        noted = dict.fromkeys(finding.message for finding in self.by_verdict("noted"))
        lines += [f"Noted: {message}." for message in noted]
        if unknown := [f"{NOUNS[f]}s" for f in NOUNS if not self._is_known(f)]:
            lines.append(f"Not compared, because not known: {', '.join(unknown)}.")
        return "\n".join(lines)

    def tables(self, fold: Fold) -> str:
        """Tabulate the classes of a fold's parts, and what each two parts share."""
        sizes = {
            name: {"utterances": len(part), **Counter(u.label for u in part)}
            for name, part in fold.parts.items()
        }
        classes = pd.DataFrame.from_dict(sizes, "index")
        classes = classes.reindex(columns=["utterances", *self.labels])
        shared = pd.DataFrame("0", index=list(NOUNS), columns=list(PAIRS))
        for finding in self.findings:
            if finding.fold == fold.number and finding.where in PAIRS:
                cell = f"{finding.n} {finding.verdict}"
                shared.loc[finding.rule, finding.where] = cell
        shared.loc[[f for f in NOUNS if not self._is_known(f)]] = "not known"
        return "\n\n".join(
            plain_table(table)
            for table in (
                classes.fillna(0).astype(int).rename_axis(f"fold {fold.number}"),
                shared.rename_axis("shared"),
            )
        )

    def _forbidden(self, n_shown: int = 10) -> str:
        found = self.by_verdict("forbidden")
        if not found:
            folds = counted([len(self.folds)], "fold")
            return f"Split audit of {folds}: nothing that the protocol forbids."
        lines = [f"- fold {f.fold}: {f.message}." for f in found[:n_shown]]
        if len(found) > n_shown:
            lines.append(f"- and {len(found) - n_shown} more")
        start = f"Split audit: {counted([len(found)], 'finding')} against the protocol:"
        return "\n".join([start, *lines])

    def _is_known(self, field: str) -> bool:
        parts = [part for fold in self.folds for part in fold.parts.values()]
        return any(value_of(u, field) for part in parts for u in part)


def audit_folds(folds: Sequence[Fold], corpus: Mapping) -> Audit:
    """Compare the parts of each fold with each other and with ``corpus.yaml``.

    Arguments
    ---------
    folds : Sequence[Fold]
        The folds. Audio is compared where the utterances have an ``audio_hash``.
    corpus : Mapping
        The ``corpus`` block of ``corpus.yaml``: ``allowed_overlap``, ``labels``,
        ``counts`` (utterances of each class), ``validation`` (False if there is no
        validation part). What is missing is the strictest:
        nothing may be shared, and every part needs every class that is found;
        counts are then not compared.

    Returns
    -------
    Audit
        All findings; :meth:`Audit.check` raises if one of them is forbidden.

    Raises
    ------
    ValueError
        If ``allowed_overlap`` has an unknown field or pair.

    Example
    -------
    >>> from ser_lib.corpora.manifest import Utterance
    >>> parts = [[Utterance(i, "", "sad", speaker, 1.0)] for i, speaker in ("aS", "bS")]
    >>> fold = Fold(1, *parts, test=[Utterance("c", "", "sad", "T", 1.0)])
    >>> audit = audit_folds([fold], {"allowed_overlap": {"speaker": ["train-valid"]}})
    >>> print(audit.summary())
    Split audit of 1 fold: nothing that the protocol forbids.
    Allowed by the protocol: train and valid share 1 speaker.
    Not compared, because not known: recordings, sessions, dialogs, texts.
    """
    allowed = allowed_overlaps(corpus.get("allowed_overlap") or {})
    rows = [u for fold in folds for part in fold.parts.values() for u in part]
    labels = list(corpus.get("labels") or sorted({u.label for u in rows}))
    counts = corpus.get("counts")
    protocol = (allowed, labels, counts, corpus.get("validation", True))
    findings = [f for fold in folds for f in audit_fold(fold, *protocol)]
    return Audit(list(folds), labels, findings)
