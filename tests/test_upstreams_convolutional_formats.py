"""Checkpoints of CPC, wav2vec and DeLoRes: every format, and what is refused."""

import sys
import types
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_convolutional import LOAD, batch, every, read, tiny, written
from tiny_upstreams import UPSTREAMS

from ser_lib.upstreams.audio_ntt import AudioNtt2020
from ser_lib.upstreams.cpc import Cpc, CpcUpstream
from ser_lib.upstreams.delores import DeloresUpstream
from ser_lib.upstreams.families import load_upstream
from ser_lib.upstreams.wav2vec import Wav2VecUpstream, parse_layers
from ser_lib.upstreams.wav2vec_network import Wav2Vec


def test_the_converted_format_of_s3prl_gives_the_same_network(tmp_path):
    path = written(tmp_path, "wav2vec")
    original = Wav2VecUpstream(path).eval()
    content = read(path)
    head = {"wav2vec_predictions.project_to_steps.bias": torch.zeros(6)}
    converted = {
        "task_cfg": {},
        "model_cfg": vars(content["args"]),
        "model_weight": {**content["model"], **head},
    }
    torch.save(converted, path)
    wavs, wav_lens = batch()
    values = Wav2VecUpstream(path).eval()(wavs, wav_lens).values
    assert torch.equal(values, original(wavs, wav_lens).values)


def test_options_that_a_file_of_fairseq_does_not_name_are_its_architectures(tmp_path):
    network = Wav2Vec(
        [(4, 10, 5), (4, 8, 4), *[(4, 4, 2)] * 3],
        [(4, 3, 1)] * 9,
        skip_connections=False,
        log_compression=False,
    )
    path = written(tmp_path, "wav2vec", network)
    sizes = {
        "conv_feature_layers": "[(4, 10, 5)] + [(4, 8, 4)] + [(4, 4, 2)] * 3",
        "conv_aggregator_layers": "[(4, 3, 1)] * 9",
    }
    torch.save({**read(path), "args": Namespace(**sizes)}, path)
    loaded = Wav2VecUpstream(path).network
    assert (loaded.skip_connections, loaded.log_compression) == (False, False)
    assert loaded.residual_scale == 0.5
    assert loaded.feature_layers == network.feature_layers


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("activation", "gelu"),
        ("vq_type", "gumbel"),
        ("aggregator", "gru"),
        ("agg_zero_pad", True),
        ("no_conv_bias", True),
        ("skip_connections_feat", True),
        ("non_affine_group_norm", True),
    ],
)
def test_another_architecture_of_wav2vec_is_refused_by_name(tmp_path, option, value):
    path = written(tmp_path, "wav2vec")
    content = read(path)
    setattr(content["args"], option, value)
    torch.save(content, path)
    with pytest.raises(ValueError, match=f"{path} was .* {option} = {value!r}"):
        Wav2VecUpstream(path)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("arMode", "transformer"),
        ("normMode", "batchNorm"),
        ("encoder_type", "mfcc"),
        ("cpc_mode", "reverse"),
    ],
)
def test_another_architecture_of_cpc_is_refused_by_name(tmp_path, option, value):
    path = written(tmp_path, "cpc")
    content = read(path)
    content["config"][option] = value
    torch.save(content, path)
    with pytest.raises(ValueError, match=f"{path} was .* {option} = {value!r}"):
        CpcUpstream(path)


def test_options_that_a_file_of_cpc_does_not_name_are_the_published_ones(tmp_path):
    path = written(tmp_path, "cpc", Cpc())
    torch.save({**read(path), "config": {"nPredicts": 12}}, path)
    assert CpcUpstream(path).network.dims == [256, 256]


def test_weights_of_another_size_are_refused_with_the_first_key(tmp_path):
    path = written(tmp_path, "cpc")
    content = read(path)
    content["config"]["hiddenEncoder"] = 16
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"another shape gEncoder.conv0.weight \(8,"):
        CpcUpstream(path)


@every
def test_a_weight_that_the_network_does_not_have_is_refused(tmp_path, name):
    path = written(tmp_path, name)
    content = read(path)
    key = {"cpc": "weights", "wav2vec": "model", "delores": "state_dict"}[name]
    content[key]["features.99.weight"] = torch.zeros(1)
    torch.save(content, path)
    with pytest.raises(ValueError, match="unexpected features.99.weight"):
        LOAD[name](path)


