"""Databases in audformat (https://audeering.github.io/audformat) as a user's table.

``--csv DATABASE/db.yaml`` reads a database that audb has loaded or audformat has saved.
Its schemes are the columns: ``emotion`` is the label, ``speaker`` the speaker, and
``transcription``, if there is one, the text. Paths are relative to the database.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from speechbrain.utils.logger import get_logger

from ser_lib.utils.packages import check_installed

logger = get_logger(__name__)

LABEL, SPEAKER, TEXT = "emotion", "speaker", "transcription"
# What audformat and pyarrow raise for damaged files, or for tables that contradict
# each other. pyarrow's own errors are among these.
_ERRORS = AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError


def audformat_records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the values of each row, the column names first.

    Arguments
    ---------
    path : Path
        The file ``db.yaml`` of the database.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModuleNotFoundError
        If audformat is not installed.
    ValueError
        If it is not such a database, a scheme is missing, or labels are of parts of
        files.
    """
    table = _labelled_files(path)
    names = {LABEL: "label", SPEAKER: "speaker", TEXT: "text"}
    yield 1, ["path", *(names[name] for name in table)]
    filled = table.astype(object).where(table.notna(), "")
    for number, (file, *values) in enumerate(filled.itertuples(), start=2):
        yield number, [str(file), *map(str, values)]


def _labelled_files(path: Path) -> pd.DataFrame:
    """Return emotion, speaker and perhaps transcription of each file."""
    check_installed("A database in audformat", ["audformat"], "audformat")
    import audformat

    if not path.is_file():
        raise FileNotFoundError(f"There is no database {path}. Give its db.yaml.")
    table = _read_table(path)
    n_labelled = int(table[LABEL].notna().sum())
    if n_labelled < len(table):
        n_without = len(table) - n_labelled
        logger.warning("%s: %d rows have no %s.", path, n_without, LABEL)
    table = table.dropna(subset=[LABEL])
    if audformat.is_segmented_index(table.index):
        whole = (table.index.get_level_values("start").total_seconds() == 0) & (
            table.index.get_level_values("end").isna()
        )
        if not whole.all():
            raise ValueError(
                f"{path}: {int((~whole).sum())} of {len(table)} labels are of parts of "
                f"files. Cut the files first (audinterface.Segment or ffmpeg do it), "
                f"and label whole files."
            )
        table.index = table.index.get_level_values("file")
    return table


def _read_table(path: Path) -> pd.DataFrame:
    import audformat
    import yaml  # audformat reads db.yaml with it

    try:
        database = audformat.Database.load(str(path.parent), name=path.stem)
        schemes = list(database.schemes)
        others = [name for name in (SPEAKER, TEXT) if name in schemes]
        table = database.get(LABEL, others) if LABEL in schemes else None
    except (*_ERRORS, yaml.YAMLError) as error:
        raise ValueError(
            f"{path} cannot be read as a database in audformat "
            f"({type(error).__name__}: {' '.join(str(error).split())}). Load or save "
            f"it again with audb or audformat."
        ) from error
    if table is None or SPEAKER not in schemes:
        raise ValueError(
            f"{path}: expected the schemes {LABEL} and {SPEAKER}, found "
            f"{', '.join(schemes) or 'none'}. Export a table with the columns path, "
            f"label and speaker in place of it."
        )
    return table
