"""A speech classifier of the hub becomes a model of ours, all of it or not at all."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import HubertForSequenceClassification

from ser_lib.aggregators import MeanPooling
from ser_lib.model import EmotionModel
from ser_lib.settings import Settings
from ser_lib.synthetic.encoders import write_tiny_classifier, write_tiny_hubert
from ser_lib.upstreams import SequenceClassificationUpstream

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
NAMES = {"neutral": "neu", "happy": "hap", "sad": "sad", "angry": "ang"}
WEIGHTS = "model.safetensors"


def write_classifier(folder: Path, names: list[str], **config) -> str:
    """A tiny classifier whose classes and layers all differ plainly."""
    write_tiny_classifier(folder, names, **config)
    weights = load_file(folder / WEIGHTS)
    generator = torch.Generator().manual_seed(1)
    scales = {"layer_weights": 1.0, "projector": 0.1, "classifier": 0.1}
    for key in weights:
        if scale := scales.get(key.split(".")[0]):
            weights[key] = scale * torch.randn(weights[key].shape, generator=generator)
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    return str(folder)


def recipe_model(folder: str) -> EmotionModel:
    """The model of the recipe, started from a classifier in a folder."""
    path = RECIPES / "RAVDESS" / "hparams" / "hubert_superb_er.yaml"
    given = {"data_folder": "DATA", "hubert_source": folder}
    return Settings.from_file(path, given)["model"].eval()


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> str:
    return write_classifier(tmp_path_factory.mktemp("c"), ["neu", "hap", "ang", "sad"])


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("order", [(0, 1, 3, 2), (2, 0, 3, 1)])
def test_our_model_gives_the_logits_of_the_classifier_in_the_order_of_our_labels(
    tmp_path, norm, weighted, order
):
    labels = list(NAMES)
    names = [NAMES[labels[i]] for i in order]  # of the checkpoint's logits
    config = {"feat_extract_norm": norm, "use_weighted_layer_sum": weighted}
    folder = write_classifier(tmp_path, names, **config)
    model = recipe_model(folder)
    wavs = 0.1 * torch.randn(2, 16000) + 0.02
    extractor = model.upstreams["upstream"].feature_extractor
    inputs = extractor(list(wavs.numpy()), sampling_rate=16000, return_tensors="pt")
    theirs = HubertForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = theirs(inputs.input_values).logits
        found = model(wavs, torch.ones(2))
    columns = [names.index(NAMES[label]) for label in model.labels]
    assert model.labels == labels
    assert expected[0].max() - expected[0].min() > 0.1  # else any order would do
    torch.testing.assert_close(found, expected[:, columns], atol=1e-5, rtol=0)


def test_an_utterance_alone_and_in_a_padded_batch_gives_equal_logits(classifier):
    model = recipe_model(classifier)
    wavs = 0.1 * torch.randn(2, 16000)
    wavs[1, 9000:] = 0
    with torch.no_grad():
        together = model(wavs, torch.tensor([1.0, 9000 / 16000]))
        alone = model(wavs[1:, :9000], torch.ones(1))
    torch.testing.assert_close(together[1:], alone, atol=1e-4, rtol=0)


def test_all_of_the_classifier_is_trained(classifier):
    model = recipe_model(classifier).train()
    model(torch.randn(2, 8000), torch.ones(2))[:, 0].sum().backward()
    without = [n for n, p in model.named_parameters() if p.grad is None]
    # The first is SpecAugment's, which is off.
    assert without == ["upstreams.upstream.model.masked_spec_embed"]
    assert not any(u.frozen for u in model.upstreams.values())


def change_weights(folder: Path, change) -> str:
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    return str(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("projector.bias"), "missing projector.bias"),
        (lambda w: w.pop("layer_weights"), "missing layer_weights"),
        (
            lambda w: w.update({"hubert.adapter.weight": torch.ones(1)}),
            "unexpected .*adapter.weight",
        ),
        (
            lambda w: w.update({"classifier.bias": torch.ones(7)}),
            "of another shape classifier.bias",
        ),
    ],
    ids=["missing", "missing sum", "unexpected", "shape"],
)
def test_a_checkpoint_that_is_not_whole_is_refused_with_the_weight(
    tmp_path, change, message
):
    write_tiny_classifier(tmp_path, list(NAMES.values()))
    folder = change_weights(tmp_path, change)
    with pytest.raises(ValueError, match=message) as error:
        SequenceClassificationUpstream(folder)
    assert folder in str(error.value)


def test_an_encoder_without_a_head_is_refused(tmp_path):
    folder = write_tiny_hubert(tmp_path)
    with pytest.raises(ValueError, match=r"missing classifier.bias, classifier.weight"):
        SequenceClassificationUpstream(folder)


def test_a_checkpoint_in_the_older_format_is_loaded_whole(tmp_path):
    # As the published ones: a pickle, and other names for the weight norm.
    folder = write_classifier(tmp_path / "new", list(NAMES.values()))
    weights = load_file(Path(folder) / WEIGHTS)
    old = tmp_path / "old"
    write_tiny_classifier(old, list(NAMES.values()))
    (old / WEIGHTS).unlink()
    names = {
        "parametrizations.weight.original0": "weight_g",
        "parametrizations.weight.original1": "weight_v",
    }
    renamed = {}
    for key, value in weights.items():
        for new_name, old_name in names.items():
            key = key.replace(new_name, old_name)
        renamed[key] = value
    assert sum(key.endswith(("weight_g", "weight_v")) for key in renamed) == 2
    torch.save(renamed, old / "pytorch_model.bin")
    expected = recipe_model(folder).state_dict()
    found = recipe_model(str(old)).state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize("names", [["neu", "hap", "ang", "fru"], ["neu", "hap", "ang"]])
def test_a_label_that_is_not_ours_is_refused_with_both_lists(tmp_path, names):
    write_tiny_classifier(tmp_path, names)
    with pytest.raises(ValueError, match="label_names") as error:
        recipe_model(str(tmp_path))
    assert str(names) in str(error.value)
    assert str(list(NAMES.values())) in str(error.value)


def test_a_classifier_of_other_embeddings_is_refused(classifier):
    upstream = SequenceClassificationUpstream(classifier, NAMES)
    with pytest.raises(ValueError, match="size 32, that of the model 192"):
        upstream.initialise_classifier(nn.Linear(192, 4), list(NAMES))


def test_a_model_that_starts_from_an_upstream_it_does_not_have_is_refused(classifier):
    upstream = SequenceClassificationUpstream(classifier, NAMES)
    branches = [{"upstreams": ["upstream"], "aggregator": MeanPooling}]
    with pytest.raises(ValueError, match=r"The classifier uses .*\['hubert'\]"):
        EmotionModel(
            list(NAMES), {"upstream": upstream}, branches, classifier_from="hubert"
        )


def test_a_description_without_weights_builds_the_same_network(classifier):
    model = recipe_model(classifier)
    described = model.upstreams["upstream"].without_weights()
    upstream = SequenceClassificationUpstream(described, NAMES)
    branches = [{"upstreams": ["upstream"], "aggregator": MeanPooling}]
    again = EmotionModel(
        model.labels, {"upstream": upstream}, branches, classifier_from="upstream"
    )
    again.load_state_dict(model.state_dict(), strict=True)
    wavs = torch.randn(1, 8000)
    with torch.no_grad():
        expected = model(wavs, torch.ones(1))
        torch.testing.assert_close(again.eval()(wavs, torch.ones(1)), expected)
