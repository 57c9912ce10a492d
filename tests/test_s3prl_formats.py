"""Published formats of Mockingjay, TERA and APC: sizes, names, refusals."""

import pytest
import torch
from s3prl_files import (
    apc_checkpoint,
    documented_shapes,
    mockingjay_checkpoint,
    padded_batch,
    small_config,
)
from torch import nn

from ser_lib.upstreams.apc import Apc, ApcUpstream, save_apc
from ser_lib.upstreams.apc import published_config as apc_config
from ser_lib.upstreams.mockingjay import MockingjayUpstream, save_mockingjay
from ser_lib.upstreams.mockingjay_network import Mockingjay, published_config


@pytest.mark.parametrize(("n_layers", "expected"), [(12, 85118208), (3, 21327360)])
def test_mockingjay_and_tera_have_the_published_sizes(n_layers, expected):
    with torch.device("meta"):
        network = Mockingjay(published_config(num_hidden_layers=n_layers))
    assert sum(p.numel() for p in network.parameters()) == expected


def test_apc_has_the_published_size():
    with torch.device("meta"):
        network = Apc(apc_config())
    assert sum(p.numel() for p in network.parameters()) == 4105296


def test_an_old_file_with_runner_gamma_and_beta_gives_the_same_states(tmp_path):
    new = mockingjay_checkpoint(small_config())
    old = {k: v for k, v in new.items() if k != "Upstream_Config"}
    old |= {"Runner": new["Config"], "Config": new["Upstream_Config"]}
    old["Transformer"] = {
        k.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): v
        for k, v in new["Transformer"].items()
    }
    assert "encoder.layer.1.output.LayerNorm.gamma" in old["Transformer"]
    states = []
    for name, content in (("new.ckpt", new), ("old.ckpt", old)):
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=False)
        upstream = MockingjayUpstream(str(tmp_path / name)).eval()
        states.append(upstream(*padded_batch()).values)
    assert torch.equal(*states)


def test_a_saved_mockingjay_has_the_published_keys_and_loads_again(tmp_path):
    network = Mockingjay(small_config(kaldi=True))
    head = nn.Linear(24, 201)
    save_mockingjay(tmp_path / "m.ckpt", network, head, step=7)
    content = torch.load(tmp_path / "m.ckpt", weights_only=False)
    assert list(content) == list(mockingjay_checkpoint({}))
    assert content["Step"] == 7
    assert content["SpecHead"]["weight"].equal(head.weight)
    shapes = {k: tuple(v.shape) for k, v in content["Transformer"].items()}
    assert shapes == documented_shapes(240)
    again = MockingjayUpstream(str(tmp_path)).network.state_dict()
    assert all(again[k].equal(v) for k, v in network.state_dict().items())


def test_a_saved_apc_has_the_published_keys_and_loads_again(tmp_path):
    network = Apc(apc_config(hidden_size=16))
    save_apc(tmp_path / "apc.ckpt", network)
    content = torch.load(tmp_path / "apc.ckpt", weights_only=True)
    expected = apc_checkpoint()
    assert set(content["model"]) == set(expected["model"])
    assert content["config"] == expected["config"]
    again = ApcUpstream(str(tmp_path)).network.state_dict()
    assert all(again[k].equal(v) for k, v in network.state_dict().items())


# ---- refusals


def refused(upstream: type, content: dict, folder, message: str) -> None:
    torch.save(content, folder / "states.ckpt")
    with pytest.raises(ValueError, match=message):
        upstream(str(folder))


def test_a_checkpoint_of_another_encoder_is_refused(tmp_path):
    apc, mockingjay = apc_checkpoint(), mockingjay_checkpoint(small_config())
    missing = r"states.ckpt has no Config, no Transformer; .* config, model"
    refused(MockingjayUpstream, apc, tmp_path, missing)
    refused(ApcUpstream, mockingjay, tmp_path, "has no config, no model; .* Opt")


def test_weights_of_another_depth_or_width_are_named(tmp_path):
    content = mockingjay_checkpoint(small_config())
    content["Upstream_Config"]["transformer"]["num_hidden_layers"] = 3
    missing = "missing encoder.layer.2.attention.self.query.weight, .* and 13 more"
    refused(MockingjayUpstream, content, tmp_path, missing)
    content["Upstream_Config"]["transformer"]["num_hidden_layers"] = 1
    surplus = "unexpected encoder.layer.1.attention.self.query.weight, .* and 13 more"
    refused(MockingjayUpstream, content, tmp_path, surplus)
    content = mockingjay_checkpoint(small_config(), n_inputs=40)
    shape = r"another shape input_.*weight \(24, 40\) instead of \(24, 80\)"
    refused(MockingjayUpstream, content, tmp_path, shape)
    content = apc_checkpoint()
    content["model"]["vq_layers.0.codebook"] = torch.ones(2)
    refused(ApcUpstream, content, tmp_path, "Apc: unexpected vq_layers.0.codebook")


def test_a_variant_of_the_architecture_is_refused(tmp_path):
    content = mockingjay_checkpoint(small_config())
    content["Upstream_Config"]["transformer"]["pre_layer_norm"] = True
    refused(MockingjayUpstream, content, tmp_path, "pre_layer_norm: True")


@pytest.mark.parametrize("name", ["transformer", "task", "audio"])
def test_a_configuration_that_lacks_a_block_is_refused(tmp_path, name):
    content = mockingjay_checkpoint(small_config())
    del content["Upstream_Config"][name]
    refused(MockingjayUpstream, content, tmp_path, f"states.ckpt has no {name}")


def test_features_that_are_not_known_are_refused(tmp_path):
    content = mockingjay_checkpoint(small_config())
    content["Upstream_Config"]["audio"]["input"]["feat_type"] = "mfcc"
    refused(MockingjayUpstream, content, tmp_path, "states.ckpt .*trained on 'mfcc'")
    content["Upstream_Config"]["audio"] = {"kaldi": {"feat_type": "mfcc", "mfcc": {}}}
    refused(MockingjayUpstream, content, tmp_path, "states.ckpt .*trained on Kaldi's")
    content = apc_checkpoint()
    content["config"]["data"]["audio"]["n_ftt"] = 512
    refused(ApcUpstream, content, tmp_path, "states.ckpt .*takes no n_ftt")
    content["config"]["data"]["audio"]["feat_type"] = "mfcc"
    refused(ApcUpstream, content, tmp_path, "states.ckpt .*trained on 'mfcc'")


def test_a_layer_that_does_not_exist_is_refused(tmp_path):
    save_apc(tmp_path / "apc.ckpt", Apc(apc_config(hidden_size=16)))
    with pytest.raises(
        ValueError, match="'first'; expected last, sum, all, the number"
    ):
        ApcUpstream(str(tmp_path), layer="first")
