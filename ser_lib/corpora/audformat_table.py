"""Databases in audformat (https://audeering.github.io/audformat) as a user's table.

``--csv DATABASE/db.yaml`` reads a database that audb has loaded or audformat has saved.
Its schemes are the columns: ``emotion`` is the label, ``speaker`` the speaker, and
``transcription``, if there is one, the text. Paths are relative to the database.
"""

from collections.abc import Iterator
from pathlib import Path

LABEL, SPEAKER, TEXT = "emotion", "speaker", "transcription"


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
    try:
        import audformat
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "A database in audformat needs the package audformat: python -m pip "
            "install -r recipes/extra_requirements.txt"
        ) from error
    if not path.is_file():
        raise FileNotFoundError(f"There is no database {path}. Give its db.yaml.")
    try:
        database = audformat.Database.load(str(path.parent), name=path.stem)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is not a database in audformat: {type(error).__name__}: {error}."
        ) from error
    schemes = list(database.schemes)
    missing = [name for name in (LABEL, SPEAKER) if name not in schemes]
    if missing:
        raise ValueError(
            f"{path}: expected the schemes {LABEL} and {SPEAKER}, found "
            f"{', '.join(schemes) or 'none'}. Export a table with the columns path, "
            f"label and speaker in place of it."
        )
    others = [name for name in (SPEAKER, TEXT) if name in schemes]
    table = database.get(LABEL, others).dropna(subset=[LABEL])
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
    names = {LABEL: "label", SPEAKER: "speaker", TEXT: "text"}
    yield 1, ["path", *(names[name] for name in (LABEL, *others))]
    filled = table.astype(object).where(table.notna(), "")
    for number, (file, *values) in enumerate(filled.itertuples(), start=2):
        yield number, [str(file), *map(str, values)]
