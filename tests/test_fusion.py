"""Early fusion: frames of several upstreams at the same times."""

import pytest
import torch

from ser_lib.upstreams import FbankUpstream, Frames
from ser_lib.upstreams.fusion import align_frames, frame_ratios


def ramp(n_frames: int, step_s: float, counts: list[int]) -> Frames:
    """Frames that hold their own time in seconds."""
    times = torch.arange(n_frames) * step_s
    return Frames(times.repeat(len(counts), 1)[..., None], torch.tensor(counts))


def test_frames_that_stand_side_by_side_are_of_the_same_time():
    slow, fast = ramp(50, 0.02, [50]), ramp(101, 0.01, [101])
    joined = align_frames({"hubert": slow, "fbank": fast}, {"hubert": 1, "fbank": 2})
    assert joined.values.shape == (1, 50, 2)
    # The mean of frames 2 i and 2 i + 1 is 5 ms later than frame i of the slow one.
    apart_s = joined.values[..., 1] - joined.values[..., 0]
    torch.testing.assert_close(apart_s, torch.full((1, 50), 0.005))


def test_the_shorter_stream_ends_both_for_each_utterance_alone():
    slow, fast = ramp(49, 0.02, [49, 24]), ramp(101, 0.01, [101, 51])
    joined = align_frames({"a": slow, "b": fast}, {"a": 1, "b": 2})
    assert joined.counts.tolist() == [49, 24]


def test_an_utterance_gives_the_same_steps_alone_and_in_a_padded_batch():
    torch.manual_seed(0)
    upstreams = {"a": FbankUpstream(hop_ms=20), "b": FbankUpstream(hop_ms=10)}
    ratios = frame_ratios({name: u.hop_samples for name, u in upstreams.items()})
    wavs, wav_lens = torch.randn(2, 16000), torch.tensor([1.0, 0.4])
    batch = {name: u(wavs, wav_lens) for name, u in upstreams.items()}
    solo = {n: u(wavs[1:, :6400], torch.ones(1)) for n, u in upstreams.items()}
    together, alone = align_frames(batch, ratios), align_frames(solo, ratios)
    count = int(together.counts[1])
    assert count == int(alone.counts[0])
    torch.testing.assert_close(
        together.values[1, :count], alone.values[0], atol=1e-4, rtol=0
    )


def test_rates_that_do_not_fit_are_refused_with_both_hops():
    with pytest.raises(ValueError, match="delores has 1280 .*, odd has 300"):
        frame_ratios({"delores": 1280, "odd": 300})


def test_tokens_cannot_stand_beside_frames():
    with pytest.raises(ValueError, match="bert .* tokens.*hubert"):
        frame_ratios({"hubert": 320, "bert": None})


def test_streams_that_end_far_apart_are_refused():
    with pytest.raises(ValueError, match=r"'a': \[50\], 'b': \[40\]"):
        align_frames({"a": ramp(50, 1, [50]), "b": ramp(40, 1, [40])}, {"a": 1, "b": 1})
