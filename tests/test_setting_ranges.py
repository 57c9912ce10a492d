"""Every number of the settings has a range; what is outside is told before a run.

That the settings of every recipe fit each other is found where all of them are read:
``test_recipes.py`` and ``test_pretraining_run.py``.
"""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ser_lib.settings import Settings
from ser_lib.settings.checks import check_values, values_of
from ser_lib.settings.ranges import RANGES, Range, range_of
from ser_lib.training import finetuning_settings

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
FILES = sorted({*RECIPES.glob("*/hparams/*.yaml"), *RECIPES.glob("*/*.yaml")})
FBANK = RECIPES / "Custom/hparams/fbank_ecapa.yaml"


def layers_of(file: Path) -> list[dict]:
    tree = YAML().load(file.read_text(encoding="utf-8"))
    # Experiment -> settings to change
    is_of_many = file.name in ("miniature.yaml", "adapters.yaml")
    return list(tree.values()) if is_of_many else [tree]


def is_number(value: object) -> bool:
    if isinstance(value, list):
        return any(map(is_number, value))
    return isinstance(value, int | float) and not isinstance(value, bool)


def test_every_number_of_the_recipes_has_a_range_and_is_in_it():
    layers = [(file, layer) for file in FILES for layer in layers_of(file)]
    numbers = [
        (file, name)
        for file, layer in layers
        for name, value in values_of(layer)
        if is_number(value)
    ]
    assert len(numbers) > 200
    without = {name for _, name in numbers if range_of(name) is None}
    assert without == {"layer"}  # a word or a number, see checks.py
    for file, layer in layers:
        check_values(layer, f"in {file}")


def test_no_range_is_of_a_setting_that_is_no_longer_there():
    names = {n for f in FILES for layer in layers_of(f) for n, _ in values_of(layer)}
    unused = {name for name in RANGES if "*" not in name} - names
    assert unused == {
        "grad_accumulation_factor",  # one of SpeechBrain's
        *("lora: lora_alpha", "lora: lora_dropout"),  # null by default
    }


def given(text: str) -> Settings:
    more = "" if text.startswith("csv") else "csv: my.csv\n"
    settings = Settings.from_file(FBANK, more + text)
    settings["seed"]  # references are resolved when a value is asked for
    return settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "batch_size: 0",
            "batch_size on the command line is 0; expected a whole number",
        ),
        ("lora: {r: 0}", "lora: r on the command line is 0; expected a whole number"),
        ("lora: {lora_dropout: 1}", "lora: lora_dropout on the command line is 1"),
        ("frozen_layers: -1", "frozen_layers on the command line is -1"),
        ("lr_layer_decay: 1.1", "above 0 and at most 1"),
        ("lr_layer_decay: 0", "is 0; expected a number above 0"),
        ("batch_size: -3", "is -3; expected a whole number of at least 1"),
        ("batch_size: 1.5", "is 1.5; expected a whole number"),
        ("batch_size: .inf", "is inf; expected a whole number"),
        ("batch_size: null", "is null; expected a whole number"),
        ("batch_size: True", "is True; expected a number, such as 32"),
        ("batch_size: {a: 1}", "expected a number"),
        ("number_of_epochs: 0", "number_of_epochs on the command line is 0"),
        ("number_of_epochs: 1e1", "is 10.0; expected a whole number"),
        ("crop_s: 0", "is 0; expected a number above 0, or null"),
        ("crop_s: .nan", "is nan; expected a number above 0"),
        ("crop_s: 0.1", "min_duration_s is 0.2, and crop_s is 0.1; expected"),
        ("averaged_checkpoints: 0", "averaged_checkpoints on the command line is 0"),
        ("averaged_checkpoints: 6", "is 6, and kept_checkpoints is 5; expected"),
        ("kept_checkpoints: 4", "averaged_checkpoints is 5, and kept_checkpoints is 4"),
        ("lr_downstream: abc", "is 'abc'; expected a number, such as 0.001"),
        ("lr_downstream: -1", "is -1; expected a number of at least 0"),
        ("lr_downstream: .inf", "is inf; expected a number of at least 0"),
        ("max_batch_s: 0", "is 0; expected a number above 0"),
        ("max_batch_s: .nan", "is nan; expected a number above 0"),
        ("seed: -1", "is -1; expected a whole number from 0 to 4294967295"),
        ("patience: 0", "is 0; expected a whole number of at least 1"),
        ("average_after: 1", "is 1; expected a number of at least 0 and below 1"),
        ("warmup_fraction: 1", "expected a number of at least 0 and below 1"),
        ("label_smoothing: -0.1", "expected a number of at least 0 and below 1"),
        ("num_workers: -1", "expected a whole number of at least 0"),
        ("trim_silence_db: 0", "expected a number above 0, or null"),
        ("n_folds: 1", "expected a whole number of at least 2"),
        ("n_mels: 0", "expected a whole number of at least 1"),
        ("ecapa_channels: 512", "is 512; expected a list, such as"),
        ("ecapa_channels: [8, 8, 8, 8, x]", "expected a list, each a whole number of"),
        ("ecapa_channels: [8, 8, 8]", "expected five numbers"),
        ("ecapa_channels: [8, 9, 9, 9, 8]", "the same multiple of 8"),
        ("ecapa_channels: [8, 8, 16, 8, 8]", "the same multiple of 8"),
        ("speeds_percent: [0]", "expected a list, each a whole number from 10 to 1000"),
        ("corpus: {min_duration_s: -1}", "corpus: min_duration_s on the command line"),
        ("corpus: {counts: {sad: many}}", "corpus: counts: sad .* is 'many'; expected"),
        ("optimizer: !name:a.B {weight_decay: -1}", "optimizer: weight_decay .* is -1"),
        ("batch_size: !ref <num_workers> * 0", "with all references resolved is 0"),
        ("experiment: ../../x", "is '../../x'; expected a name as text, without /"),
        ("experiment: /tmp/x", "expected a name as text"),
        ("experiment: a\\b", "expected a name as text"),
        ("experiment: ..", "expected a name as text"),
        ("experiment: ''", "expected a name as text"),
        ("experiment: 3", "expected a name as text"),
        ("results_folder: null", "is null; expected a path as text"),
        ("results_folder: ''", "expected a path as text"),
        ("results_folder: ~/results", r"expected a path as text .*\$HOME"),
        ("output_folder: 2024", "expected a path as text"),
        ("csv: [a.csv, b.csv]", "expected a path as text"),
        ("csv: {a: b.csv}", "expected a path as text"),
        ("model: null", "model on the command line is null; expected a value"),
        ("read_corpus: null", "is null; expected a value"),
        ("labels: null", "is null; expected a value"),
        ("labels: 0", "labels is 0; expected a list of names"),
    ],
)
def test_a_wrong_value_is_refused_with_what_was_expected(text, message):
    with pytest.raises(ValueError, match=message):
        given(text)


