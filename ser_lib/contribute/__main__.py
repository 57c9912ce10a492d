"""Write experiments as a standalone recipe for SpeechBrain:

    python -m ser_lib.contribute recipes/IEMOCAP/hparams/hubert_ecapa.yaml OUT

OUT gets the files as they are laid out in SpeechBrain's repository. The recipe uses
SpeechBrain, PyTorch and HyperPyYAML only, nothing of this package. Experiments with one
fine-tuned wav2vec 2.0 or HuBERT on IEMOCAP or RAVDESS can be written; several at once
share their scripts.
"""

from collections.abc import Sequence
from pathlib import Path

from ser_lib.utils.command import run_command
from ser_lib.utils.command_line import CommandParser, path_argument

_APPEND = "append_to/"


def main(arguments: Sequence[str]) -> None:
    """Write the files, and print how to add them to a checkout of SpeechBrain."""
    parser = CommandParser("ser_lib.contribute", __doc__)
    parser.add_argument(
        "hparams", type=path_argument, nargs="+", help="settings of the experiments"
    )
    parser.add_argument(
        "out", type=path_argument, help="a new or empty folder for the recipe"
    )
    options = parser.parse_args(arguments)
    out: Path = options.out
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; expected a new or empty folder.")
    if out.is_dir() and any(out.iterdir()):
        raise ValueError(
            f"{out} is not empty; a recipe is written into a new or empty folder. "
            f"Choose another, or empty it."
        )
    from ser_lib.contribute.recipe import recipe_files
    from ser_lib.settings import Settings

    # The recipe names no data folder; the settings only need one.
    data = {"data_folder": "DATA"}
    files = recipe_files([Settings.from_file(path, data) for path in options.hparams])
    for name, text in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if path.suffix == ".py" and path.stem == "train":
            path.chmod(0o755)
    print(_next_steps(out, list(files)))


def _next_steps(out: Path, names: Sequence[str]) -> str:
    """Return the commands that add the files to a checkout of SpeechBrain."""
    folders = sorted({n.split("/")[0] for n in names if not n.startswith(_APPEND)})
    copied = " ".join(f"'{out}/{folder}'" for folder in folders)
    lines = [
        f"{len(names)} files are in {out}. In a checkout of SpeechBrain:",
        f"  cp -r {copied} .",
    ]
    for name in names:
        if name.startswith(_APPEND):
            lines.append(f"  cat '{out}/{name}' >> {name.removeprefix(_APPEND)}")
    lines += [
        "  pytest tests/consistency",
        "Replace AUTHOR by your name, and add the scores of your runs to README.md.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)
