"""Timelines by speech: an utterance between pauses is a segment (``vad="silero"``)."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ser_lib import EmotionRecognizer
from ser_lib.audio import read_audio
from ser_lib.inference import timeline_file
from ser_lib.inference.speech import find_speech
from ser_lib.utils import packages

pytest.importorskip("silero_vad", reason="needs silero-vad")

PRETRAINED = Path(__file__).parents[1] / "pretrained"
EXAMPLES = PRETRAINED / "examples"
RATE_HZ = 16000
PAUSE_S = 0.5
# Silero VAD does not hear the scream ravdess_06_fearful as speech.
HEARD = "neutral happy angry sad neutral happy angry sad fearful".split()
# Nine emotions and speakers of RAVDESS: modality-channel-emotion-intensity-...-actor.
NINE = (
    "03-01-07-02-01-02-02 03-01-08-01-02-02-03 03-01-04-01-02-01-23 "
    "03-01-06-01-02-02-12 03-01-08-01-01-01-06 03-01-06-01-01-02-10 "
    "03-01-08-02-02-01-09 03-01-07-01-01-01-07 03-01-05-02-02-02-24"
).split()


@pytest.fixture(scope="module")
def recognizer():
    return EmotionRecognizer.from_hparams(PRETRAINED / "ser_whisper_tiny")


def speech_of(wav: torch.Tensor, within_db: float = 20.0) -> tuple[float, float]:
    """Measure where an utterance is, without a VAD: start and end in seconds.

    From the first to the last frame of 20 ms whose RMS is at most 20 dB below that of
    the loudest frame.
    """
    frames = wav[: len(wav) // 320 * 320].view(-1, 320)
    rms = frames.square().mean(dim=1).sqrt()
    (loud,) = torch.nonzero(rms >= rms.max() * 10 ** (-within_db / 20), as_tuple=True)
    return int(loud[0]) * 0.02, (int(loud[-1]) + 1) * 0.02


def joined(path: Path, wavs) -> list[float]:
    """Write waveforms with pauses between them; return their starts in seconds."""
    pause = torch.zeros(round(PAUSE_S * RATE_HZ))
    pieces = [piece for wav in wavs for piece in (wav, pause)][:-1]
    soundfile.write(path, torch.cat(pieces).numpy(), RATE_HZ, subtype="FLOAT")
    lengths_s = [len(wav) / RATE_HZ + PAUSE_S for wav in wavs]
    return np.cumsum([0, *lengths_s[:-1]]).tolist()


@pytest.mark.slow
@pytest.mark.parametrize(("is_trimmed", "n_expected"), [(False, 9), (True, 8)])
def test_nine_utterances_with_pauses_are_nine_segments(
    shared_data, recognizer, tmp_path, is_trimmed, n_expected
):
    """Whole files have silence of their own; trimmed ones are half a second apart.

    The model is least sure of one of the nine (surprise, of which it knows nothing),
    which trimmed is sad in one case and neutral in the other.
    """
    folder = shared_data / "RAVDESS"
    paths = [folder / f"Actor_{name[-2:]}" / f"{name}.flac" for name in NINE]
    wavs = [read_audio(path, RATE_HZ) for path in paths]
    if is_trimmed:
        ends_s = [speech_of(wav, within_db=30) for wav in wavs]
        wavs = [
            wav[round(start_s * RATE_HZ) : round(end_s * RATE_HZ)]
            for wav, (start_s, end_s) in zip(wavs, ends_s, strict=True)
        ]
    starts_s = joined(tmp_path / "nine.wav", wavs)
    timeline = recognizer.timeline_file(tmp_path / "nine.wav", vad="silero")
    assert len(timeline.segments) == 9
    n_same = 0
    for segment, wav, start_s in zip(timeline.segments, wavs, starts_s, strict=True):
        first_s, last_s = speech_of(wav)
        assert segment.start_s == pytest.approx(start_s + first_s, abs=0.3)
        assert segment.end_s == pytest.approx(start_s + last_s, abs=0.3)
        alone = recognizer.classify_array(wav, RATE_HZ)[3][0]
        n_same += segment.label == alone
    assert n_same >= n_expected


def test_the_examples_in_the_tree_are_segments_with_their_labels(recognizer):
    path = EXAMPLES / "conversation.flac"
    timeline = recognizer.timeline_file(path, vad="silero")
    with open(EXAMPLES / "conversation.csv", newline="") as f:
        rows = [row for row in csv.DictReader(f) if "06_fearful" not in row["path"]]
    assert [segment.label for segment in timeline.segments] == HEARD
    for segment, row in zip(timeline.segments, rows, strict=True):
        assert segment.start_s == pytest.approx(float(row["start_s"]), abs=0.3)
        assert segment.end_s == pytest.approx(float(row["end_s"]), abs=0.3)
        # One utterance is classified as a whole, with up to 0.2 s around it.
        alone = recognizer.classify_file(EXAMPLES / row["path"])
        assert segment.label == alone[3][0]
        assert segment.score == pytest.approx(alone[1].item(), abs=0.15)
    assert len(timeline.windows) == 9


def test_pauses_are_silent_cells_and_end_segments_of_one_label(recognizer, tmp_path):
    happy = read_audio(EXAMPLES / "nemo_TP0_happy.flac", RATE_HZ)
    joined(tmp_path / "a b.wav", [happy, happy])
    timeline = recognizer.timeline_file(tmp_path / "a b.wav", vad="silero")
    assert [segment.label for segment in timeline.segments] == ["happy", "happy"]
    first, second = timeline.segments
    assert second.start_s - first.end_s > 0.3
    expected = [0, first.start_s, first.end_s, second.start_s, second.end_s]
    assert timeline.edges_s[:5] == pytest.approx(expected)
    is_silent = np.isnan(timeline.probabilities).any(axis=1).tolist()
    assert is_silent[:4] == [True, False, True, False]
    assert timeline.edges_s[-1] == pytest.approx(timeline.duration_s)


def test_long_speech_is_cut_into_windows_that_stay_within_it(recognizer, tmp_path):
    sad = read_audio(EXAMPLES / "nemo_EB0_sad.flac", RATE_HZ)
    soundfile.write(tmp_path / "a.wav", torch.cat([sad] * 3).numpy(), RATE_HZ)
    timeline = recognizer.timeline_file(tmp_path / "a.wav", 2.0, 1.0, vad="silero")
    durations_s = [window.end_s - window.start_s for window in timeline.windows]
    assert len(timeline.windows) >= 5  # 6.9 s in windows of 2 s, one second apart
    assert durations_s[:-1] == pytest.approx([2.0] * (len(durations_s) - 1))
    assert timeline.segments[0].start_s < 0.3 and timeline.segments[-1].end_s > 6.4


def test_a_scream_that_the_vad_does_not_hear_is_told(caplog):
    blocks = [read_audio(EXAMPLES / "conversation.flac", RATE_HZ).numpy()]
    find_speech(blocks, RATE_HZ, "a.wav")
    assert "as loud as the speech" in caplog.text and "first at 11" in caplog.text
    caplog.clear()
    find_speech([blocks[0][: 10 * RATE_HZ]], RATE_HZ, "a.wav")
    assert not caplog.text


@pytest.mark.parametrize("rate_hz", [8000, 44100])
def test_speech_is_found_at_the_same_place_at_any_rate(rate_hz):
    path = EXAMPLES / "conversation.flac"
    wanted = read_audio(path, RATE_HZ)
    blocks = np.array_split(read_audio(path, rate_hz).numpy(), 7)
    found = find_speech(blocks, rate_hz, "a.wav")
    expected = find_speech([wanted.numpy()], RATE_HZ, "a.wav")
    assert len(found) == len(expected) == 9
    for one, other in zip(found, expected, strict=True):
        assert one.start_s == pytest.approx(other.start_s, abs=0.1)
        assert one.end_s == pytest.approx(other.end_s, abs=0.1)


def test_finding_speech_leaves_the_number_of_threads():
    torch.set_num_threads(2)
    find_speech([np.zeros(RATE_HZ, np.float32)], RATE_HZ, "a.wav")
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("sound", ["silence", "noise"])
def test_a_recording_without_speech_is_refused(recognizer, tmp_path, sound):
    noise = np.random.default_rng(0).normal(size=3 * RATE_HZ) * 0.05
    wav = noise if sound == "noise" else 0 * noise
    soundfile.write(tmp_path / "a.wav", wav, RATE_HZ)
    with pytest.raises(ValueError, match=r"a\.wav has no speech.*silero"):
        recognizer.timeline_file(tmp_path / "a.wav", vad="silero")


def test_an_unknown_vad_is_refused(recognizer):
    with pytest.raises(ValueError, match="'other'.*silero"):
        timeline_file(recognizer, EXAMPLES / "conversation.flac", vad="other")


def test_without_the_package_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install silero-vad=="):
        find_speech([], RATE_HZ, "a.wav")
