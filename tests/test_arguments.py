"""The command line: one value for each option, and no value is lost or made up."""

import pytest

from ser_lib.settings import Settings, read_command_line
from ser_lib.settings.arguments import read_arguments

FILE = "recipes/Custom/hparams/fbank_ecapa.yaml"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", "1", "--seed", "2"], "--seed is given twice"),
        (["--seed=1", "--batch_size=2", "--seed=1"], "--seed is given twice"),
        (["--device", "cpu", "--device=cpu"], "--device is given twice"),
        (["--noprogressbar", "--noprogressbar"], "--noprogressbar is given twice"),
        (["--csv"], "--csv has no value; expected --csv VALUE"),
        (["--csv", "--seed", "3"], "--csv has no value"),
        (["--csv="], "--csv has no value"),
        (["--csv", ""], "--csv has no value"),
        (["--csv", " "], "--csv has no value"),
        (["--note", "two", "words"], "'words' is not an option; .* quotation marks"),
        (["-x"], "'-x' is not an option"),
        (["--csv", "[my.csv"], r"--csv \[my.csv cannot be read: .* quotation marks"),
        (["--csv", "*my.csv"], r"--csv \*my.csv cannot be read: found undefined alias"),
        (["--grad_accumulation_factor", "0"], "is 0; expected a whole number of at le"),
    ],
)
def test_a_wrong_command_line_is_refused_with_the_option(arguments, message):
    with pytest.raises(ValueError, match=message):
        read_arguments([FILE, *arguments])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("my #1/é = ü.csv", "my #1/é = ü.csv"),
        ("'2024'", "2024"),
        ("2024", 2024),
        ("-3", -3),
        ("1e-3", 0.001),
        ("1,3", "1,3"),
        ("[1, 3]", [1, 3]),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
        ("null", None),
        ("''", ""),
        ("!ref <seed>", 1986),
    ],
)
def test_a_value_is_text_or_yaml(tmp_path, text, value):
    (tmp_path / "toy.yaml").write_text("seed: 1986\nvalue: !PLACEHOLDER\n")
    for given in (["--value", text], [f"--value={text}"]):
        file, _, settings = read_arguments([str(tmp_path / "toy.yaml"), *given])
        assert Settings.from_file(file, settings)["value"] == value


def test_run_options_go_to_speechbrain_wherever_they_stand():
    file, options, settings = read_arguments(
        ["--debug", "--seed", "3", "--precision=bf16", FILE, "--device", "cpu"]
    )
    assert (file, settings) == (FILE, "seed: 3\n")
    assert (options.debug, options.precision, options.device) == (True, "bf16", "cpu")
    assert options.overridden_args >= {"debug", "precision", "device"}
    assert read_arguments([FILE])[2] == ""


def test_the_scripts_of_the_recipes_read_their_command_line_so():
    with pytest.raises(ValueError, match="--seed is given twice"):
        read_command_line([FILE, "--seed", "1", "--seed", "2"], "")
    assert read_command_line([FILE, "--note", "a # b"], "")[2] == "note: 'a # b'\n"
