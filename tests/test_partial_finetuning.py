"""Fine-tuning of a part: frozen lower layers, rates by layer, low-rank adapters."""

import copy

import pytest
import torch
from tiny_upstreams import UPSTREAMS
from torch import nn

from ser_lib.model import Upstreams
from ser_lib.synthetic.encoders import (
    write_tiny_bert,
    write_tiny_hubert,
    write_tiny_whisper,
)
from ser_lib.training.checkpoints import AtomicCheckpointer, load_average, saved_modules
from ser_lib.training.partial_finetuning import choose_weights, upstream_groups
from ser_lib.upstreams import (
    FbankUpstream,
    HuggingFaceUpstream,
    TextUpstream,
    WhisperUpstream,
    load_lora,
    load_upstream,
    lora_weights,
    merge_lora,
)

WAVS, LENS = torch.randn(2, 8000), torch.tensor([1.0, 0.5])
DEFAULTS = {
    "experiment": "mine",
    "frozen_layers": 0,
    "lora": None,
    "lr_layer_decay": 1.0,
    "lr_upstream": 1e-4,
    "lr_downstream": 1e-3,
}


@pytest.fixture
def hubert(tmp_path) -> HuggingFaceUpstream:
    """A HuBERT of two layers, as ``base`` ones are: the norm is below the layers."""
    return HuggingFaceUpstream(str(write_tiny_hubert(tmp_path / "hubert")))


@pytest.fixture
def whisper(tmp_path) -> WhisperUpstream:
    return WhisperUpstream(str(write_tiny_whisper(tmp_path / "whisper")))


def chosen(upstream: nn.Module, **settings) -> Upstreams:
    upstreams = Upstreams({"upstream": upstream})
    choose_weights(upstreams, DEFAULTS | settings)
    return upstreams


def trained(module: nn.Module) -> set[str]:
    return {name for name, weight in module.named_parameters() if weight.requires_grad}


# ---- frozen layers


def test_frozen_layers_leave_the_higher_layers_and_what_is_above_them(whisper):
    everything = trained(whisper)
    chosen(whisper, frozen_layers=1)
    higher = ("network.encoder.layers.1.", "network.encoder.layer_norm.")
    assert trained(whisper) == {n for n in everything if n.startswith(higher)}


def test_frozen_layers_have_no_dropout(hubert):
    for module in hubert.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.5
    chosen(hubert, frozen_layers=1).train()
    hubert.model.config.layerdrop = 0.0
    first, second = (hubert.hidden_states(WAVS, LENS)[0] for _ in range(2))
    assert first[1].equal(second[1])  # below and after the frozen layer
    assert not first[2].equal(second[2])


def test_a_step_changes_no_frozen_layer(hubert):
    upstreams = chosen(hubert, frozen_layers=1)
    before = {name: weight.clone() for name, weight in hubert.named_parameters()}
    groups = upstream_groups(upstreams, DEFAULTS)
    optimizer = torch.optim.SGD(groups["upstreams"].weights, lr=1.0)
    hubert(WAVS, LENS).values.square().sum().backward()
    optimizer.step()
    changed = {n for n, w in hubert.named_parameters() if not w.equal(before[n])}
    assert changed == {n for n in before if n.startswith("model.encoder.layers.1.")}


def test_freezing_all_layers_is_refused(whisper):
    with pytest.raises(ValueError, match="frozen_layers is 2.*has 2 layers"):
        chosen(whisper, frozen_layers=2)


# ---- rates by layer


def test_each_lower_layer_has_a_lower_rate(whisper):
    decay = {"lr_layer_decay": 0.5}
    groups = upstream_groups(chosen(whisper, **decay), DEFAULTS | decay)
    rates = {name: group.lr for name, group in groups.items()}
    assert rates == pytest.approx(
        {
            "upstreams_upstream_2": 1e-4,
            "upstreams_upstream_1": 0.5e-4,
            "upstreams_upstream_0": 0.25e-4,
        }
    )
    grouped = [w for group in groups.values() for w in group.weights]
    assert len(grouped) == len({id(w) for w in grouped}) == len(trained(whisper))


@pytest.mark.parametrize("decay", [1.0, 0.5])
def test_a_learnable_sum_of_layers_is_trained_at_the_rate_of_the_head(tmp_path, decay):
    source = str(write_tiny_whisper(tmp_path))
    upstream = WhisperUpstream(source, layer="sum")
    settings = DEFAULTS | {"lr_layer_decay": decay}
    groups = upstream_groups(chosen(upstream, **settings), settings)
    assert groups["upstreams_mix"].lr == 1e-3
    assert groups["upstreams_mix"].weights == [upstream.layer_mix.weights]


@pytest.mark.parametrize("name", [name for name in UPSTREAMS if name != "fbank"])
def test_every_encoder_has_depths_that_hold_each_weight_once(name, tmp_path):
    family, write = UPSTREAMS[name]
    upstream = load_upstream(family, write(tmp_path), freeze=False, layer="last")
    depths = upstream.weights_by_depth()
    assert len(depths) == len(upstream.layer_stack) + 1 > 1
    weights = [id(weight) for depth in depths for weight in depth]
    assert sorted(weights) == sorted(map(id, upstream.parameters()))


# ---- adapters


def adapted(upstream: nn.Module, **options) -> Upstreams:
    """Add adapters, as if they had been trained: they change the output."""
    upstreams = chosen(upstream, lora={"r": 2, **options})
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in lora_weights(upstreams).values():
            weight.normal_(std=0.3)
    return upstreams


