"""Audit the folds that a run has written:

    python -m ser_lib.folds results/fbank_ecapa/seed_1986
    python -m ser_lib.folds FOLDER --corpus corpus.yaml      (by another protocol)

Prints what the parts of each fold share, and whether the protocol allows it
(``audit.py``). Exit code: 0, nothing is forbidden; 1, something is; 2, wrong usage.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ser_lib.folds.audit import audit_folds
from ser_lib.folds.files import CORPUS_FILE, fold_folders, read_folds
from ser_lib.settings import Settings
from ser_lib.utils.command import run_command
from ser_lib.utils.command_line import CommandParser, path_argument


def main(arguments: Sequence[str]) -> int:
    """Audit the folds in a run's folder and print what was found.

    Arguments
    ---------
    arguments : Sequence[str]
        Of the command line.

    Returns
    -------
    int
        1 if something is forbidden, otherwise 0.
    """
    parser = CommandParser("ser_lib.folds", __doc__)
    parser.add_argument("folder", type=path_argument, help="holds fold_1, fold_2 ...")
    parser.add_argument(
        "--corpus", type=path_argument, help="a corpus.yaml with the protocol"
    )
    options = parser.parse_args(arguments)
    source, corpus = _protocol(options.folder, options.corpus)
    print(f"Protocol: {source}")
    audit = audit_folds(read_folds(options.folder), corpus)
    of_run = {f"fold_{fold.number}" for fold in audit.folds}
    others = [p.name for p in fold_folders(options.folder) if p.name not in of_run]
    if others:
        print(f"Not folds of this run, so not audited: {', '.join(others)}")
    for fold in audit.folds:
        print(f"\n{audit.tables(fold)}")
    print(f"\n{audit.summary()}")
    return 1 if audit.by_verdict("forbidden") else 0


def _protocol(folder: Path, corpus_yaml: Path | None) -> tuple[str, Mapping]:
    """Find the corpus that the folds were made by, and where it was read."""
    saved = folder / CORPUS_FILE
    path = corpus_yaml or (saved if saved.is_file() else None)
    if path is None:
        return "the strictest (name another one with --corpus)", {}
    # Not a whole experiment, so references would lead nowhere.
    corpus = Settings.from_file(path).unresolved().get("corpus")
    if not isinstance(corpus, dict):
        raise ValueError(f"{path} has no block 'corpus'; expected a corpus.yaml.")
    return str(path), corpus


if __name__ == "__main__":
    run_command(main)
