"""The settings of the recipes, by name: an installation has them, too.

A name is a file of ``recipes``, such as ``hparams/ecapa.yaml`` or
``IEMOCAP/corpus.yaml``, or an experiment, such as ``IEMOCAP/hubert_ecapa``.
"""

import difflib
from pathlib import Path

from ser_lib.utils.packages import RECIPES

_N_NEAR = 3


def find_settings(name: str, folder: Path = Path()) -> Path:
    """Find a settings file, in a folder or among those of the recipes.

    Arguments
    ---------
    name : str
        Path of a file, relative to ``folder``; or else a name as above.
    folder : Path
        The current folder, or that of the file that extends the settings.

    Returns
    -------
    Path
        For a name that ends in ``.yaml``, possibly one that does not exist.

    Raises
    ------
    FileNotFoundError
        If there is no such file or experiment; it lists those with nearly this name.

    Example
    -------
    >>> find_settings("SAVEE/fbank_ecapa").relative_to(RECIPES).as_posix()
    'SAVEE/hparams/fbank_ecapa.yaml'
    """
    corpus, _, experiment = name.partition("/")
    found = [
        folder / name,
        RECIPES / name,
        RECIPES / corpus / "hparams" / f"{experiment}.yaml",
    ]
    for path in found:
        if path.is_file():
            return path
    if Path(name).suffix in (".yaml", ".yml"):
        return folder / name
    raise FileNotFoundError(
        f"{name} is neither a settings file nor an experiment. {_near(name)}"
    )


def _near(name: str) -> str:
    """Name experiments with nearly this name, or without any, the corpora."""
    paths = RECIPES.glob("*/hparams/*.yaml")
    known = sorted(f"{path.parts[-3]}/{path.stem}" for path in paths)
    near = difflib.get_close_matches(name, known, _N_NEAR)
    near = near or [k for k in known if k.endswith(f"/{name}")]
    if near:
        return f"Did you mean {' or '.join(near)}?"
    corpora = ", ".join(dict.fromkeys(k.partition("/")[0] for k in known))
    return f"Experiments have names such as {known[0]}; the corpora are {corpora}."
