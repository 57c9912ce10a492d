"""Every upstream through both stages: fine-tuned, averaged, encoded, aggregated."""

from itertools import cycle
from pathlib import Path

import pytest
import torch
from padding_invariance import SAMPLES, assert_alone_equals_padded, write_noise
from speechbrain.utils.run_opts import RunOptions
from tiny_upstreams import TEXTS, UPSTREAMS

from ser_lib.corpora import Utterance
from ser_lib.dataio import FrameStore
from ser_lib.experiment import run_folds
from ser_lib.export.finished_fold import load_trained
from ser_lib.fold_run import FoldRun
from ser_lib.folds import Fold, write_folds
from ser_lib.settings import Settings
from ser_lib.training import finetuning_settings

pytestmark = pytest.mark.slow

EXPERIMENT = (
    Path(__file__).resolve().parents[1] / "recipes/IEMOCAP/hparams/upstream_ecapa.yaml"
)
OPTIONS = RunOptions.from_dictionary({"device": "cpu", "noprogressbar": True})
SMALL = {
    "number_of_epochs": 2,
    "averaged_checkpoints": 2,
    "ecapa_channels": [16, 16, 16, 16, 48],
    "ecapa_attention_channels": 8,
    "embedding_size": 16,
    "num_workers": 0,
    "tensorboard": "no",
}
STAGE_A = {"number_of_epochs": 2, "batch_size": 4, "lr_upstream": 0.001}
WITHOUT_TRAINING = {"fbank"}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_noise(tmp_path_factory.mktemp("data"))


def settings_of(family: str, source: str | None, data: Path, results: Path) -> Settings:
    given = SMALL | {"family": family, "upstream_source": source}
    given |= {"data_folder": str(data), "results_folder": str(results)}
    return Settings.from_file(
        EXPERIMENT,
        {**given, "finetuned": {"upstream": {"overrides": STAGE_A}}},
    )


def small_fold(labels: list[str]) -> Fold:
    def part(name: str) -> list[Utterance]:
        columns = zip(SAMPLES, cycle(labels), cycle(TEXTS), strict=False)
        return [
            Utterance(f"{name}{i}", f"{i}.wav", label, name, n / 16000, text=text)
            for i, (n, label, text) in enumerate(columns)
        ]

    return Fold(1, part("train"), part("valid"), part("test"))


@pytest.mark.parametrize("name", UPSTREAMS)
def test_an_upstream_is_fine_tuned_averaged_and_aggregated(name, data, tmp_path):
    family, write = UPSTREAMS[name]
    (tmp_path / "encoder").mkdir()
    source = write(tmp_path / "encoder")
    settings = settings_of(family, source, data, tmp_path / "results")
    fold = small_fold(list(settings["labels"]))
    write_folds([fold], settings["corpus"], settings["output_folder"])
    run_folds(settings, [fold], OPTIONS)
    model, info = load_trained(settings["output_folder"], 1)
    assert sorted(info["averaged_epochs"]) == [1, 2]
    assert info["upstreams_trained_in"].keys() == {"upstream"}
    tuned = model.upstreams["upstream"].state_dict()
    before = settings["upstream"].state_dict()
    changed = [key for key in tuned if not torch.equal(tuned[key], before[key])]
    assert bool(changed) == (name not in WITHOUT_TRAINING)
    stored = FrameStore(FoldRun(settings, fold, OPTIONS).frames_folder("upstream"))
    assert stored.dim == model.upstreams["upstream"].dim
    assert_alone_equals_padded(model)


def test_what_chooses_the_encoder_holds_for_both_stages(data, tmp_path):
    settings = settings_of("apc", "folder/apc.ckpt", data, tmp_path)
    stage = finetuning_settings(settings, "upstream")
    for key in ("family", "upstream_source", "layer", "data_folder"):
        assert stage[key] == settings[key]
    assert (stage["freeze"], settings["freeze"]) == (False, True)


def test_each_fold_pools_the_frames_of_the_encoder_that_it_fine_tuned(data, tmp_path):
    family, write = UPSTREAMS["wav2vec2"]
    (tmp_path / "encoder").mkdir()
    source = write(tmp_path / "encoder")
    first = small_fold(["neu", "hap", "ang", "sad"])
    second = Fold(2, first.test, first.valid, first.train)
    path = EXPERIMENT.with_name("upstream_mean.yaml")
    predicted = []
    for name, folds in (("together", [first, second]), ("alone", [second])):
        given = {"family": family, "upstream_source": source, "num_workers": 0}
        given |= {"number_of_epochs": 2, "averaged_checkpoints": 2, "tensorboard": "no"}
        given |= {"data_folder": str(data), "results_folder": str(tmp_path / name)}
        given |= {"finetuned": {"upstream": {"overrides": STAGE_A}}}
        settings = Settings.from_file(path, given)
        run_folds(settings, folds, OPTIONS)
        path_of_fold = Path(settings["output_folder"]) / "fold_2" / "predictions.csv"
        predicted.append(path_of_fold.read_text())
    assert predicted[0] == predicted[1]
