"""The frame store: what is written is read, what is damaged is refused."""

import pickle
import shutil
from types import SimpleNamespace

import pytest
import torch

from ser_lib.corpora import Utterance
from ser_lib.dataio import (
    FrameStore,
    check_space,
    encode_all,
    write_frames,
)
from ser_lib.upstreams import Frames


@pytest.fixture
def store(tmp_path) -> FrameStore:
    frames = {"a/b": torch.arange(6.0).view(3, 2), "ü $": torch.full((1, 2), 0.5)}
    write_frames(tmp_path, 2, frames.items())
    return FrameStore(tmp_path)


def test_frames_are_read_back_by_id(store):
    assert store("a/b").tolist() == [[0, 1], [2, 3], [4, 5]]
    assert store("ü $").tolist() == [[0.5, 0.5]]
    assert len(store) == 2


def test_half_precision_keeps_three_digits(tmp_path):
    values = torch.randn(100, 8)
    write_frames(tmp_path, 8, [("a", values)])
    torch.testing.assert_close(FrameStore(tmp_path)("a"), values, atol=0, rtol=1e-3)


def test_a_store_can_be_sent_to_a_loader_worker(store):
    store("a/b")
    assert pickle.loads(pickle.dumps(store))("ü $").tolist() == [[0.5, 0.5]]


def test_a_store_that_was_cut_is_refused_with_both_sizes(store):
    with open(store.folder / "frames.f16", "r+b") as f:
        f.truncate(10)
    with pytest.raises(ValueError, match="has 10 bytes, expected 16"):
        FrameStore(store.folder)


def test_a_store_whose_writing_was_interrupted_is_none(tmp_path):
    def interrupted():
        yield "a", torch.zeros(1, 2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_frames(tmp_path, 2, interrupted())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError, match="no finished frame store"):
        FrameStore(tmp_path)


def test_a_disk_without_room_is_refused_with_both_numbers(tmp_path, monkeypatch):
    usage = SimpleNamespace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    upstream = SimpleNamespace(dim=1024, hop_samples=320, reads="wav")
    # 100 s * 50 frames/s * 1024 values * 2 bytes = 10.24 MB
    utterances = [Utterance("a", "a.wav", "sad", "s", 100.0)]
    with pytest.raises(OSError, match=r"needs 10\.2 MB in .* 1\.0 MB is free"):
        check_space(tmp_path, utterances, upstream, 16000)


def test_encoding_yields_each_utterance_without_its_padding():
    class Doubling(torch.nn.Module):
        reads = "wav"

        def forward(self, wavs, wav_lens):
            counts = torch.round(wav_lens * wavs.shape[1]).long()
            return Frames(2 * wavs[..., None], counts)

    wavs = (torch.tensor([[1.0, 2.0], [3.0, 0.0]]), torch.tensor([1.0, 0.5]))
    batch = SimpleNamespace(id=["a", "b"], wav=wavs)
    encoded = dict(encode_all([batch], Doubling(), "x", "cpu", progressbar=False))
    assert {k: v.flatten().tolist() for k, v in encoded.items()} == {
        "a": [2.0, 4.0],
        "b": [6.0],
    }
