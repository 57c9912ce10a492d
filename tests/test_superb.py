"""The SUPERB protocol: every upstream by one setting, through the same training."""

import shutil
from itertools import cycle
from pathlib import Path

import pytest
import torch
from padding_invariance import SAMPLES, assert_alone_equals_padded, write_noise
from speechbrain import Stage
from speechbrain.utils.run_opts import RunOptions
from tiny_upstreams import TEXTS, UPSTREAMS

from ser_lib.aggregators import ProjectedMean
from ser_lib.corpora import Utterance
from ser_lib.dataio import fold_inputs, make_loaders
from ser_lib.folds import Fold
from ser_lib.settings import Settings
from ser_lib.training import settings_key
from ser_lib.training.assembly import make_brain
from ser_lib.training.brain import EmotionBrain
from ser_lib.training.cache_keys import encoder_digest
from ser_lib.upstreams import Frames
from ser_lib.upstreams.families import FAMILIES, load_upstream, published_source

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
SUPERB = RECIPES / "RAVDESS" / "hparams" / "superb.yaml"
OWN_UPSTREAM = """
import torch
from ser_lib.upstreams import Frames, sample_counts


class Loudness(torch.nn.Module):
    reads, dim, hop_samples, min_samples, frozen = "wav", 1, 320, 320, False

    def __init__(self, source, freeze, layer):
        super().__init__()

    def forward(self, wavs, wav_lens):
        power = wavs.unfold(1, 320, 320).square().mean(-1, keepdim=True)
        return Frames(power.log1p(), sample_counts(wavs, wav_lens) // 320)


class NoUpstream(torch.nn.Module):
    dim = 1

    def __init__(self, source, freeze, layer):
        super().__init__()
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_noise(tmp_path_factory.mktemp("data"))


def settings_of(family: str, source: str | None, data: Path) -> Settings:
    given = {"family": family, "data_folder": str(data), "tensorboard": "no"}
    given |= {"batch_size": 2, "upstream_source": source}
    return Settings.from_file(SUPERB, given)


def fold_of(labels: list[str]) -> Fold:
    rows = [
        Utterance(f"u{i}", f"{i}.wav", label, "s", n / 16000, text=text)
        for i, (n, label, text) in enumerate(
            zip(SAMPLES, cycle(labels), cycle(TEXTS), strict=False)
        )
    ]
    return Fold(1, rows, rows, rows)


def train_two_steps(brain: EmotionBrain, settings: Settings, hparams: dict) -> None:
    fold = fold_of(list(settings["labels"]))
    loaders = make_loaders(hparams, fold, fold_inputs(settings, brain.reads, fold))
    brain.train_sampler = loaders["train"].batch_sampler
    brain.hparams.epoch_counter.current = 1
    brain.on_fit_start()
    brain.modules.train()
    brain.on_stage_start(Stage.TRAIN, 1)
    batches = list(loaders["train"])
    assert len(batches) == 2
    for brain.step, batch in enumerate(batches, start=1):
        brain.on_fit_batch_start(batch, True)
        assert torch.isfinite(brain.fit_batch(batch))


def states_of(brain: EmotionBrain) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in brain.modules.state_dict().items()}


@pytest.mark.parametrize("name", UPSTREAMS)
def test_an_upstream_takes_two_steps_and_gives_equal_logits_alone_and_padded(
    name, data, tmp_path
):
    family, write = UPSTREAMS[name]
    (tmp_path / "encoder").mkdir()
    settings = settings_of(family, write(tmp_path / "encoder"), data)
    hparams = settings.build(fold=1, save_folder=str(tmp_path / "fold"))
    options, rows = RunOptions(noprogressbar=True), fold_of(list(settings["labels"]))
    brain = make_brain(hparams, {}, options, tmp_path / "fold", rows.train)
    before = states_of(brain)
    train_two_steps(brain, settings, hparams)
    changed = {k for k, v in states_of(brain).items() if not torch.equal(v, before[k])}
    one_layer = name in ("fbank", "bert")
    expected = set() if one_layer else {"upstreams.upstream.layer_mix.weights"}
    parts = ("branches.0.aggregator.projection", "classifier")
    expected |= {f"downstream.{part}.{k}" for part in parts for k in ("weight", "bias")}
    assert changed == expected  # nothing of the encoder
    assert_alone_equals_padded(hparams["model"].eval())


def test_all_families_are_among_the_sixteen_upstreams():
    assert len(UPSTREAMS) == 16
    assert {family for family, _ in UPSTREAMS.values()} == set(FAMILIES)


def test_projecting_each_frame_and_averaging_is_what_the_aggregator_does():
    pooling, values = ProjectedMean(input_size=3, size=2), torch.randn(2, 4, 3)
    embeddings = pooling(Frames(values, torch.tensor([4, 2])))
    for embedding, frames in zip(embeddings, (values[0], values[1, :2]), strict=True):
        expected = torch.stack([pooling.projection(frame) for frame in frames]).mean(0)
        torch.testing.assert_close(embedding, expected)


def test_one_setting_on_the_command_line_chooses_class_and_checkpoint():
    for family in ("apc", "wav2vec", "hubert"):
        settings = Settings.from_file(SUPERB, f"family: {family}")
        assert settings["upstream_source"] == FAMILIES[family].source
        assert f"superb_{family}" in settings["output_folder"]
    assert Settings.from_file(SUPERB, "family: fbank")["upstream"].dim == 80


def test_a_family_without_a_named_checkpoint_says_what_to_do():
    with pytest.raises(ValueError, match=r"Download https.*--upstream_source FILE"):
        published_source("cpc")
    with pytest.raises(ValueError, match=r"No checkpoint of DeLoRes.*Pretraining"):
        published_source("delores")


def test_an_unknown_family_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="no family 'apcc'.*mockingjay, tera, apc"):
        load_upstream("apcc")


def test_a_class_of_the_users_own_is_taken_by_its_name(tmp_path, monkeypatch, data):
    (tmp_path / "my_loudness.py").write_text(OWN_UPSTREAM)
    monkeypatch.syspath_prepend(tmp_path)
    settings = Settings.from_file(SUPERB, "family: my_loudness.Loudness")
    assert settings["upstream_source"] is None
    assert_alone_equals_padded(settings["model"].eval())


def test_a_class_that_is_missing_or_no_upstream_is_named(tmp_path, monkeypatch):
    (tmp_path / "my_classes.py").write_text(OWN_UPSTREAM)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"my_classes\.Louder cannot be imported"):
        load_upstream("my_classes.Louder")
    with pytest.raises(ValueError, match="no_such_module.Upstream cannot be imported"):
        load_upstream("no_such_module.Upstream")
    with pytest.raises(ValueError, match="it has no reads, no hop_samples, no min_sam"):
        load_upstream("my_classes.NoUpstream")


def test_a_checkpoint_counts_by_its_content_and_not_by_its_place(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    path = Path(UPSTREAMS["cpc"][1](tmp_path / "a"))
    shutil.copy(path, tmp_path / "b" / "other name.pt")
    digest = encoder_digest(str(path))
    assert encoder_digest(str(tmp_path / "a")) == digest  # a folder that holds one
    assert encoder_digest(str(tmp_path / "b" / "other name.pt")) == digest
    path.write_bytes(b"other weights")
    assert encoder_digest(str(path)) != digest
    assert encoder_digest(None) != digest


def test_the_key_of_an_experiment_follows_family_and_weights(tmp_path, data):
    def key(family: str, source: str) -> str:
        return settings_key(settings_of(family, source, data), RunOptions())

    path = UPSTREAMS["cpc"][1](tmp_path)
    first = key("cpc", path)
    copy = str(shutil.copy(path, tmp_path / "copy.pt"))
    assert key("cpc", copy) == first
    assert key("wav2vec", path) != first
    Path(copy).write_bytes(b"other weights")
    assert key("cpc", copy) != first


def test_a_missing_checkpoint_is_named_before_anything_is_trained(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no encoder folder .*no\.pt"):
        encoder_digest(str(tmp_path / "no.pt"))
