"""The command line of train.py and similar scripts: settings and run options.

``speechbrain.parse_arguments`` joins unknown options into YAML text, where a repeated
option is a YAML error, an option without a value is null, and a ``#`` in a path starts
a comment. So this module takes out the settings first and leaves SpeechBrain its own
options.
"""

from collections.abc import Sequence
from dataclasses import fields
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from speechbrain import parse_arguments
from speechbrain.utils.run_opts import RunOptions

from ser_lib.settings.checks import check_values

_RUN_OPTIONS = {"help", *(field.name for field in fields(RunOptions))}


def read_arguments(arguments: Sequence[str]) -> tuple[str, RunOptions, str]:
    r"""Read a settings file, SpeechBrain's run options, and settings to replace.

    Arguments
    ---------
    arguments : Sequence[str]
        Command-line arguments without the program name. A setting is given as ``--name
        value`` or ``--name=value``, where the value is text or YAML.

    Returns
    -------
    str
        The settings file.
    RunOptions
        The run options.
    str
        The settings, as YAML text.

    Raises
    ------
    ValueError
        If an option is given twice, a setting has no value or cannot be read, or an
        argument is not an option.

    Example
    -------
    >>> file, options, settings = read_arguments(
    ...     ["hparams/fbank_ecapa.yaml", "--device=cpu", "--seed", "3", "--folds=1,2"]
    ... )
    >>> file, options.device, settings.split("\n")
    ('hparams/fbank_ecapa.yaml', 'cpu', ['seed: 3', 'folds: 1,2', ''])
    """
    for_speechbrain, settings, seen = [], {}, set()
    remaining = list(arguments)
    while remaining:
        argument = remaining.pop(0)
        name, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--"):
            for_speechbrain.append(argument)
            continue
        if name in seen:
            raise ValueError(f"--{name} is given twice; expected one value.")
        seen.add(name)
        if name in _RUN_OPTIONS:
            for_speechbrain.append(argument)
            continue
        if not equals and remaining and not remaining[0].startswith("--"):
            value = remaining.pop(0)
        settings[name] = _read_value(name, value)
    file, run_opts, unknown = parse_arguments(for_speechbrain)
    if unknown:
        raise ValueError(
            f"{unknown!r} is not an option; expected a settings file, then options as "
            f"--name value. Put a value with spaces in quotation marks."
        )
    checked = {"grad_accumulation_factor": run_opts.grad_accumulation_factor}
    check_values(checked, "on the command line")
    return file, run_opts, _as_yaml(settings)


def _read_value(name: str, value: str) -> Any:
    if not value.strip():
        raise ValueError(
            f"--{name} has no value; expected --{name} VALUE (write an empty text as "
            f"\"''\")."
        )
    try:
        read = YAML().load(value)
    except YAMLError as error:
        problem = getattr(error, "problem", None) or str(error)
        raise ValueError(
            f"--{name} {value} cannot be read: {problem}. If it is meant as text, put "
            f"it in two pairs of quotation marks: --{name} \"'...'\"."
        ) from error
    is_quoted = value.strip()[0] in "'\""
    # Text is used literally: in YAML, the rest of a path after " #" is a comment.
    return value.strip() if type(read) is str and not is_quoted else read


def _as_yaml(settings: dict[str, Any]) -> str:
    if not settings:
        return ""
    text = StringIO()
    yaml = YAML()
    yaml.width = 4096
    yaml.dump(settings, text)
    return text.getvalue()
