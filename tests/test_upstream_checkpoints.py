"""Old checkpoints: found, read without running their code, loaded strictly."""

import argparse
import collections
import importlib
import os
import pathlib
import shutil
import subprocess
import sys
import types
from collections.abc import Callable
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


class Trap:
    """Calls a function when it is unpickled by a careless reader."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Stateful:
    """Holds a state, as callbacks and schedules do."""

    def __init__(self) -> None:
        self.state = {"best": 0.5}


class WithSlots:
    __slots__ = ("first", "second")

    def __init__(self) -> None:
        self.first, self.second = 1, [2]


@pytest.mark.parametrize("zipped", [True, False])
def test_something_inert_stands_in_for_classes_and_what_they_make(tmp_path, zipped):
    traces = [tmp_path / f"trace_{i}" for i in range(5)]
    traps = [
        Trap(eval, f"open({str(traces[0])!r}, 'w')"),
        Trap(exec, f"open({str(traces[1])!r}, 'w')"),
        Trap(open, str(traces[2]), "w"),
        Trap(subprocess.run, ["touch", str(traces[3])]),
        Trap(shutil.copytree, Path(__file__).parent, traces[4]),
        Trap(importlib.import_module, "antigravity"),
        Trap(getattr, "text", "upper"),
        Stateful(),
        WithSlots(),
        pathlib.PurePosixPath("a/b"),
    ]
    content = {"w": torch.arange(3), Path: 1, Stateful: 2, "others": traps}
    path = save(tmp_path, content, _use_new_zipfile_serialization=zipped)
    loaded = load_legacy(path)
    assert loaded["w"].tolist() == [0, 1, 2]
    assert len(loaded) == 4  # classes as keys stay apart
    assert all(isinstance(other, Unread) for other in loaded["others"])
    assert all(not vars(other) for other in loaded["others"])
    assert not any(trace.exists() for trace in traces)
    assert "antigravity" not in sys.modules


def test_a_container_of_a_foreign_class_is_refused_by_its_name(tmp_path):
    path = save(tmp_path, {"counts": collections.defaultdict(int, a=1)})
    with pytest.raises(ValueError, match=r"names collections\.defaultdict, which is"):
        load_legacy(path)


def test_a_file_of_absurdly_many_classes_is_refused(tmp_path):
    names = [f"c{i}" for i in range(101)]
    kinds = [type(name, (), {"__module__": "gone"}) for name in names]
    gone = types.ModuleType("gone")
    for name, kind in zip(names, kinds, strict=True):
        setattr(gone, name, kind)
    sys.modules["gone"] = gone
    path = save(tmp_path, {"classes": kinds})
    del sys.modules["gone"]
    with pytest.raises(ValueError, match=r"names gone\.c100, which is not loaded"):
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
    assert isinstance(loaded["Optimizer"]["schedule"], Unread)
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


def test_a_file_of_text_is_refused_by_name(tmp_path):
    (tmp_path / "a.ckpt").write_text("junk")
    with pytest.raises(ValueError, match=r"a\.ckpt"):
        load_legacy(tmp_path / "a.ckpt")


def test_a_file_that_holds_a_tensor_alone_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Tensor; expected a dictionary"):
        load_legacy(save(tmp_path, torch.ones(2)))


def test_a_missing_entry_is_named_with_what_there_is():
    with pytest.raises(ValueError, match="cpc.pt has no model; .* config, weights"):
        entries({"config": {}, "weights": {}}, ("config", "model"), "cpc.pt")


@pytest.mark.parametrize("value", [None, [1], "text", 3])
def test_an_entry_that_is_no_dictionary_is_named_with_what_it_is(value):
    kind = type(value).__name__
    with pytest.raises(ValueError, match=f"config in cpc.pt is a {kind}"):
        entries({"config": value}, ("config",), "cpc.pt")


def test_keys_that_do_not_fit_are_named_by_kind_and_the_rest_counted():
    network = torch.nn.Sequential(*[torch.nn.Linear(2, 2) for _ in range(4)])
    before = network[0].bias.clone()
    state = {"0.weight": torch.ones(2, 3), "0.bias": torch.ones(2), "x": torch.ones(1)}
    expected = (
        "old.ckpt does not fit the Sequential: missing 1.weight, 1.bias, 2.weight and "
        "3 more; unexpected x; of another shape 0.weight (2, 3) instead of (2, 2)."
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
        ([1, 2], "of another kind bias torch.int64 instead of torch.float32"),
        ([True, False], "of another kind bias torch.bool instead of torch.float32"),
        ([1j, 2], "of another kind bias torch.complex64 instead of torch.float32"),
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
    with pytest.raises(ValueError, match=r"2 checkpoints \(a.ckpt, b.pt\)"):
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
    with pytest.raises(FileNotFoundError, match="some/encoders .* no file cpc.pt"):
        local_checkpoint("some/encoders/cpc.pt")
