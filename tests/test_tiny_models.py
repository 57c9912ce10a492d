"""The tiny HuBERT: a real one in all but size."""

import json

import pytest
import torch
from transformers import AutoModel

from ser_lib.synthetic.encoders import write_tiny_hubert


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_it_loads_completely_and_gives_a_frame_every_20_ms(norm, tmp_path):
    write_tiny_hubert(tmp_path, feat_extract_norm=norm)
    model, loading = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    with torch.no_grad():
        shorter, longer = (
            model.eval()(torch.randn(1, n)).last_hidden_state
            for n in (16000, 16000 + 50 * 320)
        )
    assert shorter.shape == (1, 49, 64)
    assert longer.shape == (1, 49 + 50, 64)


@pytest.mark.parametrize(("norm", "normalised"), [("group", False), ("layer", True)])
def test_only_the_layer_variant_wants_normalised_audio(norm, normalised, tmp_path):
    write_tiny_hubert(tmp_path, feat_extract_norm=norm)
    settings = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert settings["do_normalize"] is normalised
    assert settings["sampling_rate"] == 16000


def test_the_seed_alone_decides_the_weights(tmp_path):
    def weights(name, seed):
        folder = write_tiny_hubert(tmp_path / name, seed=seed)
        return (folder / "model.safetensors").read_bytes()

    first = weights("first", seed=0)
    torch.manual_seed(12345)
    assert weights("again", seed=0) == first
    assert weights("other", seed=1) != first


def test_the_random_state_is_left_alone(tmp_path):
    before = torch.random.get_rng_state()
    write_tiny_hubert(tmp_path)
    assert torch.equal(before, torch.random.get_rng_state())


def test_an_unknown_norm_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="'group', 'layer'"):
        write_tiny_hubert(tmp_path, feat_extract_norm="batch")
