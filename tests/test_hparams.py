"""Settings: layers join before references resolve, and misspelt keys are errors."""

from pathlib import Path

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml

from ser_lib.settings import Settings

BASE = """
seed: 1
data_folder: !PLACEHOLDER
number_of_epochs: 3
folder: !ref results/<seed>
loader: {batch_size: 8, shuffle: True}
open: {}
model: !PLACEHOLDER
optimizer: !name:torch.optim.Adam
    lr: 0.1
"""
EXPERIMENT = """
extends: base.yaml
width: 4
model: !new:torch.nn.Linear
    in_features: !ref <width>
    out_features: 2
loader: {batch_size: 2}
"""


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "experiment.yaml").write_text(EXPERIMENT)
    return tmp_path / "experiment.yaml"


def test_a_layer_replaces_scalars_and_objects_and_merges_mappings(experiment):
    settings = Settings.from_file(experiment, {"data_folder": "d", "seed": 7})
    assert settings["folder"] == "results/7"  # references see the overridden seed
    assert settings["loader"] == {"batch_size": 2, "shuffle": True}
    assert settings["model"].in_features == 4


def test_the_flattened_text_loads_with_stock_hyperpyyaml(experiment):
    settings = Settings.from_file(experiment, "data_folder: d\nwidth: 6")
    loaded = load_hyperpyyaml(settings.text)
    assert loaded["model"].in_features == 6
    assert loaded["data_folder"] == "d"


def test_the_object_that_is_referred_to_twice_is_built_once(experiment):
    (experiment.parent / "twice.yaml").write_text(
        "extends: experiment.yaml\n"
        "both: !new:torch.nn.ModuleList\n"
        "    modules: [!ref <model>, !ref <model>]\n"
        "open: {both: !ref <both>}\n"
    )
    built = Settings.from_file(
        experiment.parent / "twice.yaml", {"data_folder": "d"}
    ).build()
    assert built["both"][0] is built["both"][1] is built["model"]


def test_building_replaces_values_for_that_time_only(experiment):
    settings = Settings.from_file(experiment, {"data_folder": "d"})
    assert settings.build(seed=9)["folder"] == "results/9"
    assert settings["folder"] == "results/1"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("number_of_epoch: 2", "'number_of_epoch' on the command line.*'number_of_e"),
        ("loader: {batchsize: 2}", "'loader: batchsize'.*Did you mean 'batch_size'"),
        ("number_of_epochs: many", "is 'many'; expected a number, such as 3"),
        ("loader: {shuffle: 1}", "expected True or False, such as True"),
        ("seed: True", "is True; expected a number, such as 1"),
        ("optimizer: {lr: 0.2}", "is an object .!name:torch.optim.Adam"),
    ],
)
def test_a_wrong_override_is_refused_with_what_was_expected(
    experiment, override, message
):
    with pytest.raises(ValueError, match=message):
        Settings.from_file(experiment, f"data_folder: d\n{override}")


@pytest.mark.parametrize(
    ("key", "meant"), [("number_of_epocs", "number_of_epochs"), ("see", "seed")]
)
def test_a_misspelt_key_in_a_file_names_the_file_and_the_nearest_key(
    experiment, key, meant
):
    upper = experiment.parent / "upper.yaml"
    upper.write_text(f"extends: experiment.yaml\n{key}: 2\n")
    with pytest.raises(ValueError, match=f"upper.yaml. Did you mean '{meant}'"):
        Settings.from_file(upper)


# 9 to the power of 12 values.
BILLION_LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n"
    for a, b in zip("abcdefghijk", "bcdefghijkl", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BILLION_LAUGHS, "too large: expected at most 100,000 values"),
        ("a: " + "[" * 60 + "]" * 60, "on 50 levels"),
        ("a: " + "[" * 9999 + "]" * 9999, "nested too deeply"),
    ],
)
def test_settings_that_nothing_could_walk_through_are_refused(text, message):
    with pytest.raises(ValueError, match=f"settings .*{message}"):
        Settings(text)


def test_aliases_that_are_few_are_fine():
    settings = Settings("a: &a [1, 2]\nb: [*a, *a]\n" + "c: " + "[" * 40 + "]" * 40)
    assert settings["b"] == [[1, 2], [1, 2]]


def test_a_key_that_is_a_list_is_refused(experiment):
    upper = experiment.parent / "upper.yaml"
    upper.write_text("extends: experiment.yaml\n? [a]\n: 1\n")
    with pytest.raises(ValueError, match=r"Unknown setting \('a',\) in .*upper.yaml"):
        Settings.from_file(upper)


def test_a_mapping_that_is_empty_below_takes_any_key(experiment):
    settings = Settings.from_file(experiment, "data_folder: d\nopen: {new: 1}")
    assert settings["open"] == {"new": 1}


def test_a_required_value_that_is_missing_names_the_option_to_give(experiment):
    settings = Settings.from_file(experiment)
    assert settings["seed"] == 1  # other values can be read without it
    with pytest.raises(ValueError, match="--data_folder"):
        settings["data_folder"]


def test_a_missing_file_is_named(tmp_path):
    (tmp_path / "a.yaml").write_text("extends: nowhere.yaml\n")
    with pytest.raises(FileNotFoundError, match="nowhere.yaml"):
        Settings.from_file(tmp_path / "a.yaml")


def test_a_tagged_node_replaces_a_tagged_node_with_its_class(experiment):
    # Stock HyperPyYAML keeps the old class and merges the arguments.
    upper = experiment.parent / "upper.yaml"
    upper.write_text("extends: experiment.yaml\nmodel: !new:torch.nn.Identity\n")
    model = Settings.from_file(upper, {"data_folder": "d"})["model"]
    assert isinstance(model, torch.nn.Identity)