def test_adapters_change_nothing_before_they_are_trained(hubert):
    hubert.eval()
    before = hubert(WAVS, LENS).values
    chosen(hubert, lora={"r": 2})
    assert hubert(WAVS, LENS).values.equal(before)


def test_only_the_adapters_of_queries_and_values_are_trained(hubert):
    chosen(hubert, lora={"r": 2})
    expected = {
        f"model.encoder.layers.{i}.attention.{name}_proj.lora_{part}.default.weight"
        for i in (0, 1)
        for name in "qv"
        for part in "AB"
    }
    assert trained(hubert) == expected


def test_a_checkpoint_holds_the_adapters_only_and_loads_them_back(hubert, tmp_path):
    upstreams = adapted(hubert)
    saved = saved_modules({"upstreams": upstreams})
    checkpointer = AtomicCheckpointer(tmp_path / "save", saved)
    checkpoint = checkpointer.save_checkpoint(
        name="1", meta={"valid_accuracy": 0.5, "epoch": 1}
    )
    expected = {n: w.clone() for n, w in lora_weights(upstreams).items()}
    stored = torch.load(checkpoint.paramfiles["upstreams"])
    assert set(stored) == set(expected)
    assert len(stored) == 2 * 2 * 2  # layers, queries and values, A and B
    with torch.no_grad():
        for weight in lora_weights(upstreams).values():
            weight.zero_()
    load_average(checkpointer, saved, 1)
    assert all(w.equal(expected[n]) for n, w in lora_weights(upstreams).items())


@pytest.mark.parametrize("options", [{}, {"lora_alpha": 3, "use_rslora": True}])
def test_averaged_adapters_add_the_mean_of_what_each_epoch_adds(
    hubert, tmp_path, options
):
    upstreams = chosen(hubert, lora={"r": 2, **options}).eval()
    saved = saved_modules({"upstreams": upstreams})
    checkpointer = AtomicCheckpointer(tmp_path / "save", saved)
    torch.manual_seed(0)
    merged = []
    for epoch in (1, 2, 3):
        with torch.no_grad():
            for weight in lora_weights(upstreams).values():
                weight.normal_()
        meta = {"valid_accuracy": 0.5, "epoch": epoch}
        checkpointer.save_checkpoint(name=str(epoch), meta=meta)
        plain = copy.deepcopy(upstreams)
        merge_lora(plain)
        merged.append({k: v.double() for k, v in plain.state_dict().items()})
    load_average(checkpointer, saved, 3)
    unmerged = hubert(WAVS, LENS).values
    merge_lora(upstreams)
    for key, weight in upstreams.state_dict().items():
        mean = sum(state[key] for state in merged) / 3
        torch.testing.assert_close(weight.double(), mean, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(hubert(WAVS, LENS).values, unmerged, atol=1e-4, rtol=0)


def test_adapters_of_another_encoder_are_refused(hubert):
    weights = lora_weights(chosen(hubert, lora={"r": 2}))
    state = {key: value.clone() for key, value in weights.items()}
    first = next(key for key in state if "lora_A" in key)
    wider = {**state, first: torch.zeros(2, 128)}
    with pytest.raises(RuntimeError, match=r"size mismatch for .*lora_A"):
        load_lora(weights, wider)
    with pytest.raises(RuntimeError, match=r"Missing key.*lora_A"):
        load_lora(weights, {key: state[key] for key in state if key != first})


def test_merged_adapters_give_the_same_frames_and_leave_a_plain_encoder(hubert):
    names = set(hubert.state_dict())
    adapted(hubert).eval()
    expected = hubert(WAVS, LENS).values
    merge_lora(hubert)
    assert set(hubert.state_dict()) == names
    torch.testing.assert_close(hubert(WAVS, LENS).values, expected, atol=1e-5, rtol=0)


def test_adapters_in_frozen_layers_are_not_trained(hubert):
    chosen(hubert, lora={"r": 2}, frozen_layers=1)
    assert {name.split(".")[3] for name in trained(hubert)} == {"1"}


def test_a_text_encoder_takes_adapters(tmp_path):
    upstream = TextUpstream(str(write_tiny_bert(tmp_path, ["so", "we lost it"])))
    chosen(upstream, lora={"r": 2})
    assert {name.split(".")[-4] for name in trained(upstream)} == {"query", "value"}


# ---- mistakes


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        ({"rank": 2}, "lora has rank; expected only r, lora_alpha"),
        (
            {"r": 2, "target_modules": ["wq"]},
            "no linear layer named wq; .*q_proj",
        ),
        ({"r": 2, "lora_dropout": "much"}, "lora in the settings"),
    ],
)
def test_wrong_adapters_are_told(hubert, lora, message):
    with pytest.raises(ValueError, match=message):
        chosen(hubert, lora=lora)


def test_an_encoder_without_linear_layers_takes_no_adapters(tmp_path):
    family, write = UPSTREAMS["cpc"]
    upstream = load_upstream(family, write(tmp_path), freeze=False, layer="last")
    with pytest.raises(ValueError, match="no linear layer named q_proj or v_proj"):
        chosen(upstream, lora={"r": 2})


@pytest.mark.parametrize(
    "setting", [{"frozen_layers": 1}, {"lora": {"r": 2}}, {"lr_layer_decay": 0.9}]
)
def test_settings_that_would_have_no_effect_are_refused(setting, tmp_path):
    frozen = WhisperUpstream(str(write_tiny_whisper(tmp_path)), freeze=True)
    for upstream in (FbankUpstream(), frozen):
        (name,) = setting
        with pytest.raises(ValueError, match=f"{name} cannot be used in mine"):
            chosen(upstream, **setting)
