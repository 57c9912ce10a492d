"""A table of three experiments and a corpus of twelve utterances."""

from pathlib import Path

import pytest
from finished_run import LABELS, write_fold
from speechbrain.utils.run_opts import RunOptions

from ser_lib.corpora import Utterance
from ser_lib.folds import Fold, fold_digest, speaker_folds
from ser_lib.paper_table.rows import read_rows
from ser_lib.settings import Settings
from ser_lib.training import result_key

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
OPTIONS = RunOptions()

TOY_TABLE = """
title: Toy table
only: all
changes: null
plan_only: False
ray: null
slurm: null
resources: null
rows:
  - {row: 1, experiment: whole, upstream: Fbank, averaged: True}
  - {row: 2, experiment: part, upstream: Fbank, averaged: False}
  - {row: 3, experiment: absent, upstream: Fbank, averaged: False}
claims:
  - {claim: the known, pairs: [[whole, part]]}
  - {claim: the opposite, pairs: [[part, whole]]}
  - {claim: the same, pairs: [[whole, whole]]}
  - {claim: the unknown, pairs: [[whole, absent]]}
"""
TOY_CORPUS = """
corpus: {name: TOY, labels: [sad, angry], sample_rate_hz: 16000}
"""
TOY_EXPERIMENT = """
extends: [RECIPES/hparams/fbank_ecapa.yaml, ../corpus.yaml]
experiment: NAME
paper: {WA: 80.0, UA: 90.0, source: toy}
"""


def toy_folds() -> list[Fold]:
    """Return three folds with the utterances of ``finished_run.write_fold``."""
    corpus = [
        Utterance(f"{k}-{i}", "", LABELS[i // 2], f"{k}{'MF'[i % 2]}", 1.0)
        for k in (1, 2, 3)
        for i in range(4)
    ]
    pairs = {k: [f"{k}M", f"{k}F"] for k in (1, 2, 3)}
    rows = [{"test": pairs[k], "valid": pairs[k % 3 + 1]} for k in (1, 2, 3)]
    return speaker_folds(corpus, rows)


def write_toy_table(folder: Path) -> Path:
    """Write a table of three experiments that need no encoder."""
    (folder / "hparams").mkdir()
    (folder / "corpus.yaml").write_text(TOY_CORPUS)
    for name in ("whole", "part", "absent"):
        text = TOY_EXPERIMENT.replace("RECIPES", str(RECIPES)).replace("NAME", name)
        (folder / "hparams" / f"{name}.yaml").write_text(text)
    (folder / "toy.yaml").write_text(TOY_TABLE)
    return folder / "toy.yaml"


def given(folder: Path, more: str = "") -> str:
    return f"data_folder: {folder}\nresults_folder: {folder / 'results'}\n{more}"


def finish(settings: Settings, fold: int, predicted: str, **fold_info: str) -> None:
    """Write the results of a finished fold of an experiment."""
    known = {
        "experiment": settings["experiment"],
        "settings_key": result_key(settings, OPTIONS),
        "fold_digest": fold_digest(toy_folds()[fold - 1]),
    }
    write_fold(Path(settings["output_folder"]), fold, predicted, **known | fold_info)


def write_half_finished(folder: Path) -> Path:
    """Write a table: all of ``whole`` is correct, half of fold 2 of ``part``."""
    table = write_toy_table(folder)
    _, rows = read_rows(table, given(folder))
    for fold in (1, 2, 3):
        finish(rows[0].settings, fold, "ssaa")
    finish(rows[1].settings, 1, "aass")
    finish(rows[1].settings, 2, "aaaa")
    return table


def read_settings_once(patch: pytest.MonkeyPatch) -> None:
    """Cache settings by file and overrides; many tests need the same ones."""
    known: dict[tuple, Settings] = {}
    from_file = Settings.from_file

    def from_file_once(path: str | Path, overrides: str | dict = "") -> Settings:
        text = overrides if isinstance(overrides, str) else repr(overrides)
        if (path, text) not in known:
            known[path, text] = from_file(path, overrides)
        return known[path, text]

    patch.setattr(Settings, "from_file", staticmethod(from_file_once))
