"""Utterances without speech or without text: at random, or for want of it."""

import logging
from pathlib import Path

import pytest
import torch
from speechbrain.utils.run_opts import RunOptions
from torch import nn

from ser_lib.aggregators import CrossAttention, MeanPooling
from ser_lib.corpora import Utterance
from ser_lib.dataio import fold_inputs
from ser_lib.folds import Fold
from ser_lib.model import EmotionModel
from ser_lib.settings import Settings
from ser_lib.training import finetuning_settings, settings_key
from ser_lib.training.modality_dropout import check_modality_dropout, drop_modalities
from ser_lib.upstreams import Frames

HPARAMS = Path(__file__).resolve().parents[1] / "recipes" / "IEMOCAP" / "hparams"
TEXTS = ["We lost it", "So", "No"]


class Words(nn.Module):
    """A frame for each word: its number of letters, and one."""

    reads, frozen, hop_samples, dim = "text", True, None, 2

    def forward(self, texts: list[str]) -> Frames:
        counts = torch.tensor([max(1, len(text.split())) for text in texts])
        values = torch.zeros(len(texts), int(counts.max()), 2)
        for row, text in zip(values, texts, strict=True):
            for k, word in enumerate(text.split()):
                row[k] = torch.tensor([float(len(word)), 1.0])
        return Frames(values + 1, counts)  # not zero without words either


class Samples(nn.Module):
    """Each sample is a frame."""

    reads, frozen, hop_samples, dim = "wav", True, 1, 1

    def forward(self, wavs: torch.Tensor, wav_lens: torch.Tensor) -> Frames:
        return Frames(wavs[..., None], (wav_lens * wavs.shape[1]).long())


def late_model() -> EmotionModel:
    torch.manual_seed(0)
    branches = [
        {"upstreams": [name], "aggregator": MeanPooling} for name in ("speech", "words")
    ]
    upstreams = {"speech": Samples(), "words": Words()}
    return EmotionModel(["sad", "angry"], upstreams, branches).eval()


def attentive_model() -> EmotionModel:
    torch.manual_seed(0)
    branch = {"upstreams": ["speech", "words"], "fusion": CrossAttention}
    upstreams = {"speech": Samples(), "words": Words()}
    return EmotionModel(["sad", "angry"], upstreams, [branch]).eval()


@pytest.fixture
def wavs() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(3, 8), torch.ones(3)


# ---- without text


def test_without_a_transcript_the_embedding_of_the_text_is_zero(wavs):
    model = late_model()
    found = model(*wavs, ["We lost it", "  ", ""])
    embedded = model.downstream.embed(model.frames(*wavs, TEXTS))
    embedded[1:, 1:] = 0.0  # one number of speech, two of text
    torch.testing.assert_close(found, model.downstream.classifier(embedded))


def test_without_a_transcript_what_the_text_would_be_does_not_matter(wavs):
    for model in (late_model(), attentive_model()):
        present = {"text": torch.tensor([True, False, True])}
        with_words = model.frames(*wavs, TEXTS)
        found = model.downstream(with_words, present)
        torch.testing.assert_close(found, model(*wavs, ["We lost it", "", "No"]))


def test_without_speech_the_words_are_left(wavs):
    present = {"wav": torch.tensor([False, True, True])}
    for model in (late_model(), attentive_model()):
        found = model.downstream(model.frames(*wavs, TEXTS), present)
        other = model.downstream(model.frames(wavs[0] + 9, wavs[1], TEXTS), present)
        assert torch.equal(found[0], other[0])
        assert not torch.allclose(found[1:], other[1:])


def test_if_all_have_text_the_logits_are_those_of_before_bit_by_bit(wavs):
    model = late_model()
    frames = model.frames(*wavs, TEXTS)
    assert torch.equal(model(*wavs, TEXTS), model.downstream(frames))


def test_a_branch_has_an_aggregator_or_a_fusion():
    for how in ({}, {"aggregator": MeanPooling, "fusion": CrossAttention}):
        with pytest.raises(ValueError, match=r"\['words'\] needs either"):
            EmotionModel(["sad"], {"words": Words()}, [{"upstreams": ["words"], **how}])


# ---- at random, in training


