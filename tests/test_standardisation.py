"""Frames standardised by speaker, corpus or training part, without labels."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from model_folders import run_experiment, write_corpus
from speechbrain import Stage

from ser_lib.aggregators import MeanPooling, ProjectedMean, StatisticsPooling
from ser_lib.corpora import Utterance
from ser_lib.evaluation import write_report
from ser_lib.evaluation.results_csv import read_results
from ser_lib.model import EmotionModel
from ser_lib.settings import Settings
from ser_lib.training import EmotionBrain
from ser_lib.training.group_statistics import GroupStatistics
from ser_lib.upstreams import (
    FbankUpstream,
    Frames,
    FrameStandardiser,
    frame_moments,
    joined_moments,
)

BASE = Path(__file__).parents[1] / "recipes" / "hparams" / "base.yaml"
PLAIN = {"crop_s": None, "frame_augment": None, "wav_augment": None}
SPEAKERS = {"1": "A", "2": "B", "3": "A", "4": "A"}
CORPORA = {"1": "RAVDESS", "2": "RAVDESS", "3": "nEMO", "4": "nEMO"}


def frames_of(*counts: int, seed: int = 0) -> Frames:
    generator = torch.Generator().manual_seed(seed)
    values = 3 * torch.randn(len(counts), max(counts), 2, generator=generator) + 5
    return Frames(values, torch.tensor(counts))


FRAMES = frames_of(7, 4, 5, 9)
UTTERANCES = [
    Utterance(i, "", "x", SPEAKERS[i], 1.0, corpus=CORPORA[i]) for i in "1234"
]


def statistics() -> GroupStatistics:
    moments = dict(zip("1234", frame_moments(FRAMES), strict=True))
    return GroupStatistics(UTTERANCES, {i: {"fbank": m} for i, m in moments.items()})


def brain(standardise_by: str) -> EmotionBrain:
    model = EmotionModel(
        ["x", "y"],
        {"fbank": FbankUpstream(n_mels=2)},
        [{"upstreams": ["fbank"], "aggregator": StatisticsPooling}],
        standardise_by=standardise_by,
    )
    modules = {"downstream": model.downstream, "standardisers": model.standardisers}
    hparams = {"standardise_by": standardise_by}
    found = EmotionBrain(modules, hparams=hparams, run_opts={"device": "cpu"})
    found.group_statistics = statistics()
    found.pooled = {
        i: list(model.downstream.pool({"fbank": FRAMES})[0][k : k + 1])
        for k, i in enumerate("1234")
    }
    return found


def frames_by_group(brain: EmotionBrain, stage: Stage, groups: dict) -> dict:
    """Return all standardised frames of each group."""
    (values, counts) = brain.standardise({"fbank": FRAMES}, list("1234"), stage)[
        "fbank"
    ]
    found = {}
    for i, x, n in zip("1234", values, counts, strict=True):
        found.setdefault(groups[i], []).append(x[:n])
    return {group: torch.cat(own) for group, own in found.items()}


def assert_standardised(frames: torch.Tensor) -> None:
    torch.testing.assert_close(frames.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    deviation = frames.std(0, correction=0)
    torch.testing.assert_close(deviation, torch.ones(2), atol=1e-5, rtol=0)


def test_moments_of_utterances_join_to_those_of_all_frames():
    rows = [x[:n] for x, n in zip(*FRAMES, strict=True)]
    frames = torch.cat(rows).double()
    n, mean, variance = joined_moments(frame_moments(FRAMES))
    assert n.tolist() == [7 + 4 + 5 + 9] * 2
    torch.testing.assert_close(mean, frames.mean(0))
    torch.testing.assert_close(variance, frames.var(0, correction=0))


@pytest.mark.parametrize(
    ("by", "groups", "sizes"),
    [
        # Speaker A of one corpus is not speaker A of the other.
        ("speaker", {"1": "A", "2": "B", "3": "C", "4": "C"}, [7, 4, 14]),
        ("corpus", CORPORA, [11, 14]),
    ],
)
def test_all_frames_of_a_group_have_mean_zero_and_deviation_one(by, groups, sizes):
    for stage in (Stage.TRAIN, Stage.TEST):
        found = frames_by_group(brain(by), stage, groups)
        assert [len(frames) for frames in found.values()] == sizes
        for frames in found.values():
            assert_standardised(frames)


def test_mixed_standardises_test_utterances_by_the_training_part():
    mixed = brain("mixed")
    mixed.fit_standardisation(["1", "4"], loader=None)
    found = frames_by_group(
        mixed, Stage.TEST, dict.fromkeys("14", "train") | {"2": 2, "3": 3}
    )
    assert_standardised(found["train"])
    assert not torch.allclose(found[3].mean(0), torch.zeros(2), atol=0.01)


def test_mixed_draws_speaker_corpus_and_training_part_equally_often_in_training():
    torch.manual_seed(0)
    drawn = pd.Series(brain("mixed")._chosen(9000, Stage.TRAIN)).value_counts()
    assert set(drawn.index) == {"speaker", "corpus", "training part"}
    # Six standard deviations of a binomial count: sqrt(9000 * 1/3 * 2/3) = 44.7
    assert (drawn - 3000).abs().max() < 6 * 44.7


def test_pooling_standardised_frames_is_standardising_what_was_pooled():
    for pooling in (MeanPooling, ProjectedMean, StatisticsPooling):
        aggregator = pooling(input_size=2)
        mean, sd = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, 3.0]])
        frames = Frames((FRAMES.values - mean) / sd, FRAMES.counts)
        found = aggregator.standardise(aggregator.pool(FRAMES), mean, sd)
        torch.testing.assert_close(found, aggregator.pool(frames), atol=1e-5, rtol=0)


def test_a_constant_dimension_stays_finite():
    frames = Frames(torch.full((1, 4, 2), 3.0), torch.tensor([4]))
    standardiser = FrameStandardiser(2)
    standardiser.fit(frame_moments(frames))
    assert torch.equal(standardiser(frames).values, torch.zeros(1, 4, 2))


def test_more_recordings_replace_the_statistics_of_the_training_part():
    standardiser = FrameStandardiser(1)
    standardiser.fit(torch.tensor([[[100.0], [0.0], [4.0]]]))
    moments = torch.tensor([[50.0], [10.0], [0.0]])
    # Half of 100 frames at 0, half at 10: mean 5, variance 25 + half of 4
    standardiser.adapt(moments, prior_frames=50)
    assert standardiser.mean.item() == pytest.approx(5)
    assert standardiser.sd.item() == pytest.approx(27**0.5)
    standardiser.adapt(moments, prior_frames=0)
    assert standardiser.mean.item() == pytest.approx(10)


def test_the_farthest_speaker_is_measured_in_deviations_of_the_training_part():
    standardiser = FrameStandardiser(1)
    # Means -3 and 3, each with variance 16: together mean 0 and variance 25
    standardiser.fit(torch.tensor([[[9.0], [-3.0], [16.0]], [[9.0], [3.0], [16.0]]]))
    assert standardiser.farthest.item() == pytest.approx(3 / 5)
    assert standardiser.distance(torch.tensor([10.0])) == pytest.approx(2)


def test_another_value_is_refused():
    with pytest.raises(
        ValueError, match="standardise_by .*'session'; .*speaker, corpus, mixed"
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


@pytest.mark.slow
def test_frames_that_change_in_training_are_refused_with_what_changes_them(tmp_path):
    folder = write_corpus(tmp_path)
    with pytest.raises(ValueError, match="crop_s would change the frames"):
        run_experiment(
            folder, "fbank_ecapa", standardise_by="speaker", **PLAIN | {"crop_s": 0.5}
        )
