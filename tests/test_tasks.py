"""Tasks: their settings, the targets of utterances, losses."""

import math

import audmetric
import numpy as np
import pytest
import torch
from scipy.stats import entropy

from ser_lib.aggregators import MeanPooling
from ser_lib.corpora import Utterance, target_of, with_labels
from ser_lib.corpora.tasks import check_targets
from ser_lib.model import EmotionModel
from ser_lib.model_outputs import answers
from ser_lib.settings import RECIPES, Settings, Task, read_tasks
from ser_lib.training.task_losses import concordance_loss, divergence_loss, task_loss
from ser_lib.training.task_targets import TaskTargets
from ser_lib.upstreams import FbankUpstream

FBANK = RECIPES / "Custom" / "hparams" / "fbank_ecapa.yaml"
LABELS = ["angry", "sad"]
EMOTION = {"kind": "classes"}
AROUSAL = {"kind": "value", "range": [1, 5]}


def tasks_of(**blocks):
    return read_tasks({"tasks": {"emotion": EMOTION, **blocks}, "labels": LABELS})


def utterance(i, label="sad", **attributes):
    return Utterance(i, f"{i}.wav", label, "1", 1.0, attributes=attributes)


# ---- settings


def test_without_tasks_the_emotion_is_the_only_one_with_the_settings_beside_it():
    settings = {"tasks": {}, "labels": LABELS, "label_smoothing": 0.1}
    (task,) = read_tasks(settings)
    assert (task.name, task.kind, task.weight) == ("emotion", "classes", 1.0)
    assert (task.labels, task.label_smoothing) == (("angry", "sad"), 0.1)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("{arousal: {kind: value, range: [1, 5]}}", "tasks has no emotion"),
        ("{emotion: {kind: value}}", "emotion: kind is 'value'; expected classes or"),
        ("{emotion: {label_smoothing: 0.1}}", "has label_smoothing.*beside tasks"),
        ("{emotion: {}, arousal: {kind: value}}", "arousal has no range.*1, 5"),
        ("{emotion: {}, a: {kind: value, range: [5, 1]}}", "range is .5, 1.; expected"),
        ("{emotion: {}, a: {kind: distribution}}", "kind is 'distribution'"),
        ("{emotion: {}, a: {heavy: 2}}", "a has heavy; .*column, focal_gamma, kind"),
        ("{emotion: {}, a: {weight: 0}}", "a: weight is 0; expected a number above 0"),
        ("{emotion: {}, a: {labels: [x, x]}}", "two different names"),
        ("{emotion: {}, a: {class_weights: [1, 0]}}", "balanced, null, or a list"),
        ("{emotion: {}, a: {kind: value, range: [0, 1], loss: mae}}", "ccc or squared"),
        ("{emotion: {}, p_a: {}}", "name 'p_a'"),
        ("{emotion: {}, label: {}}", "name 'label'"),
        ("{emotion: {}, a b: {}}", "name 'a b'"),
        ("{emotion: 3}", "emotion is 3; expected a block"),
    ],
)
def test_wrong_tasks_are_refused_when_the_settings_are_read(block, message):
    with pytest.raises(ValueError, match=message):
        Settings.from_file(FBANK, f"csv: my.csv\ntasks: {block}")["seed"]


def test_the_command_line_can_change_one_key_of_a_task():
    path = RECIPES / "RAVDESS" / "hparams" / "whisper_hidden_tasks.yaml"
    given = "{data_folder: x, tasks: {gender: {weight: 2.0, focal_gamma: 1.0}}}"
    _, gender, intensity = read_tasks(Settings.from_file(path, given))
    assert (gender.weight, gender.focal_gamma) == (2.0, 1.0)
    assert (intensity.name, intensity.weight) == ("intensity", 0.3)


# ---- targets


def test_targets_are_indices_values_and_shares():
    rows = [
        utterance("a", gender="woman", arousal="2.5", votes_angry="1", votes_sad="3"),
        utterance("b", "angry", gender="man"),
    ]
    tasks = with_labels(tasks_of(gender={}, arousal=AROUSAL), rows)
    assert tasks[1].labels == ("man", "woman")  # sorted
    assert [[target_of(u, t) for t in tasks] for u in rows] == [
        [1, 1, 2.5],
        [0, 0, None],
    ]
    soft = read_tasks(
        {"tasks": {"emotion": {"kind": "distribution"}}} | {"labels": LABELS}
    )
    assert [target_of(u, soft[0]) for u in rows] == [[0.25, 0.75], None]


def test_utterances_that_lack_a_value_are_counted():
    rows = [utterance("a", arousal="2"), utterance("b"), utterance("c")]
    (sentence,) = check_targets(tasks_of(arousal=AROUSAL), rows)
    assert sentence.startswith("Task arousal: 2 of 3 utterances have no target")


@pytest.mark.parametrize(
    ("attributes", "blocks", "message"),
    [
        (
            {"arousal": "7"},
            {"arousal": AROUSAL},
            "1 of 2 .*a has arousal = '7'.*1 to 5",
        ),
        ({"arousal": "high"}, {"arousal": AROUSAL}, "a has arousal = 'high'; expected"),
        ({"arousal": "nan"}, {"arousal": AROUSAL}, "a has arousal = 'nan'; expected"),
        ({}, {"arousal": AROUSAL}, "arousal: none of 2 utterances has arousal"),
        ({"sex": "f"}, {"sex": {}}, "sex has only the class 'f' in the column"),
        ({"sex": "x"}, {"sex": {"labels": ["f", "m"]}}, "sex = 'x'; expected one of f"),
        ({"s": "f"}, {"sex": {"column": "gender", "labels": ["f", "m"]}}, "has gender"),
        (
            {"votes_sad": "0.4", "votes_angry": "0.3"},
            {"emotion": {"kind": "distribution"}},
            "votes of a sum to 0.7; expected counts of votes, or shares that sum to 1",
        ),
    ],
)
def test_wrong_targets_name_utterance_and_value(attributes, blocks, message):
    rows = [utterance("a", **attributes), utterance("b", "angry")]
    with pytest.raises(ValueError, match=message):
        check_targets(tasks_of(**blocks), rows)


