"""Split audit: what the parts of a fold share, and whether the protocol allows it.

The block ``allowed_overlap`` in ``corpus.yaml`` lists the pairs of parts that may share
speakers, sessions, dialogs, texts or audio::

    allowed_overlap:
      speaker: [train-valid]
      text: [train-valid, train-test, valid-test]

Everything else is forbidden. An utterance may never be in two parts.
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
    labels : list[str]
        The classes that every part must have.
    findings : list[Finding]
        All findings, by fold.
    """

    folds: list[Fold]
    labels: list[str]
    findings: list[Finding]

    def by_verdict(self, verdict: str) -> list[Finding]:
        """Return the findings that are ``forbidden``, ``allowed`` or ``noted``."""
        return [finding for finding in self.findings if finding.verdict == verdict]

    def check(self) -> None:
        """Raise a ValueError that lists the forbidden findings, if there are any."""
        if self.by_verdict("forbidden"):
            raise ValueError(
                f"{self._forbidden()}\nIf the protocol does this on purpose, list in "
                f"corpus.yaml what parts share under allowed_overlap, and parts that "
                f"lack a label under incomplete_parts."
            )

    def summary(self) -> str:
        """Summarize the findings over all folds in a few lines."""
        lines = [self._forbidden()]
        for pair in PAIRS:
            shared = defaultdict(list)
            for finding in self.by_verdict("allowed"):
                if finding.where == pair:
                    shared[finding.rule].append(finding.n)
            if shared:
                amounts = ", ".join(
                    counted(n + [0] * (len(self.folds) - len(n)), NOUNS[rule])
                    for rule, n in shared.items()
                )
                parts = pair.replace("-", " and ")
                lines.append(f"Allowed by the protocol: {parts} share {amounts}.")
        # A note about one part recurs in other folds; report it once.
        noted = dict.fromkeys(finding.message for finding in self.by_verdict("noted"))
        lines += [f"Noted: {message}." for message in noted]
        if unknown := [f"{NOUNS[f]}s" for f in NOUNS if not self._is_known(f)]:
            lines.append(f"Not compared, because unknown: {', '.join(unknown)}.")
        return "\n".join(lines)

    def tables(self, fold: Fold) -> str:
        """Format the classes in each part of a fold, and what each two parts share."""
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
        shared.loc[[f for f in NOUNS if not self._is_known(f)]] = "unknown"
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
            return f"Split audit of {folds}: no violation of the protocol."
        lines = [f"- fold {f.fold}: {f.message}." for f in found[:n_shown]]
        if len(found) > n_shown:
            lines.append(f"- and {len(found) - n_shown} more")
        violations = counted([len(found)], "violation")
        return "\n".join([f"Split audit: {violations} of the protocol:", *lines])

    def _is_known(self, field: str) -> bool:
        parts = [part for fold in self.folds for part in fold.parts.values()]
        return any(value_of(u, field) for part in parts for u in part)


def audit_folds(folds: Sequence[Fold], corpus: Mapping) -> Audit:
    """Compare the parts of each fold with each other and with ``corpus.yaml``.

    Arguments
    ---------
    folds : Sequence[Fold]
        Audio is compared if the utterances have an ``audio_hash``.
    corpus : Mapping
        The ``corpus`` block of ``corpus.yaml``: ``allowed_overlap``, ``labels``,
        ``counts`` (utterances of each class), ``validation`` (False if there is no
        validation part), ``incomplete_parts`` (that may lack a class). The defaults are
        the strictest: nothing may be shared and every part needs every class in the
        folds; without ``counts``, they are not compared.

    Returns
    -------
    Audit
        All findings; :meth:`Audit.check` raises an error if one of them is forbidden.

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
    Split audit of 1 fold: no violation of the protocol.
    Allowed by the protocol: train and valid share 1 speaker.
    Not compared, because unknown: recordings, sessions, dialogs, texts.
    """
    allowed = allowed_overlaps(corpus.get("allowed_overlap") or {})
    rows = [u for fold in folds for part in fold.parts.values() for u in part]
    labels = list(corpus.get("labels") or sorted({u.label for u in rows}))
    counts = corpus.get("counts")
    incomplete = corpus.get("incomplete_parts") or []
    protocol = (allowed, labels, counts, corpus.get("validation", True), incomplete)
    findings = [f for fold in folds for f in audit_fold(fold, *protocol)]
    return Audit(list(folds), labels, findings)
