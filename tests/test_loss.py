"""The loss: the plain cross-entropy, weighted by class, focused on hard utterances."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from ser_lib.settings import Settings
from ser_lib.training.loss import class_loss, weights_of_classes

FBANK = Path(__file__).resolve().parents[1] / "recipes/Custom/hparams/fbank_ecapa.yaml"


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(6, 3), torch.tensor([0, 0, 1, 2, 2, 2])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_default_is_the_cross_entropy(batch, smoothing):
    logits, targets = batch
    expected = F.cross_entropy(logits, targets, label_smoothing=smoothing)
    assert class_loss(logits, targets, smoothing).equal(expected)


def test_class_weights_weigh_the_mean(batch):
    logits, targets = batch
    weights = torch.tensor([1.0, 2.0, 0.5])
    own = F.cross_entropy(logits, targets, reduction="none") * weights[targets]
    expected = own.sum() / (1 + 1 + 2 + 0.5 + 0.5 + 0.5)
    for gamma in (0.0, 1e-9):  # both ways of computing it
        found = class_loss(logits, targets, 0.0, weights, gamma)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_the_focal_loss_is_that_of_the_paper():
    p = torch.tensor([[0.9, 0.1], [0.4, 0.6]])
    found = class_loss(p.log(), torch.tensor([0, 0]), focal_gamma=2.0)
    # -(1 - p) ** 2 ln p, for p = 0.9 and 0.4
    expected = -(0.1**2 * math.log(0.9) + 0.6**2 * math.log(0.4)) / 2
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_balanced_weights_are_those_of_scikit_learn():
    labels, trained_on = ["a", "b", "c"], [*"aaaaab", *"cc"]
    found = weights_of_classes("balanced", labels, trained_on)
    expected = compute_class_weight("balanced", classes=np.array(labels), y=trained_on)
    assert found.tolist() == pytest.approx(list(expected))


def test_a_label_without_utterances_cannot_be_balanced():
    with pytest.raises(ValueError, match="no utterance labelled b"):
        weights_of_classes("balanced", ["a", "b"], ["a"])


def test_there_is_one_weight_for_each_label():
    assert weights_of_classes([1, 2.5], ["a", "b"], []).tolist() == [1.0, 2.5]
    with pytest.raises(ValueError, match="has 3 numbers; expected one for each.* a, b"):
        weights_of_classes([1, 2, 3], ["a", "b"], [])


@pytest.mark.parametrize(
    "given", ["class_weights: balanced", "class_weights: [1, 2.5]"]
)
def test_class_weights_are_given_as_a_word_or_a_list(given):
    Settings.from_file(FBANK, f"csv: my.csv\n{given}")


@pytest.mark.parametrize("value", ["even", "[1, 0]", "[]", "2", "[1, .nan]"])
def test_other_class_weights_are_refused(value):
    message = "class_weights on the command line is .*balanced, null, or a list"
    with pytest.raises(ValueError, match=message):
        Settings.from_file(FBANK, f"csv: my.csv\nclass_weights: {value}")
