"""Read the rows of a table of experiments, each with its settings.

A table file (``recipes/IEMOCAP/table1.yaml``) lists experiments by name. A setting on
the command line applies to every experiment that has it. A file of changes is more
specific::

    all:                      # every experiment that has the setting
        num_workers: 0
    hubert_finetune:          # this one, also as the fine-tuning of another
        number_of_epochs: 10

The command line takes precedence over the changes of an experiment, and these over
``all``.
"""

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from ser_lib.settings import (
    COMMAND_LINE,
    RECIPES,
    Settings,
    at_source,
    naming_settings,
    read_settings_text,
)
from ser_lib.training import PASSED_ON, WITHOUT_EFFECT

TABLE_OPTIONS = ("only", "changes", "plan_only", "ray", "slurm", "resources")
# With one value for all, the experiments would overwrite each other or be the same.
_PER_EXPERIMENT = {
    "experiment",
    "output_folder",
    "save_folder",
    "finetuned",
    "model",
    "upstream",
    "upstream_source",
    "paper",
    "prepare_only",
    "show_hparams",
    "export_to",
}


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Arguments
    ---------
    number : int
        Its number in the table.
    experiment : str
        Name of the experiment.
    columns : dict[str, str | bool]
        The descriptive columns of the table: heading -> cell.
    settings : Settings
        Settings of the experiment, with all overrides.
    """

    number: int
    experiment: str
    columns: dict[str, str | bool]
    settings: Settings


def find_table(name: str) -> Path:
    """Find a table file by its path, or by the corpus that has one.

    Raises
    ------
    FileNotFoundError
        If there is neither.

    Example
    -------
    >>> find_table("IEMOCAP").relative_to(RECIPES).as_posix()
    'IEMOCAP/table1.yaml'
    """
    of_corpora = {path.parent.name: path for path in RECIPES.glob("*/table1.yaml")}
    path = of_corpora.get(name, Path(name))
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no table {name}; expected a file, or one of "
            f"{', '.join(sorted(of_corpora))}."
        )
    return path


def read_rows(path: str | Path, overrides: str) -> tuple[Settings, list[Row]]:
    """Read a table file and the settings of its experiments.

    Arguments
    ---------
    path : str | Path
        The table file; the settings files are in the folder ``hparams`` next to it.
    overrides : str
        YAML text from the command line: options of the table (``TABLE_OPTIONS``) and
        settings of the experiments.

    Returns
    -------
    Settings
        The table file with its options.
    list[Row]
        The chosen rows, in the order of the table.

    Raises
    ------
    FileNotFoundError
        If the file of changes or a settings file does not exist.
    ValueError
        If an experiment or a setting is unknown, or the command line has a setting
        that cannot be the same for all experiments.
    """
    with naming_settings(COMMAND_LINE, overrides):
        command_line = dict(YAML().load(overrides) or {})
    options = {
        key: command_line.pop(key) for key in TABLE_OPTIONS if key in command_line
    }
    table = Settings.from_file(path, options)
    names = [row["experiment"] for row in table["rows"]]
    chosen = _chosen(table["only"], names)
    folder = Path(path).parent / "hparams"
    # A file of changes may name experiments that are not chosen.
    files = _settings_files(folder, names if table["changes"] else chosen)
    changes = _read_changes(table["changes"], files)
    read = {name: files[name] for name in _with_stages(chosen, files)}
    _check_command_line(command_line, read)
    layers = {
        name: _merged(
            _applicable(changes.get("all", {}), settings),
            changes.get(name, {}),
            _applicable(command_line, settings),
        )
        for name, settings in files.items()
    }
    return table, [
        _row(row, files, layers) for row in table["rows"] if row["experiment"] in chosen
    ]


def _settings_files(folder: Path, names: Iterable[str]) -> dict[str, Settings]:
    """Read the settings files of experiments and of their fine-tuning."""
    files: dict[str, Settings] = {}
    names = list(names)
    while names:
        name = names.pop(0)
        if name not in files:
            files[name] = Settings.from_file(folder / f"{name}.yaml")
            names += _stages(files[name]).values()
    return files


def _stages(settings: Settings) -> dict[str, str]:
    """Return the experiment that fine-tunes each upstream."""
    blocks = settings["finetuned"]
    return {name: Path(block["hparams"]).stem for name, block in blocks.items()}


def _with_stages(names: Iterable[str], files: Mapping[str, Settings]) -> set[str]:
    return {*names, *(s for name in names for s in _stages(files[name]).values())}


def _chosen(only: str | list, names: list[str]) -> list[str]:
    if only == "all":
        return names
    chosen = only if isinstance(only, list) else str(only).split(",")
    chosen = [str(name).strip() for name in chosen]
    _check_names(chosen, names, "experiment", "--only")
    return chosen


def _read_changes(path: str | None, files: Mapping[str, Settings]) -> dict[str, dict]:
    """Read a file of changes and check every name in it."""
    if path is None:
        return {}
    if not Path(path).is_file():
        raise FileNotFoundError(f"The file of changes {path} does not exist.")
    text = read_settings_text(Path(path))
    with naming_settings(str(path), text):
        changes = YAML().load(text)
    blocks = list(changes.values()) if isinstance(changes, Mapping) else [changes]
    if not all(isinstance(block, Mapping) for block in blocks):
        raise ValueError(
            f"{path}: expected settings to change under 'all' or the name of an "
            f"experiment, found {changes!r}."
        )
    _check_names(changes, ["all", *files], "experiment", path)
    for name, block in changes.items():
        affected = files.values() if name == "all" else [files[name]]
        known = {key for settings in affected for key in settings}
        _check_names(block, known, "setting", f"{path}, {name}")
    return {name: dict(block) for name, block in changes.items()}


def _check_command_line(command_line: Mapping, files: Mapping[str, Settings]) -> None:
    """Check the names of the settings from the command line."""
    for key in command_line:
        if key in _PER_EXPERIMENT:
            raise ValueError(
                f"--{key} cannot be the same for all experiments. Set it for one of "
                f"them under its name in --changes FILE, or use train.py."
            )
    known = {key for settings in files.values() for key in settings}
    _check_names(command_line, known, "setting", COMMAND_LINE)


def _check_names(
    names: Iterable[str], known: Collection[str], kind: str, source: str
) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {sorted(known)}."
            raise ValueError(f"Unknown {kind} {name!r} {at_source(source)}. {hint}")


def _row(
    row: Mapping, files: Mapping[str, Settings], layers: Mapping[str, dict]
) -> Row:
    columns = dict(row)
    number, name = columns.pop("row"), columns.pop("experiment")
    overrides = layers[name]
    for upstream, stage in _stages(files[name]).items():
        block = {"overrides": _stage_overrides(layers[stage], overrides)}
        overrides = _merged({"finetuned": {upstream: block}}, overrides)
    settings = files[name]
    if overrides:
        settings = Settings.from_file(settings.path, overrides)
    return Row(number, name, columns, settings)


def _stage_overrides(stage: Mapping, own: Mapping) -> dict[str, Any]:
    """Return the overrides that an experiment must list for its fine-tuning.

    Settings that cannot change a result, or are passed on anyway, are omitted: they
    would only change the key of the experiment.
    """
    passed = {k for k in stage if k in PASSED_ON or k.endswith("_source")}
    return {
        key: value
        for key, value in stage.items()
        if key not in WITHOUT_EFFECT
        and not (key in passed and key in own and own[key] == value)
    }


def _applicable(layer: Mapping, settings: Settings) -> dict[str, Any]:
    return {key: value for key, value in layer.items() if key in settings}


def _merged(*layers: Mapping) -> dict[str, Any]:
    """Merge mappings key by key; of other values, the last one wins."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if _is_plain(value) and _is_plain(merged.get(key, {})):
                merged[key] = _merged(merged.get(key, {}), value)
            else:
                merged[key] = value
    return merged


def _is_plain(node: Any) -> bool:
    """Return whether a node is a mapping without a tag such as ``!new:``."""
    tag = getattr(node, "tag", None)
    return isinstance(node, Mapping) and not (tag is not None and tag.value)
