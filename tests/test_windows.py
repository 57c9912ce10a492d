"""Windows: the same from a file, a stream or one by one; what remains at the end."""

import numpy as np
import pytest
import soundfile
import torch
from model_folders import write_folder
from stub_recognizer import (
    RATE_HZ,
    StubRecognizer,
    in_blocks,
    p_loud,
    spans,
    square_wave,
    windows_of,
)

from ser_lib.audio import resample
from ser_lib.inference import EmotionRecognizer, timeline_file
from ser_lib.inference.windows import stream


@pytest.mark.parametrize(
    ("duration_s", "hop_s", "expected"),
    [
        (6, 1, [(0, 2), (1, 3), (2, 4), (3, 5), (4, 6)]),  # nothing remains
        (3.5, 1, [(0, 2), (1, 3), (2, 3.5)]),  # the rest is a shorter window
        (4.05, 2, [(0, 2), (2, 4)]),  # 50 ms are too short for the model
        (4.1, 2, [(0, 2), (2, 4), (4, 4.1)]),
        (0.7, 1, [(0, 0.7)]),  # shorter than a window
        (2, 2, [(0, 2)]),
    ],
)
def test_what_remains_at_the_end(duration_s, hop_s, expected):
    windows = windows_of(square_wave((duration_s, 0.5)), hop_s=hop_s)
    np.testing.assert_allclose(spans(windows), expected, rtol=1e-12)


@pytest.fixture(scope="module")
def stereo(tmp_path_factory):
    """7.3 s at 200 Hz of noise that grows louder, in two channels."""
    noise = np.random.default_rng(0).normal(size=(1460, 2))
    noise *= np.linspace(0, 0.3, len(noise))[:, None]
    path = tmp_path_factory.mktemp("stereo") / "noise.wav"
    soundfile.write(path, noise, 200, subtype="FLOAT")
    return path


@pytest.mark.parametrize("block_samples", [1, 7, 199, 800, 10**6])
def test_stream_and_file_equal_classification_window_by_window(stereo, block_samples):
    recognizer = StubRecognizer(sample_rate_hz=160)
    wav, _ = soundfile.read(stereo, dtype="float32")
    one_by_one = []
    for start in range(0, 1201, 200):
        wav_of_window = torch.from_numpy(wav[start : start + 400].mean(axis=1))
        at_160_hz = resample(wav_of_window, 200, 160, "a window")
        values = recognizer.classify_batch(at_160_hz[None], torch.ones(1))
        one_by_one.append(float(values[0][0, 1]))
    assert len(one_by_one) == 7  # 0-2 ... 5-7 and 6-7.3
    timeline = timeline_file(recognizer, stereo, window_s=2, hop_s=1)
    blocks = in_blocks(wav, block_samples)
    streamed = list(stream(recognizer, blocks, 200, window_s=2, hop_s=1))
    assert spans(streamed) == spans(timeline.windows)
    # float32: 1e-6.
    assert p_loud(timeline.windows) == pytest.approx(one_by_one, abs=1e-6)
    assert p_loud(streamed) == pytest.approx(one_by_one, abs=1e-6)


def test_a_file_longer_than_the_blocks_it_is_read_in_has_no_seams(tmp_path):
    # 100 s: several blocks of 16 s, batches of 16 windows; odd numbers of samples.
    noise = np.random.default_rng(1).normal(size=70001) * 0.1
    soundfile.write(tmp_path / "a.wav", noise, 700, subtype="FLOAT")
    recognizer = StubRecognizer(sample_rate_hz=400)
    timeline = timeline_file(recognizer, tmp_path / "a.wav")
    whole = list(stream(recognizer, [noise], 700))
    assert spans(timeline.windows) == spans(whole)
    assert p_loud(timeline.windows) == pytest.approx(p_loud(whole), abs=1e-6)
    assert max(n for n, _ in recognizer.batches) == 16
    low, high = timeline.envelope.T
    assert (low.min(), high.max()) == pytest.approx((noise.min(), noise.max()))


@pytest.fixture(scope="module")
def real_recognizer(tmp_path_factory):
    folder = write_folder(tmp_path_factory.mktemp("model"))
    return EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})


def test_a_real_model_gives_each_window_what_it_gives_that_piece_as_a_file(
    tmp_path, real_recognizer
):
    wav = np.random.default_rng(2).normal(size=3 * 22050) * 0.1
    soundfile.write(tmp_path / "a.wav", wav, 22050, subtype="FLOAT")
    timeline = timeline_file(real_recognizer, tmp_path / "a.wav", 1.5, 0.5)
    assert spans(timeline.windows) == [(0, 1.5), (0.5, 2), (1, 2.5), (1.5, 3)]
    for window in timeline.windows:
        start, end = int(window.start_s * 22050), int(window.end_s * 22050)
        soundfile.write(tmp_path / "b.wav", wav[start:end], 22050, subtype="FLOAT")
        out_prob, score, _, labels = real_recognizer.classify_file(tmp_path / "b.wav")
        # Probabilities in float32, batch of four against batch of one: 1e-4.
        np.testing.assert_allclose(window.probabilities, out_prob[0], atol=1e-4)
        assert window.label == labels[0]
        assert window.score == pytest.approx(float(score[0]), abs=1e-4)


def test_a_window_is_given_as_soon_as_its_last_block_has_come():
    n_taken = 0

    def microphone():
        nonlocal n_taken
        for block in in_blocks(square_wave((10, 0.5)), 500):
            n_taken += 1
            yield block

    windows = stream(StubRecognizer(), microphone(), RATE_HZ, window_s=2, hop_s=1)
    taken = []
    for _ in windows:
        taken.append(n_taken)
    # Blocks of half a second: the first window needs four, each later one two more.
    assert taken == [4, 6, 8, 10, 12, 14, 16, 18, 20]


def test_blocks_of_integers_are_scaled_by_their_full_scale():
    wav = square_wave((2, 0.25))
    ints = (wav * 32768).astype(np.int16)
    assert p_loud(windows_of(ints)) == pytest.approx([0.25])


@pytest.mark.parametrize(
    ("window_s", "hop_s", "message"),
    [
        (0.05, 0.05, r"window_s is 0.05; expected at least 0.100"),
        (float("nan"), 1, "window_s is nan"),
        (601, 1, "window_s is 601; expected .* at most 600"),
        (4, 0, r"hop_s is 0; expected at least 0.01 and at most window_s \(4\)"),
        (4, 1e-9, "hop_s is 1e-09; expected at least 0.01"),
        (4, float("nan"), "hop_s is nan"),
        (1, 2, "hop_s is 2"),
    ],
)
def test_lengths_that_do_not_fit_are_refused_before_any_audio_is_taken(
    window_s, hop_s, message
):
    with pytest.raises(ValueError, match=message):
        stream(StubRecognizer(), None, RATE_HZ, window_s, hop_s)
