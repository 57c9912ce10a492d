"""The output folder of a run, as SpeechBrain creates it."""

import shutil
import sys
from pathlib import Path

from speechbrain import create_experiment_directory
from speechbrain.utils.distributed import if_main_process


def create_run_folder(folder: str | Path) -> None:
    """Create the folder of a run, with ``log.txt``, ``env.log`` and its script.

    SpeechBrain copies the file that calls it, which in its recipes is the script. Here
    it is this file, so the copy is replaced by the script that was started. A module
    (``python -m``) is not copied.
    """
    create_experiment_directory(folder)
    if not if_main_process():
        return
    (Path(folder) / Path(__file__).name).unlink(missing_ok=True)
    main = sys.modules["__main__"]
    script = getattr(main, "__file__", None)
    if script and main.__spec__ is None and Path(script).is_file():
        shutil.copyfile(script, Path(folder) / Path(script).name)
