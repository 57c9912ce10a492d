"""The recognizer: the same result however a recording comes in, or a reason why not."""

import numpy as np
import pytest
import torch
from model_folders import (
    LABELS,
    RATE_HZ,
    hubert_definition,
    speech,
    write_folder,
    write_wav,
)
from speechbrain.inference.interfaces import foreign_class

from ser_lib.inference import EmotionRecognizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("models") / "fbank")


@pytest.fixture(scope="module")
def recognizer(folder) -> EmotionRecognizer:
    return EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})


# ---- what it returns


@pytest.mark.parametrize("part", ["", "mods", "mods.fold_1.downstream"])
def test_training_mode_changes_no_result_and_no_statistics(folder, part):
    recognizer = EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})
    wavs = torch.as_tensor(speech(), dtype=torch.float32)[None]
    expected = recognizer.classify_batch(wavs)[0]
    before = {k: v.clone() for k, v in recognizer.mods.state_dict().items()}
    recognizer.get_submodule(part).train()
    assert recognizer.classify_batch(wavs)[0].equal(expected)
    with pytest.raises(ValueError, match="NaN"):
        recognizer.encode_batch(torch.full_like(wavs, torch.nan))
    recognizer.get_submodule(part).train()
    recognizer.encode_batch(wavs)
    after = recognizer.mods.state_dict()
    assert [k for k in before if not before[k].equal(after[k])] == []


def test_a_file_gives_speechbrains_four_values(recognizer, tmp_path):
    path = write_wav(tmp_path / "a.wav", speech())
    out_prob, score, index, label = recognizer.classify_file(path)
    assert out_prob.shape == (1, 4)
    assert out_prob.sum().item() == pytest.approx(1, abs=1e-6)
    assert score.tolist() == [out_prob.max().item()]
    assert label == [LABELS[index.item()]] == [recognizer.labels[out_prob.argmax()]]


def test_many_files_give_what_each_gives_alone_in_the_order_given(recognizer, tmp_path):
    durations_s = [0.5, 2.0, 0.3, 1.1, 0.9]
    paths = [
        write_wav(tmp_path / f"{i}.wav", speech(d, seed=i))
        for i, d in enumerate(durations_s)
    ]
    alone = [recognizer.classify_file(path) for path in paths]
    together = recognizer.classify_files(paths, batch_size=3, progressbar=False)
    assert len({round(a[0][0, 0].item(), 4) for a in alone}) == 5  # all differ
    for a, b in zip(alone, together, strict=True):
        torch.testing.assert_close(a[0], b[0], atol=1e-5, rtol=0)
        assert (a[2], a[3]) == (b[2], b[3]) and b[1].shape == (1,)


def test_a_folder_stands_for_the_audio_in_it(recognizer, tmp_path):
    (tmp_path / "b").mkdir()
    first = write_wav(tmp_path / "a.wav", speech(seed=1))
    write_wav(tmp_path / "b" / "c.flac", speech(seed=2))
    (tmp_path / "notes.txt").write_text("no audio")
    found = recognizer.classify_files(tmp_path, progressbar=False)
    assert len(found) == 2
    expected = recognizer.classify_file(first)[0]
    torch.testing.assert_close(found[0][0], expected, atol=1e-5, rtol=0)


def test_no_files_give_no_results(recognizer):
    assert recognizer.classify_files([], progressbar=False) == []


def test_an_ensemble_averages_probabilities_and_joins_embeddings(tmp_path):
    folder = write_folder(tmp_path, folds=(1, 2))
    recognizer = EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})
    wavs = torch.tensor(speech()).float()[None]
    members = [m(wavs, torch.ones(1)).softmax(-1) for m in recognizer.mods.values()]
    assert (members[0] - members[1]).abs().max() > 0.01  # weights of their own
    expected = (members[0] + members[1]) / 2
    torch.testing.assert_close(recognizer(wavs)[0], expected, atol=1e-6, rtol=0)
    assert recognizer.encode_batch(wavs).shape == (1, 2 * 6)


def test_the_classifier_on_the_embeddings_gives_the_probabilities(recognizer):
    wavs = torch.tensor(np.stack([speech(seed=1), speech(seed=2)])).float()
    lens = torch.tensor([1.0, 0.6])
    embeddings = recognizer.encode_batch(wavs, lens)
    logits = recognizer.mods["fold_1"].downstream.classifier(embeddings)
    found = recognizer.classify_batch(wavs, lens)[0]
    torch.testing.assert_close(found, logits.softmax(-1), atol=1e-6, rtol=0)


# ---- how it is loaded


def test_foreign_class_gives_the_same_from_any_working_folder(
    tmp_path, monkeypatch, recognizer, folder
):
    definition = hubert_definition(tmp_path / "encoder")
    write_folder(tmp_path / "hubert", definition)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    wav = torch.tensor(speech()).float()
    for source in (str(folder), "../hubert"):
        ours = EmotionRecognizer.from_hparams(source, run_opts={"device": "cpu"})
        theirs = foreign_class(
            source=source,
            pymodule_file="custom_interface.py",
            classname="EmotionRecognizer",
            run_opts={"device": "cpu"},
        )
        assert torch.equal(ours(wav)[0], theirs(wav)[0])
    assert ours.min_duration_s == 0.2  # HuBERT itself would take 655 samples
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_model_without_a_stated_minimum_takes_what_its_encoder_takes(tmp_path):
    definition = hubert_definition(tmp_path / "encoder")
    folder = write_folder(tmp_path / "hubert", definition, min_duration_s=0.01)
    recognizer = EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})
    n = 10 + 5 * 7 + 20 * 3 + 80 * 3  # the kernels and strides of the tiny encoder
    assert recognizer.min_duration_s == n / RATE_HZ
    assert recognizer(torch.randn(n))[0].shape == (1, 4)
    with pytest.raises(ValueError, match="Utterance 0 of the batch is too short"):
        recognizer(torch.randn(n - 1))