# ---- the model


def model():
    torch.manual_seed(0)
    fbank = {"fbank": FbankUpstream(n_mels=8)}
    branch = {"upstreams": ["fbank"], "aggregator": MeanPooling}
    return EmotionModel(LABELS, fbank, [branch]).eval()


def test_each_task_has_a_linear_layer_on_the_same_embedding():
    plain, several = model(), model()
    several.downstream.add_heads({"gender": 2, "arousal": 1})
    wavs, lens = torch.randn(3, 8000), torch.ones(3)
    with torch.no_grad():
        logits, outputs = plain(wavs, lens), several(wavs, lens)
        embedding = several.downstream.embed(several.frames(wavs, lens))
    split = several.downstream.split(outputs)
    assert list(split) == ["emotion", "gender", "arousal"]
    assert torch.equal(split["emotion"], logits)
    head = several.downstream.heads["arousal"]
    expected = embedding @ head.weight.T + head.bias
    torch.testing.assert_close(split["arousal"], expected, atol=1e-6, rtol=0)
    added = set(several.state_dict()) - set(plain.state_dict())
    assert added == {
        f"downstream.heads.{task}.{kind}"
        for task in ("gender", "arousal")
        for kind in ("weight", "bias")
    }


def test_values_are_scaled_by_their_range_and_stay_in_it():
    task = Task("arousal", "value", range=(1.0, 5.0))
    outputs = torch.tensor([[-1.0], [0.0], [0.5], [1.0], [9.0]])
    assert answers(task, outputs).flatten().tolist() == [1.0, 3.0, 4.0, 5.0, 5.0]


# ---- losses


def test_the_concordance_loss_is_one_minus_audmetrics_ccc():
    rng = np.random.default_rng(0)
    truth = rng.uniform(1, 5, 50)
    predicted = truth + rng.normal(0.4, 1, 50)
    for t, p in [(truth, predicted), (truth[:2], predicted[:2]), (truth, -predicted)]:
        expected = 1 - audmetric.concordance_cc(t, p)
        found = concordance_loss(torch.tensor(p), torch.tensor(t)).item()
        assert found == pytest.approx(expected, abs=1e-6)


def test_the_concordance_loss_of_one_utterance_has_no_gradient():
    predicted = torch.tensor([0.3], requires_grad=True)
    loss = concordance_loss(predicted, torch.tensor([0.5]))
    loss.backward()
    assert (loss.item(), predicted.grad.item()) == (1.0, 0.0)


def test_the_divergence_loss_is_the_mean_of_scipys_entropy():
    logits = torch.tensor([[0.5, -1.0, 0.0], [2.0, 0.0, 1.0]])
    shares = torch.tensor([[0.2, 0.8, 0.0], [1.0, 0.0, 0.0]])
    expected = np.mean(entropy(shares.numpy(), logits.softmax(-1).numpy(), axis=1))
    assert divergence_loss(logits, shares).item() == pytest.approx(expected, abs=1e-6)


def test_squared_errors_are_of_values_scaled_to_one():
    task = Task("arousal", "value", range=(1, 5), loss="squared_error")
    loss = task_loss(task, torch.tensor([[0.0], [1.0]]), torch.tensor([0.5, 0.5]))
    assert loss.item() == 0.25


def test_losses_are_weighted_added_and_leave_out_utterances_without_a_target():
    rows = [
        utterance("a", gender="woman", arousal="5"),
        utterance("b", "angry", gender="man", arousal="1"),
        utterance("c"),
    ]
    blocks = {"gender": {"weight": 0.5}, "arousal": AROUSAL | {"loss": "squared_error"}}
    tasks = with_labels(tasks_of(**blocks), rows)
    targets = TaskTargets(tasks, rows)
    targets.fit(rows)
    outputs = {
        "emotion": torch.zeros(3, 2),  # ln 2
        "gender": torch.tensor([[0.0, 0.0], [0.0, 0.0], [9.0, 0.0]]),  # ln 2, without c
        "arousal": torch.tensor([[0.0], [0.0], [9.0]]),  # targets are 1 and -1: 1
    }
    expected = math.log(2) + 0.5 * math.log(2) + 1.0
    assert targets.loss(outputs, ["a", "b", "c"]).item() == pytest.approx(expected)
    alone = targets.loss({k: v[2:] for k, v in outputs.items()}, ["c"])
    assert alone.item() == pytest.approx(math.log(2))


def test_each_task_can_weigh_its_classes():
    rows = [
        utterance(i, gender=g)
        for i, g in zip("abcd", ["m", "m", "m", "f"], strict=True)
    ]
    tasks = with_labels(tasks_of(gender={"class_weights": "balanced"}), rows)
    targets = TaskTargets(tasks, rows)
    targets.fit(rows)
    # 4 utterances, 2 classes: weights 4 / (2 * 1) and 4 / (2 * 3), as in scikit-learn
    found = targets._class_weights["gender"].tolist()
    assert found == pytest.approx([2.0, 2 / 3])


def test_a_training_part_without_a_target_is_refused():
    rows = [utterance("a", arousal="2"), utterance("b")]
    targets = TaskTargets(tasks_of(arousal=AROUSAL), rows)
    with pytest.raises(ValueError, match="arousal: none of the 1 utterances of the"):
        targets.fit(rows[1:])