@pytest.mark.parametrize(
    ("name", "other", "message"),
    [
        ("cpc", "wav2vec", "has no config, no weights; .* args, model"),
        ("wav2vec", "cpc", "has .'config', 'weights'.; .* args and model"),
        ("delores", "cpc", "no DeLoRes network.*encoder_q.encoder.features"),
    ],
)
def test_a_checkpoint_of_another_encoder_is_refused(tmp_path, name, other, message):
    with pytest.raises(ValueError, match=message):
        LOAD[name](written(tmp_path, other))


class Intruder:
    """Would write a file while it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@every
def test_a_foreign_class_beside_the_weights_is_not_run(tmp_path, name):
    path, trace = written(tmp_path, name), tmp_path / "trace"
    expected = LOAD[name](path).state_dict()
    torch.save({**read(path), "optimizer": Intruder(str(trace))}, path)
    loaded = LOAD[name](path).state_dict()
    assert all(loaded[key].equal(value) for key, value in expected.items())
    assert not trace.exists()


@every
def test_a_foreign_class_in_place_of_a_weight_is_refused_unrun(tmp_path, name):
    path, trace = written(tmp_path, name), tmp_path / "trace"
    content = read(path)
    key, weights = list(content.items())[-1]
    content[key] = {**weights, list(weights)[-1]: Intruder(str(trace))}
    torch.save(content, path)
    with pytest.raises(ValueError, match="of another shape|of another kind"):
        LOAD[name](path)
    assert not trace.exists()


def lape_name(key: str) -> str:
    """features.5.bias is features_2.1.bias in LAPE."""
    part, number, rest = key.split(".", 2)
    if part == "fc":
        return key
    return f"features_{int(number) // 4 + 1}.{int(number) % 4}.{rest}"


@pytest.mark.parametrize(
    ("prefix", "rename", "others"),
    [
        ("module.", str, ["module.projector.1.weight", "module.bn.running_mean"]),
        (
            "encoder_q.encoder.",
            lape_name,
            [
                "encoder_k.encoder.fc.0.weight",
                "encoder_q.fc.weight",
                "queue_ptr",
                "p1.",
            ],
        ),
        ("encoder.encoder.", lape_name, ["p.projector.0.weight"]),
        ("", str, []),
    ],
)
def test_each_training_script_of_delores_saves_the_same_network(
    tmp_path, prefix, rename, others
):
    network, path = tiny("delores"), tmp_path / "delores.pth"
    state = {f"{prefix}{rename(k)}": v for k, v in network.state_dict().items()}
    state |= {key: torch.zeros(3) for key in others}
    torch.save({"state_dict": state} if prefix else state, path)
    loaded = DeloresUpstream(str(path)).network.state_dict()
    for key, value in network.state_dict().items():
        assert torch.equal(loaded[key], value), key


def lightning_checkpoint(network: AudioNtt2020) -> dict:
    """As PyTorch Lightning saves DeLoRes-M of LAPE, whose modules are not here."""
    names = {
        "src": [],
        "src.encoder": ["AudioNTT2020"],
        "src.callbacks": ["BestCheckpoint", "Mode"],
    }
    made = {}
    for module, kinds in names.items():
        sys.modules[module] = types.ModuleType(module)
        for kind in kinds:
            made[kind] = type(kind, (), {"__module__": module})
            setattr(sys.modules[module], kind, made[kind])
    state = network.state_dict()
    state = {f"encoder_q.encoder.{lape_name(k)}": v for k, v in state.items()}
    callback = made["BestCheckpoint"]()
    callback.best, callback.path = torch.tensor(0.5), Path("best.ckpt")
    return {
        "epoch": 3,
        "global_step": 100,
        "pytorch-lightning_version": "1.6.3",
        "state_dict": {**state, "queue": torch.zeros(2), "queue_ptr": torch.zeros(1)},
        "callbacks": {made["BestCheckpoint"]: {"monitor": None}},
        "optimizer_states": [{"state": {}, "param_groups": [{"lr": np.float64(1)}]}],
        "hparams_name": "kwargs",
        "hyper_parameters": {
            "base_encoder": made["AudioNTT2020"],
            "mode": made["Mode"](),
            "callback": callback,
            "config": Namespace(dim=4),
        },
    }


def test_delores_m_is_read_from_a_checkpoint_of_pytorch_lightning(tmp_path):
    network, path = tiny("delores"), tmp_path / "delores_m.ckpt"
    torch.save(lightning_checkpoint(network), path)
    for module in ("src", "src.encoder", "src.callbacks"):
        del sys.modules[module]
    loaded = DeloresUpstream(str(path)).network.state_dict()
    for key, value in network.state_dict().items():
        assert torch.equal(loaded[key], value), key
    assert not any(module.startswith("src") for module in sys.modules)


def test_a_gru_of_cpc_is_the_gru_of_its_file(tmp_path):
    torch.manual_seed(0)
    network = Cpc(dim=8, context_dim=4, context_layers=2, context_type="GRU")
    path = written(tmp_path, "cpc", network)
    assert read(path)["config"]["arMode"] == "GRU"
    upstream = CpcUpstream(path, freeze=True)
    (z, c), _ = upstream.hidden_states(*batch())
    gru = torch.nn.GRU(8, 4, 2, batch_first=True)
    weights = read(path)["weights"]
    prefix = "gAR.baseNet."
    gru.load_state_dict(
        {k.removeprefix(prefix): v for k, v in weights.items() if prefix in k}
    )
    torch.testing.assert_close(c, gru(z)[0], atol=1e-6, rtol=0)
    again = CpcUpstream(upstream.without_weights())
    again.load_state_dict(upstream.state_dict())


def spoilt(value: object, wrong: object) -> list:
    """Give copies of nested dictionaries; in each, another value is a wrong one."""
    if isinstance(value, Namespace):
        return [
            wrong,
            *(Namespace(**inner) for inner in spoilt(vars(value), wrong)[1:]),
        ]
    if not isinstance(value, dict):
        return [wrong]
    inside = [
        {**value, key: changed}
        for key in value
        for changed in spoilt(value[key], wrong)
    ]
    return [wrong, *inside]


@pytest.mark.parametrize("wrong", [None, [], [1, 2], "text", {}], ids=str)
@pytest.mark.parametrize("name", ["cpc", "wav2vec", "delores", "apc", "mockingjay"])
def test_an_entry_of_another_kind_gives_no_other_error_than_a_valueerror(
    tmp_path, name, wrong
):
    family, write = UPSTREAMS[name]
    source = Path(write(tmp_path))
    path = source if source.is_file() else next(source.iterdir())
    content = torch.load(path, weights_only=False)
    n_refused = 0
    for changed in spoilt(content, wrong):
        torch.save(changed, path)
        try:
            load_upstream(family, str(path), layer="last")
        except ValueError as error:
            n_refused += 1
            assert str(path) in str(error)
    assert n_refused > len(content) / 2  # the rest are options that have a default


def test_layer_lists_are_read_as_fairseq_writes_them():
    text = "[(512, 10, 5)] + [(512, 8, 4)]*2 +[(512,1,1), (256,1,1)]"
    assert parse_layers(text) == [
        (512, 10, 5),
        (512, 8, 4),
        (512, 8, 4),
        (512, 1, 1),
        (256, 1, 1),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "[(512, 10, 5)] + open('x')",
        "[(512, 10, 5)] * (9 ** 9)",
        "[(512, 10, 5)] * 99 + [(512, 10, 5)] * 99",
        "[(999999999, 10, 5)]",
        "[(512, 10)]",
        "[(512, 10, 0)]",
        "[(512, 10, -5)]",
        "[512, 10, 5]",
        "[(512, 10, 5]",
        "((((((((",
        "[] * 3",
        "",
        None,
    ],
)
def test_anything_else_than_a_layer_list_is_refused_unrun(text):
    with pytest.raises(ValueError, match=r"expected \(size"):
        parse_layers(text)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("open('x')", r"expected \(size"),
        ("[(8, 3, 2)]", "strides of the aggregator must be 1"),
    ],
)
def test_a_file_with_impossible_layers_is_named(tmp_path, layers, message):
    path = written(tmp_path, "wav2vec")
    content = read(path)
    content["args"].conv_aggregator_layers = layers
    torch.save(content, path)
    with pytest.raises(ValueError, match=f"{path} .*{message}"):
        Wav2VecUpstream(path)