def test_one_modality_is_dropped_and_never_both():
    torch.manual_seed(0)
    left = drop_modalities({}, ["text", "wav"], 10_000, probability=0.3)
    n_left = left["text"].int() + left["wav"].int()
    assert n_left.min() == 1
    # 3,000 expected, standard deviation sqrt(10,000 * 0.3 * 0.7) = 46; half of each
    assert (n_left == 1).sum().item() == pytest.approx(3000, abs=4 * 46)
    assert (~left["text"]).sum().item() == pytest.approx(1500, abs=4 * 36)


def test_the_choice_follows_the_seed():
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(drop_modalities({}, ["text", "wav"], 50, 0.5)["text"].tolist())
    assert drawn[0] == drawn[1] != drawn[2]


def test_an_utterance_without_text_keeps_its_speech():
    present = {"text": torch.tensor([True, False])}
    for _ in range(20):
        left = drop_modalities(present, ["text", "wav"], 2, probability=1.0)
        assert left["text"].tolist()[1:] == [False]
        assert left["wav"].tolist()[1:] == [True]
        assert left["text"][0] != left["wav"][0]
    assert present["text"].tolist() == [True, False]


def test_a_model_of_one_modality_cannot_drop_it():
    check_modality_dropout(0.0, ["wav"], "hubert_ecapa")
    check_modality_dropout(0.3, ["text", "wav"], "hubert_bert_late")
    with pytest.raises(ValueError, match=r"is 0\.3, but hubert_ecapa reads only wav"):
        check_modality_dropout(0.3, ["wav"], "hubert_ecapa")


# ---- settings and data


def settings_of(name: str, **given: object) -> Settings:
    sources = dict.fromkeys(("hubert_source", "bert_source"))
    return Settings.from_file(
        HPARAMS / f"{name}.yaml", {"data_folder": "DATA", **sources, **given}
    )


def test_only_modality_dropout_above_zero_changes_a_key_and_never_that_of_a_stage():
    options = RunOptions()
    zero, some = (
        settings_of("hubert_bert_late", modality_dropout=p) for p in (0.0, 0.3)
    )
    without = Settings(zero.text.replace("modality_dropout: 0.0", "", 1), zero.path)
    assert "modality_dropout" not in without
    assert settings_key(zero, options) == settings_key(without, options)
    assert settings_key(zero, options) != settings_key(some, options)
    for upstream in ("hubert", "bert"):
        stages = [finetuning_settings(s, upstream) for s in (zero, some)]
        assert len({settings_key(stage, options) for stage in stages}) == 1


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("modality_dropout", 1.5, "from 0 to 1"), ("attention_size", 0, "at least 1")],
)
def test_a_number_out_of_range_is_refused(name, value, expected):
    with pytest.raises(ValueError, match=f"{name} .* is {value}; .*{expected}"):
        settings_of("hubert_bert_attentive", **{name: value})


def fold_of(texts: list[str]) -> Fold:
    rows = [
        Utterance(f"u{k}", "", "sad", f"s{k}", 1.0, text=text)
        for k, text in enumerate(texts)
    ]
    return Fold(1, train=rows[:-2], valid=rows[-2:-1], test=rows[-1:])


def test_utterances_without_text_are_an_error_or_counted(caplog):
    fold, reads = fold_of(["So", " ", "No", ""]), {"text"}
    strict = settings_of("hubert_bert_late")
    with pytest.raises(ValueError, match="2 of 4 .* the first is u1.*modality_dropout"):
        fold_inputs(strict, reads, fold)
    with caplog.at_level(logging.INFO):
        fold_inputs(settings_of("hubert_bert_late", modality_dropout=0.3), reads, fold)
        fold_inputs(strict, reads, fold, text_is_optional=True)  # its fine-tuning
    counted = "2 of 4 utterances of IEMOCAP have no transcript: used without text."
    assert [record.getMessage() for record in caplog.records] == [counted] * 2


def test_a_corpus_without_any_text_is_an_error_all_the_same():
    settings = settings_of("hubert_bert_late", modality_dropout=0.3)
    with pytest.raises(ValueError, match="3 of 3 utterances of IEMOCAP have none"):
        fold_inputs(settings, {"text"}, fold_of(["", "", ""]))
    spoken = fold_of(["", "", ""])
    assert set(fold_inputs(settings, {"wav"}, spoken)) == {"wav"}
