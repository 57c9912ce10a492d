"""The command line of train.py and of its like: settings and run options, read once.

``speechbrain.parse_arguments`` joins what it does not know into YAML: of an option that
is given twice it makes a YAML error, of one without a value null, and a ``#`` in a path
begins a comment. So the settings are taken out here, and SpeechBrain gets its own.
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
        Those of the process, without its name. A setting is given as ``--name value``
        or ``--name=value``, where the value is text or YAML.

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
        If an option is given twice, a setting has no value or cannot be read, or
        something is not an option.

    Example
    -------
    >>> file, options, settings = read_arguments(
    ...     ["hparams/fbank_ecapa.yaml", "--device=cpu", "--seed", "3", "--folds=1,2"]
    ... )
    >>> file, options.device, settings.split("\n")
    ('hparams/fbank_ecapa.yaml', 'cpu', ['seed: 3', 'folds: 1,2', ''])
    """
    for_speechbrain, settings, given = [], {}, set()
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        name, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--"):
            for_speechbrain.append(argument)
            continue
        if name in given:
            raise ValueError(f"--{name} is given twice; expected one value.")
        given.add(name)
        if name in _RUN_OPTIONS:
            for_speechbrain.append(argument)
            continue
        if not equals and waiting and not waiting[0].startswith("--"):
            value = waiting.pop(0)
        settings[name] = _read_value(name, value)
    file, run_opts, unknown = parse_arguments(for_speechbrain)
    if unknown:
        raise ValueError(
            f"{unknown!r} is not an option; expected a settings file, then options as "
            f"--name value. Put a value with spaces into quotation marks."
        )
    accumulated = {"grad_accumulation_factor": run_opts.grad_accumulation_factor}
    check_values(accumulated, "on the command line")
    return file, run_opts, _as_yaml(settings)


def _read_value(name: str, value: str) -> Any:
    if not value.strip():
        raise ValueError(
            f"--{name} has no value; expected --{name} VALUE (an empty text is written "
            f"as \"''\")."
        )
    try:
        read = YAML().load(value)
    except YAMLError as error:
        problem = getattr(error, "problem", None) or str(error)
        raise ValueError(
            f"--{name} {value} cannot be read: {problem}. If it is meant as text, put "
            f"it into two pairs of quotation marks: --{name} \"'...'\"."
        ) from error
    is_quoted = value.strip()[0] in "'\""
    # Text is taken as it stands: in YAML, the rest of a path behind " #" is a comment.
    return value.strip() if type(read) is str and not is_quoted else read


def _as_yaml(settings: dict[str, Any]) -> str:
    if not settings:
        return ""
    text = StringIO()
    yaml = YAML()
    yaml.width = 4096
    yaml.dump(settings, text)
    return text.getvalue()
