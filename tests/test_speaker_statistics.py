"""Frames standardised speaker by speaker, without labels."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from model_folders import run_experiment, write_corpus

from ser_lib.evaluation import write_report
from ser_lib.evaluation.results_csv import read_results
from ser_lib.export import export_run
from ser_lib.settings import Settings
from ser_lib.training import EmotionBrain
from ser_lib.training.speaker_statistics import SpeakerStatistics
from ser_lib.upstreams import Frames

BASE = Path(__file__).parents[1] / "recipes" / "hparams" / "base.yaml"
PLAIN = {"crop_s": None, "frame_augment": None, "wav_augment": None}


def frames_of(*counts: int, seed: int = 0) -> dict[str, Frames]:
    generator = torch.Generator().manual_seed(seed)
    values = 3 * torch.randn(len(counts), max(counts), 2, generator=generator) + 5
    return {"fbank": Frames(values, torch.tensor(counts))}


def test_all_frames_of_a_speaker_have_mean_zero_and_deviation_one():
    statistics = SpeakerStatistics()
    first, second = frames_of(7, 4), frames_of(5, 9, seed=1)
    statistics.read([(["A", "B"], first), (["A", "A"], second)])
    found = []
    for speakers, frames in ((["A", "B"], first), (["A", "A"], second)):
        values, counts = statistics.standardise(speakers, frames)["fbank"]
        rows = zip(speakers, values, counts, strict=True)
        found += [(speaker, x[:n]) for speaker, x, n in rows]
    for speaker, n_frames in (("A", 7 + 5 + 9), ("B", 4)):
        own = torch.cat([x for name, x in found if name == speaker])
        assert own.shape == (n_frames, 2)
        torch.testing.assert_close(own.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
        deviation = own.std(0, correction=0)
        torch.testing.assert_close(deviation, torch.ones(2), atol=1e-5, rtol=0)


def test_a_constant_dimension_stays_finite():
    statistics = SpeakerStatistics()
    frames = {"fbank": Frames(torch.full((1, 4, 2), 3.0), torch.tensor([4]))}
    statistics.read([(["A"], frames)])
    values = statistics.standardise(["A"], frames)["fbank"].values
    assert torch.equal(values, torch.zeros(1, 4, 2))


def test_another_value_than_speaker_or_null_is_refused():
    with pytest.raises(
        ValueError, match="standardise_by .*'session'; .*speaker, corpu"
    ):
        Settings.from_file(BASE, {"standardise_by": "session"})


@pytest.mark.slow
@pytest.mark.parametrize("group", ["speaker", "corpus"])
def test_an_adapted_run_is_marked_wherever_its_scores_stand(tmp_path, group):
    run = run_experiment(
        write_corpus(tmp_path), "fbank_ecapa", standardise_by=group, **PLAIN
    )
    assert json.loads((run / "fold_1" / "fold.json").read_text())["adapted"] == group
    report = write_report(run, ["neu", "hap", "ang", "sad"], "Adapted")
    assert "includes the test speakers" in report.read_text()
    rows = read_results(report.parent / "results.csv")
    assert rows["adapted"].tolist() == [group, group]
    with pytest.raises(ValueError, match=f"standardise_by: {group}"):
        export_run(run, tmp_path / "model")


@pytest.mark.slow
def test_frames_that_change_in_training_are_refused_with_what_changes_them(tmp_path):
    folder = write_corpus(tmp_path)
    with pytest.raises(ValueError, match="crop_s would change the frames"):
        run_experiment(
            folder, "fbank_ecapa", standardise_by="speaker", **PLAIN | {"crop_s": 0.5}
        )


def test_a_corpus_is_one_group_whoever_speaks():
    brain = EmotionBrain(
        hparams={"standardise_by": "corpus"}, run_opts={"device": "cpu"}
    )
    batch = SimpleNamespace(id=["1", "2"], speaker=["A", "B"], corpus=["", ""])
    assert brain._groups(batch) == ["", ""]
    batch.corpus = ["RAVDESS", "nEMO"]
    assert brain._groups(batch) == ["RAVDESS", "nEMO"]
    brain.hparams.standardise_by = "speaker"
    assert brain._groups(batch) == ["A", "B"]
