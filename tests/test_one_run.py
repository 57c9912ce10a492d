"""A report is of one run, whatever an earlier one has left in the folder."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from speechbrain.utils.run_opts import RunOptions

from ser_lib.evaluation import finished_folds, report
from ser_lib.experiment import run
from ser_lib.folds.__main__ import main as audit
from ser_lib.settings import Settings

pytestmark = pytest.mark.slow

HPARAMS = Path(__file__).resolve().parents[1] / "recipes/Custom/hparams"
SPEAKERS = ["Ann", "Bob", "Cem", "Dora"]
TINY = {
    "number_of_epochs": 1,
    "n_mels": 8,
    "stem_channels": 0,
    "ecapa_channels": [8, 8, 8, 8, 24],
    "ecapa_attention_channels": 4,
    "embedding_size": 4,
    "crop_s": None,
    "wav_augment": None,
    "frame_augment": None,
    "num_workers": 0,
    "tensorboard": "no",
}


class OwnTable:
    """Two files of each label by each speaker, and runs on some of them."""

    def __init__(self, folder: Path) -> None:
        self.path, self.results = folder / "my.csv", folder / "results"
        rows = []
        for k, speaker in enumerate(SPEAKERS * 4):
            noise = np.random.default_rng(k).normal(0, 0.1, 4800)
            soundfile.write(folder / f"{k}.wav", noise, 16000)
            rows.append([f"{k}.wav", ["calm", "sad"][k // 8], speaker])
        self.rows = pd.DataFrame(rows, columns=["path", "label", "speaker"])

    def run(self, rows: pd.DataFrame | None = None, **given: object) -> str:
        """Write the table, train, and give the report."""
        (self.rows if rows is None else rows).to_csv(self.path, index=False)
        given = {"csv": str(self.path), "results_folder": str(self.results), **given}
        settings = Settings.from_file(HPARAMS / "fbank_ecapa.yaml", TINY | given)
        options = {"noprogressbar": True, "device": "cpu"}
        run(settings, RunOptions.from_dictionary(options))
        return self.report.read_text(encoding="utf-8") if self.report.is_file() else ""

    @property
    def folder(self) -> Path:
        return self.results / "fbank_ecapa" / "seed_1986"

    @property
    def report(self) -> Path:
        return self.folder / "report" / "report.md"


@pytest.fixture
def table(tmp_path) -> OwnTable:
    return OwnTable(tmp_path)


def test_a_speaker_who_is_taken_out_of_the_table_is_out_of_the_report(table, capsys):
    text = table.run(fold_by="speaker")
    assert "folds 1, 2, 3, 4: 16 utterances of 4 speakers." in text
    three = table.rows[table.rows["speaker"] != "Dora"]
    text = table.run(three, fold_by="speaker")
    assert "folds 1, 2, 3: 12 utterances of 3 speakers." in text
    reason = "not of this run, which has the folds 1, 2, 3"
    assert f"- fold_4: {reason}" in text
    assert f"fold_4 is left out: {reason}" in capsys.readouterr().out
    # The audit and a later report, which read no corpus, decide the same.
    assert audit([str(table.folder)]) == 0
    audited = capsys.readouterr().out
    assert "not folds of this run: fold_4\n" in audited
    assert "Split audit of 3 folds" in audited
    report.main([str(table.folder)])
    assert table.report.read_text(encoding="utf-8") == text
    assert finished_folds(table.folder) == [1, 2, 3]


def test_a_fold_of_a_former_label_is_not_pooled_with_one_of_the_new_label(table):
    table.run(fold_by="groups", n_folds=2)
    changed = table.rows.copy()
    changed.loc[0, "label"] = "sad"
    text = table.run(changed, fold_by="groups", n_folds=2, folds=1)
    assert "folds 1: 8 utterances of 2 speakers." in text
    assert "- fold_2: run with other data (digest " in text
    assert finished_folds(table.folder) == [1]
    report.main([str(table.folder)])
    assert table.report.read_text(encoding="utf-8") == text
    # Back to the former label: it is the new fold 1 that does not belong.
    table.run(table.rows, fold_by="groups", n_folds=2, prepare_only=True)
    assert finished_folds(table.folder) == [2]


def test_fewer_folds_than_before_make_a_report_of_their_own(table):
    table.run(fold_by="groups", n_folds=3)
    text = table.run(fold_by="groups", n_folds=2)
    assert "folds 1, 2: 16 utterances of 4 speakers." in text
    assert "- fold_3: not of this run, which has the folds 1, 2" in text
    assert text.count("\n- fold_") == 1


def test_other_settings_leave_out_the_folds_of_the_former_ones(table):
    table.run(fold_by="groups", n_folds=2)
    given = {"fold_by": "groups", "n_folds": 2, "folds": 2, "label_smoothing": 0.2}
    text = table.run(**given)
    assert "folds 2: 8 utterances of 2 speakers." in text
    assert "- fold_1: run with other settings (" in text
    report.main([str(table.folder)])
    assert table.report.read_text(encoding="utf-8") == text
