"""Audit the folds that a run has written:

    python -m ser_lib.folds results/fbank_ecapa/seed_1986
    python -m ser_lib.folds FOLDER --corpus corpus.yaml      (with another protocol)

Prints what the parts of each fold share, and whether the protocol allows it
(``audit.py``). Exit code: 0, no violation; 1, a violation; 2, wrong usage.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ser_lib.corpora import mapped_corpus
from ser_lib.folds.audit import audit_folds
from ser_lib.folds.files import CORPUS_FILE, fold_folders, read_folds
from ser_lib.settings import Settings
from ser_lib.utils.command import run_command
from ser_lib.utils.command_line import CommandParser, path_argument


def main(arguments: Sequence[str]) -> int:
    """Audit the folds of a run and print the findings; return 1 for violations."""
    parser = CommandParser("ser_lib.folds", __doc__)
    parser.add_argument(
        "folder", type=path_argument, help="a folder with fold_1, fold_2 ..."
    )
    parser.add_argument(
        "--corpus", type=path_argument, help="a corpus.yaml with the protocol"
    )
    options = parser.parse_args(arguments)
    source, corpus = _protocol(options.folder, options.corpus)
    print(f"Protocol: {source}")
    audit = audit_folds(read_folds(options.folder), corpus)
    audited = {f"fold_{fold.number}" for fold in audit.folds}
    others = [p.name for p in fold_folders(options.folder) if p.name not in audited]
    if others:
        print(f"Not audited, because not folds of this run: {', '.join(others)}")
    for fold in audit.folds:
        print(f"\n{audit.tables(fold)}")
    print(f"\n{audit.summary()}")
    return 1 if audit.by_verdict("forbidden") else 0


def _protocol(folder: Path, corpus_yaml: Path | None) -> tuple[str, Mapping]:
    """Return the corpus settings that the folds must follow, and their source."""
    saved = folder / CORPUS_FILE
    path = corpus_yaml or (saved if saved.is_file() else None)
    if path is None:
        return "the strictest (choose another one with --corpus)", {}
    # Unresolved, because the file may refer to settings of an experiment.
    settings = Settings.from_file(path).unresolved()
    corpus = settings.get("corpus")
    if not isinstance(corpus, dict):
        raise ValueError(f"{path} has no block 'corpus'; expected a corpus.yaml.")
    has_labels = isinstance(corpus.get("labels"), list)
    label_map = settings.get("label_map") if has_labels else None
    return str(path), mapped_corpus(corpus, label_map) if label_map else corpus


if __name__ == "__main__":
    run_command(main)
