"""One rule for samples: the same is taken and refused, whichever way audio comes in."""

from pathlib import Path

import numpy as np
import pytest
import torch
from model_folders import RATE_HZ, speech, write_folder, write_wav

from ser_lib.audio import mono, read_audio
from ser_lib.corpora import Utterance, with_audio_hashes
from ser_lib.dataio.audio_reader import AudioReader
from ser_lib.experiment import prepare
from ser_lib.inference import EmotionRecognizer
from ser_lib.model_outputs import check_outputs
from ser_lib.pretraining.audio_folder import Segment, SegmentReader
from ser_lib.settings import Settings
from ser_lib.synthetic.corpora import write_table

CUSTOM = Path(__file__).resolve().parents[1] / "recipes" / "Custom"


def load(folder: Path) -> EmotionRecognizer:
    return EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory) -> EmotionRecognizer:
    return load(write_folder(tmp_path_factory.mktemp("models") / "fbank"))


# ---- integers


@pytest.mark.parametrize(
    ("kind", "lowest", "half"),
    [
        (np.int8, -(2**7), 2**6),
        (np.int16, -(2**15), 2**14),
        (np.int32, -(2**31), 2**30),
        (np.uint8, 0, 2**7 + 2**6),
        (np.uint16, 0, 2**15 + 2**14),
    ],
)
def test_integers_have_the_full_scale_of_their_type(kind, lowest, half):
    assert mono(np.array([lowest, half], kind), RATE_HZ, "a").tolist() == [-1.0, 0.5]


@pytest.mark.parametrize("kind", [np.int64, np.bool_, np.complex64])
def test_numbers_whose_full_scale_is_unknown_are_refused(recognizer, kind):
    samples = np.ones(RATE_HZ, kind)
    name = np.dtype(kind).name
    with pytest.raises(ValueError, match=f"The array holds {name}; expected floats"):
        recognizer.classify_array(samples, RATE_HZ)
    with pytest.raises(ValueError, match=f"The batch holds {name}; expected floats"):
        recognizer.classify_batch(torch.as_tensor(samples))


def test_a_batch_of_integers_gives_what_their_file_gives(recognizer, tmp_path):
    ints = np.round(speech() * 2**15).astype(np.int16)
    expected = recognizer.classify_file(write_wav(tmp_path / "a.wav", ints))[0]
    found = recognizer.classify_batch(torch.from_numpy(ints))[0]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    padded = torch.nn.functional.pad(torch.from_numpy(ints), (0, RATE_HZ))[None]
    found = recognizer.classify_batch(padded, torch.tensor([0.5]))[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


# ---- floats, in every way in


def _train(_recognizer, path):
    utterance = Utterance("a", path.name, "sad", "A", 1.0)
    return AudioReader(path.parent, RATE_HZ)(utterance)


def _pretrain(_recognizer, path):
    reader = SegmentReader(path.parent, RATE_HZ)
    # The second half of a second; what is wrong lies in both halves.
    return reader(Segment(path.name, 0.5, 0.5, False))


def _prepare(_recognizer, path):
    utterance = Utterance("a", path.name, "sad", "A", 1.0)
    return with_audio_hashes([utterance], path.parent, path.parent / "hashes.csv")


FROM_FILES = {
    "one file": lambda r, path: r.classify_file(path),
    "many files": lambda r, path: r.classify_files([path], progressbar=False),
    "timeline": lambda r, path: r.timeline_file(path),
    "training": _train,
    "pre-training": _pretrain,
    "preparation": _prepare,
}
FROM_MEMORY = {
    "The array": lambda r, wav: r.classify_array(wav, RATE_HZ),
    "Utterance 0 of the batch": lambda r, wav: r.classify_batch(torch.tensor(wav)),
    "Utterance 0 of": lambda r, wav: r.encode_batch(torch.tensor(wav)),
    "The recording": lambda r, wav: list(r.stream([wav], RATE_HZ)),
}
BAD = {
    "16 bits, not divided": (32767.0, "reaches .*Divide them by their full scale"),
    "1e30": (1e30, r"reaches .*e\+\d+; expected floats with full scale 1"),
    "infinity": (np.inf, "samples that are not finite"),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("way", FROM_FILES)
def test_a_file_beyond_full_scale_is_refused_by_name(recognizer, tmp_path, way, bad):
    factor, message = BAD[bad]
    wav = (factor * speech()).astype(np.float32)
    # Channels of opposite sign would cancel out.
    path = write_wav(tmp_path / "a.wav", np.stack([wav, -wav], 1), subtype="FLOAT")
    with pytest.raises(ValueError, match=f"{path} .*{message}"):
        FROM_FILES[way](recognizer, path)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("way", FROM_MEMORY)
def test_samples_beyond_full_scale_are_refused(recognizer, way, bad):
    factor, message = BAD[bad]
    with pytest.raises(ValueError, match=f"{way} .*{message}"):
        FROM_MEMORY[way](recognizer, (factor * speech()).astype(np.float32))


def test_floats_somewhat_beyond_full_scale_are_taken_as_they_are(recognizer, tmp_path):
    wav = speech()
    wav = (wav * 16 / np.abs(wav).max()).astype(np.float32)
    path = write_wav(tmp_path / "a.wav", wav, subtype="FLOAT")
    assert read_audio(path, RATE_HZ).abs().max() == 16.0
    for way in FROM_FILES.values():
        way(recognizer, path)
    for way in FROM_MEMORY.values():
        way(recognizer, wav)


def test_a_run_on_a_table_with_such_a_file_ends_before_training(tmp_path):
    table = write_table(tmp_path / "mine", speakers=3, utterances=2)
    bad = table.parent / "speaker 1" / "angry0 1.wav"
    write_wav(bad, (32767 * speech()).astype(np.float32), subtype="FLOAT")
    overrides = {"csv": str(table), "results_folder": str(tmp_path / "results")}
    path = CUSTOM / "hparams" / "fbank_ecapa.yaml"
    with pytest.raises(ValueError, match="angry0 1.wav reaches .*full scale"):
        prepare(Settings.from_file(path, overrides))


# ---- what the model makes of them


@pytest.mark.parametrize("way", [*FROM_FILES][:3])
def test_outputs_that_are_not_finite_are_refused_with_the_file(tmp_path, way):
    recognizer = load(write_folder(tmp_path / "model"))
    with torch.no_grad():
        next(recognizer.parameters()).flatten()[0] = torch.nan
    path = write_wav(tmp_path / "a.wav", speech())
    message = f"logits that are not finite .* for 1 of 1 utterances: {path}"
    with pytest.raises(ValueError, match=message):
        FROM_FILES[way](recognizer, path)


def test_only_the_utterances_whose_outputs_are_not_finite_are_named():
    values = torch.zeros(2, 7, 4)  # two members, seven utterances, four labels
    values[1, 1:, 3] = torch.inf
    message = "logits .* 6 of 7 utterances: u1, u2, u3, u4, u5 and 1 more"
    with pytest.raises(ValueError, match=message):
        check_outputs(values, [f"u{i}" for i in range(7)], "logits")
    check_outputs(values[:1], [f"u{i}" for i in range(7)], "logits")


def test_embeddings_that_are_not_finite_are_refused(tmp_path):
    recognizer = load(write_folder(tmp_path / "model"))
    with torch.no_grad():
        next(recognizer.parameters()).flatten()[0] = torch.nan
    with pytest.raises(ValueError, match="embeddings .* Utterance 0 of the batch"):
        recognizer.encode_batch(torch.tensor(speech()))
