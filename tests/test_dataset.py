"""Datasets: batches of like length, fixed by seed and epoch, read as they stand."""

import numpy as np
import pytest
import soundfile
import torch

from ser_lib.corpora import Utterance
from ser_lib.dataio import LengthBucketSampler, make_loader, with_degraded_copies
from ser_lib.dataio.audio_reader import AudioReader

DURATIONS_S = np.random.default_rng(0).lognormal(1.2, 0.6, 1000)  # like IEMOCAP's


def padding(sampler: LengthBucketSampler, durations_s: np.ndarray) -> float:
    """Share of the padded batches that is padding."""
    batches = [durations_s[batch] for batch in sampler]
    padded = sum(len(batch) * batch.max() for batch in batches)
    return 1 - durations_s.sum() / padded


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_utterance_is_in_one_batch(shuffle):
    sampler = LengthBucketSampler(DURATIONS_S, 16, 80.0, shuffle=shuffle)
    assert sorted(i for batch in sampler for i in batch) == list(range(1000))


def test_batches_keep_to_both_limits():
    sampler = LengthBucketSampler(DURATIONS_S, 16, 80.0)
    for batch in sampler:
        assert len(batch) <= 16
        assert len(batch) == 1 or len(batch) * DURATIONS_S[batch].max() <= 80.0


def test_an_utterance_longer_than_the_limit_makes_a_batch_of_its_own():
    sampler = LengthBucketSampler([1.0, 100.0, 1.0], 16, 10.0, shuffle=False)
    assert list(sampler) == [[1], [0, 2]]


def test_training_has_no_batch_of_one_utterance_at_the_end():
    sampler = LengthBucketSampler([1.0] * 9, batch_size=4)
    assert sorted(len(batch) for batch in sampler) == [4, 5]


def test_at_most_eight_percent_is_padding():
    sampler = LengthBucketSampler(DURATIONS_S, 16, 160.0)
    assert padding(sampler, DURATIONS_S) < 0.08


def test_an_epoch_has_its_own_order_and_always_the_same():
    sampler = LengthBucketSampler(DURATIONS_S, 16, seed=3)
    sampler.set_epoch(2)
    second = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != second
    again = LengthBucketSampler(DURATIONS_S, 16, seed=3)
    again.set_epoch(2)
    assert list(again) == second


@pytest.fixture
def recordings(tmp_path):
    names = ["plain.wav", "with space, {brace} $dollar é.wav"]
    for i, name in enumerate(names):
        soundfile.write(tmp_path / name, np.full(1600 * (i + 1), 0.25), 16000)
    return tmp_path, [
        Utterance(f"u{i}", name, label, "s", 0.1 * (i + 1))
        for i, (name, label) in enumerate(zip(names, ["sad", "neu"], strict=True))
    ]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_batch_holds_ids_label_indices_and_padded_audio(recordings, num_workers):
    folder, utterances = recordings
    sampler = LengthBucketSampler([u.duration_s for u in utterances], 2, shuffle=False)
    inputs = {"wav": AudioReader(folder, 16000)}
    loader = make_loader(utterances, ["neu", "sad"], inputs, sampler, num_workers)
    (batch,) = list(loader)
    assert batch.id == ["u1", "u0"]
    assert batch.label.tolist() == [0, 1]
    assert batch.wav.data.shape == (2, 3200)
    assert batch.wav.lengths.tolist() == [1.0, 0.5]


@pytest.mark.parametrize("trim_silence_db", [None, 30])
def test_keeping_audio_in_memory_changes_no_bit_of_a_batch(tmp_path, trim_silence_db):
    noise = np.random.default_rng(0).normal(0, 0.2, (2, 4800))
    noise[0, 100] = 1.5  # beyond full scale, as floats may be
    utterances = []
    for i, wav in enumerate(noise):
        soundfile.write(tmp_path / f"{i}.wav", wav, 48000, subtype="FLOAT")
        utterances.append(Utterance(f"u{i}", f"{i}.wav", "sad", "s", 0.1))
    sampler = LengthBucketSampler([0.1, 0.1], batch_size=2, shuffle=False)
    options = tmp_path, 16000, trim_silence_db
    batches = []
    for keep in (False, True):
        reader = AudioReader(*options, keep_in_memory=keep)
        loader = make_loader(utterances, ["sad"], {"wav": reader}, sampler)
        batches += [*loader, *loader]  # in a second epoch, too
    for batch in batches:
        assert torch.equal(batch.wav.data, batches[0].wav.data)
        assert torch.equal(batch.wav.lengths, batches[0].wav.lengths)


def test_audio_kept_in_memory_is_read_once_and_safe_from_changes(recordings):
    folder, utterances = recordings
    kept = AudioReader(folder, 16000, keep_in_memory=True)
    first = kept(utterances[0])
    expected = first.clone()
    first.zero_()  # as an augmentation in place would
    (folder / utterances[0].path).unlink()
    assert torch.equal(kept(utterances[0]), expected)


def test_a_degraded_copy_is_the_same_each_time_and_has_the_channel_of_its_speaker(
    tmp_path,
):
    wav = np.random.default_rng(0).normal(0, 0.1, 16000)
    soundfile.write(tmp_path / "a.wav", wav, 16000)
    original = Utterance("a", "a.wav", "sad", "A", 1.0, corpus="C")
    assert with_degraded_copies([original], 0) == [original]
    _, *copies = with_degraded_copies([original], 3)
    assert [u.id for u in copies] == ["a~1", "a~2", "a~3"]
    reader = AudioReader(tmp_path, 16000)
    first, second, third = map(reader, copies)
    assert torch.equal(reader(copies[0]), first)
    plain = reader(original)
    for one, other in ((first, plain), (second, plain), (first, second)):
        assert len(one) != len(other) or not torch.allclose(one, other, atol=1e-3)