@pytest.mark.parametrize(
    "text",
    [
        "crop_s: null",
        "wav_augment: null",
        "max_batch_s: .inf",
        "lr_upstream: 0",
        "averaged_checkpoints: 5",
    ],
)
def test_the_ends_of_a_range_are_fine(text):
    given(text)


def test_a_family_does_not_lead_out_of_the_results_folder():
    with pytest.raises(ValueError, match="family .* is '../../x'; expected a name"):
        Settings.from_file(RECIPES / "RAVDESS/hparams/superb.yaml", "family: ../../x")


def test_a_wrong_value_in_a_file_is_refused_with_the_file(tmp_path):
    (tmp_path / "mine.yaml").write_text(f"extends: {FBANK}\nbatch_size: 0\n")
    with pytest.raises(ValueError, match="batch_size in .*mine.yaml is 0; expected"):
        Settings.from_file(tmp_path / "mine.yaml")


def test_what_is_passed_on_to_fine_tuning_is_checked_by_the_same_ranges():
    file = RECIPES / "IEMOCAP/hparams/hubert_ecapa.yaml"
    passed = "finetuned: {upstream: {overrides: {batch_size: 0}}}"
    with pytest.raises(ValueError, match="batch_size on the command line is 0"):
        Settings.from_file(file, passed)
    averaged = "data_folder: d\nfinetuned: {upstream: {averaged_checkpoints: 6}}"
    with pytest.raises(ValueError, match="is 6, but hubert_finetune keeps only 5"):
        finetuning_settings(Settings.from_file(file, averaged), "upstream")


def test_a_setting_of_ones_own_is_not_checked(tmp_path):
    text = f"extends: {FBANK}\nmine: -1\nnote: !ref <mine>\n"
    (tmp_path / "mine.yaml").write_text(text)
    assert Settings.from_file(tmp_path / "mine.yaml")["mine"] == -1
    # Arguments of other objects may have the names of settings.
    check_values({"layer": {"dim": -1}}, "in mine.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_duration_s: 0.1", "min_duration_s is 0.5, and max_duration_s is 0.1"),
        ("encoder: {hidden_size: 190}", "num_attention_heads is 4, and .* is 190; exp"),
        ("valid_share: 1", "expected a number above 0 and below 1"),
        ("decay: [0.9, 1.1]", "expected a list, each a number from 0 to 1"),
    ],
)
def test_the_settings_of_a_pre_training_are_checked_too(text, message):
    file = RECIPES / "Pretraining/hparams/data2vec.yaml"
    with pytest.raises(ValueError, match=message):
        Settings.from_file(file, f"data_folder: d\n{text}")["seed"]


def test_a_range_says_what_is_in_it():
    assert str(Range(0, 5)) == "a number from 0 to 5"
    assert str(Range(0, open_low=True, or_null=True)) == "a number above 0, or null"
    assert str(Range(1, whole=True, listed=True)) == (
        "a list, each a whole number of at least 1"
    )
    assert [[1], [[2, 3], [1]]] == [
        value
        for value in ([1], [[2, 3], [1]], [[0]], [1.5], 1, "1", None)
        if value in Range(1, whole=True, listed=True)
    ]
