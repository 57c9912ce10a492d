"""Old checkpoints: found, read without running their code, loaded strictly."""

import argparse
import os
import sys
import types
from pathlib import Path

import pytest
import torch

from ser_lib.upstreams.checkpoints import (
    Unread,
    entries,
    load_legacy,
    local_checkpoint,
)
from ser_lib.upstreams.weights import load_strictly


def save(folder: Path, content: object, **options) -> Path:
    path = folder / "old.ckpt"
    torch.save(content, path, **options)
    return path


class Touch:
    """Makes a file when it is unpickled by a careless reader."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_and_a_namespace_are_read_in_both_file_formats(tmp_path, zipped):
    content = {"Args": argparse.Namespace(seed=3), "Step": 5, "w": torch.arange(4)}
    path = save(tmp_path, content, _use_new_zipfile_serialization=zipped)
    loaded = load_legacy(path)
    assert (loaded["Args"].seed, loaded["Step"]) == (3, 5)
    assert loaded["w"].equal(torch.arange(4))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_would_run_code_is_refused_and_names_it(tmp_path, zipped):
    trap = Touch(tmp_path / "made_by_the_pickle")
    path = save(tmp_path, {"model": trap}, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"old.ckpt names (posix|nt)\.mkdir, which is"):
        load_legacy(path)
    assert not Path(trap.path).exists()


def test_a_foreign_class_is_named_even_if_it_is_harmless(tmp_path):
    path = save(tmp_path, {"class": Path})
    with pytest.raises(ValueError, match=r"names pathlib\.Path, which is not loaded"):
        load_legacy(path)


def test_a_schedule_of_a_module_that_is_gone_is_left_out(tmp_path, monkeypatch):
    gone = types.ModuleType("optimizers")

    class WarmupLinearSchedule:
        """As early s3prl runs kept in the state of their optimiser."""

    WarmupLinearSchedule.__module__ = "optimizers"
    WarmupLinearSchedule.__qualname__ = "WarmupLinearSchedule"
    gone.WarmupLinearSchedule = WarmupLinearSchedule
    monkeypatch.setitem(sys.modules, "optimizers", gone)
    schedule = WarmupLinearSchedule()
    schedule.warmup = 0.1
    path = save(tmp_path, {"Optimizer": {"schedule": schedule}, "w": torch.ones(1)})
    monkeypatch.delitem(sys.modules, "optimizers")
    loaded = load_legacy(path)
    assert type(loaded["Optimizer"]["schedule"]) is Unread
    assert "optimizers" not in sys.modules


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
def test_a_truncated_file_is_refused_with_its_size(tmp_path, zipped, share):
    content = {"w": torch.randn(500), "b": torch.randn(500)}
    path = save(tmp_path, content, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    size = int(share * len(whole))
    with pytest.raises(ValueError, match=rf"\({size} bytes\) cannot be read"):
        load_legacy(path)


@pytest.mark.parametrize("content", [b"<html>404</html>", b"\x80\x02}q\x00.", b"N."])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "page.ckpt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"page.ckpt .*cannot be read"):
        load_legacy(path)


def test_a_file_that_holds_a_tensor_alone_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds a Tensor; expected a dictionary"):
        load_legacy(save(tmp_path, torch.ones(2)))


def test_a_missing_entry_is_named_with_what_there_is():
    with pytest.raises(ValueError, match="cpc.pt has no model; it holds config, weig"):
        entries({"config": 1, "weights": 2}, ("config", "model"), "cpc.pt")


def test_keys_that_do_not_fit_are_named_by_kind_and_the_rest_counted():
    network = torch.nn.Sequential(*[torch.nn.Linear(2, 2) for _ in range(4)])
    before = network[0].bias.clone()
    state = {"0.weight": torch.ones(2, 3), "0.bias": torch.ones(2), "x": torch.ones(1)}
    expected = (
        "old.ckpt does not fit the Sequential: missing 1.weight, 1.bias, 2.weight and "
        "3 more; unexpected x; of another shape 0.weight (2, 3) in place of (2, 2)."
    )
    with pytest.raises(ValueError) as refusal:
        load_strictly(network, state, "old.ckpt")
    assert str(refusal.value) == expected
    assert network[0].bias.equal(before)  # nothing is half loaded


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([0.5, torch.nan], "not finite bias"),
        ([torch.inf, 0.5], "not finite bias"),
        ([1e300, 0.5], "not finite bias"),  # double precision: infinite in single
        ([1, 2], "of another kind bias torch.int64 in place of torch.float32"),
        ([True, False], "of another kind bias torch.bool in place of torch.float32"),
        ([1j, 2], "of another kind bias torch.complex64 in place of torch.float32"),
    ],
    ids=str,
)
def test_weights_that_are_not_finite_real_numbers_are_named(value, problem):
    network = torch.nn.Linear(2, 2)
    dtype = torch.float64 if value[0] == 1e300 else None
    state = {"weight": torch.ones(2, 2), "bias": torch.tensor(value, dtype=dtype)}
    with pytest.raises(ValueError) as refusal:
        load_strictly(network, state, "old.ckpt")
    assert str(refusal.value) == f"old.ckpt does not fit the Linear: {problem}."
    assert not network.weight.equal(state["weight"])  # nothing is half loaded


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_taken(dtype):
    network = torch.nn.Linear(1, 1)
    state = {"weight": torch.full((1, 1), 0.5), "bias": torch.full((1,), 0.25)}
    load_strictly(network, {k: v.to(dtype) for k, v in state.items()}, "old.ckpt")
    assert network(torch.ones(1)).item() == 0.75


def test_a_folder_with_one_checkpoint_is_enough(tmp_path):
    path = save(tmp_path, {})
    (tmp_path / "README.md").touch()
    assert local_checkpoint(str(tmp_path)) == local_checkpoint(str(path)) == path


def test_a_folder_with_two_checkpoints_asks_for_one(tmp_path):
    for name in ("a.ckpt", "b.pt"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"holds 2 checkpoints \(a.ckpt, b.pt\)"):
        local_checkpoint(str(tmp_path))


def test_a_folder_without_a_checkpoint_says_what_it_holds(tmp_path):
    (tmp_path / "model.onnx").touch()
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .*\['model.onnx'\]"):
        local_checkpoint(str(tmp_path))


@pytest.mark.parametrize("source", ["apc.ckpt", "folder/apc.ckpt", "./a/b/apc.ckpt"])
def test_a_missing_checkpoint_says_what_was_expected(source):
    with pytest.raises(FileNotFoundError, match=f"There is no checkpoint {source}"):
        local_checkpoint(source)


def test_an_unreachable_hub_says_how_to_get_the_file(monkeypatch, tmp_path):
    # Port 9 of this machine: refused at once, as by a firewall.
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="hf download some/encoders a/apc.ckpt"):
        local_checkpoint("some/encoders/a/apc.ckpt")


def test_a_file_that_the_hub_does_not_have_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(
        "ser_lib.upstreams.checkpoints.snapshot_download", lambda *_, **__: tmp_path
    )
    (tmp_path / "apc.ckpt").touch()
    assert local_checkpoint("some/encoders/apc.ckpt") == tmp_path / "apc.ckpt"
    with pytest.raises(FileNotFoundError, match="some/encoders on .* has no cpc.pt"):
        local_checkpoint("some/encoders/cpc.pt")
