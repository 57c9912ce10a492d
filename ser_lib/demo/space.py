"""Write a folder that runs as a Space of Hugging Face, with all that it needs."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import ser_lib
from ser_lib.audio import find_audio
from ser_lib.inference import load_recognizer
from ser_lib.model_folder import (
    CARD_FILE,
    MODEL_FILE,
    SHARED_FILE,
    WEIGHT_FILES,
    hub_licence,
)
from ser_lib.utils.packages import pins_of
from ser_lib.utils.strict_json import read_json

_PACKAGE = Path(ser_lib.__file__).parent
_APP = '''"""The page; Hugging Face runs this file."""

import os
from pathlib import Path

from ser_lib.demo.__main__ import main
from ser_lib.utils.command import run_command

HERE = Path(__file__).parent
PORT = os.environ.get("GRADIO_SERVER_PORT", "7860")

if __name__ == "__main__":
    where = ["--host", os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0"), "--port", PORT]
    what = [str(HERE / "{model}"), "--examples", str(HERE / "examples")]
    run_command(main, arguments=[*what, *where])
'''
_README = """---
title: Speech emotion recognition
emoji: 🎙️
colorFrom: blue
colorTo: green
sdk: gradio
sdk_version: {gradio}
python_version: "3.11"
app_file: app.py
{licence}
short_description: The emotion of a voice, over time
---

# Speech emotion recognition

A page to try the model [{model}]({model}/README.md): {labels}. Its data: {data}.

`python app.py` runs it on any machine with the packages of `requirements.txt`. To put
it on Hugging Face, create a Space with the SDK Gradio, and upload this folder:

```bash
hf upload OWNER/NAME . --repo-type space
```
"""


def write_space(folder: Path, model: str, examples: Path) -> None:
    """Write the README with its header, app.py, the packages, the model and its code.

    Arguments
    ---------
    folder : Path
        A new folder, or an empty one.
    model : str
        A model folder; it must load.
    examples : Path
        Recordings for the page; left out if there is no such folder.

    Raises
    ------
    FileExistsError
        If the folder has something in it, which is not changed.
    FileNotFoundError, ValueError
        If the model is not a folder, or damaged.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(
            f"{folder} exists and is not an empty folder. Choose another name; nothing "
            f"was changed."
        )
    source = Path(model).expanduser().resolve()
    if not source.is_dir():
        raise FileNotFoundError(
            f"The model folder {model} does not exist; expected a folder, since the "
            f"Space gets a copy of it."
        )
    load_recognizer(model, "cpu")
    _copy_model(source, folder / source.name)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(_PACKAGE, folder / "ser_lib", ignore=ignored)
    if examples.is_dir():
        _copy_examples(examples, folder / "examples")
    info = read_json(source / MODEL_FILE)
    texts = {
        "requirements.txt": "".join(
            f"{pin}\n" for pin in [*pins_of(), *pins_of("demo")]
        ),
        "app.py": _APP.replace("{model}", source.name),
        "README.md": _readme(source.name, info),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def _copy_model(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for pattern in (MODEL_FILE, CARD_FILE, WEIGHT_FILES, SHARED_FILE):
        for path in source.glob(pattern):
            shutil.copy(path, target)


def _copy_examples(source: Path, target: Path) -> None:
    target.mkdir()
    for path in [*find_audio(source), *source.glob("README.md")]:
        shutil.copy(path, target)


def _readme(model: str, info: Mapping) -> str:
    pins = dict(pin.split("==") for pin in pins_of("demo"))
    trained_on = info["trained_on"]
    licence = hub_licence(trained_on.get("licence"))
    return _README.format(
        gradio=pins["gradio"],
        licence="\n".join(f"{key}: {value}" for key, value in licence.items()),
        model=model,
        labels=", ".join(info["labels"]),
        data=f"{trained_on['name']} ({trained_on.get('licence', 'no licence stated')})",
    )
