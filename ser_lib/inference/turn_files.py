"""Read the turns that a diariser found: RTTM, CSV or a TextGrid of Praat.

- ``.rttm``: its SPEAKER lines (NIST, The 2009 (RT-09) Rich Transcription Meeting
  Recognition Evaluation Plan, appendix A). It may hold several recordings.
- ``.csv``: the columns ``start_s``, ``end_s`` and ``speaker``.
- ``.TextGrid``: with several interval tiers, each is a speaker, and every interval
  with a text is a turn; with one, the texts are the speakers.
"""

import csv
from collections.abc import Callable
from pathlib import Path

from ser_lib.inference.textgrid import read_intervals
from ser_lib.inference.turns import Turn, check_turns

_RTTM_FIELDS = 9, 10  # the last one was added later
_COLUMNS = "start_s", "end_s", "speaker"
# What RTTM holds besides turns.
_OTHER_TYPES = set(
    "SPKR-INFO SEGMENT NOSCORE NO_RT_METADATA LEXEME NON-LEX NON-SPEECH FILLER EDIT IP "
    "SU CB A/P".split()
)


def read_turns(
    path: str | Path, recording: str | Path, is_only: bool = True
) -> list[Turn]:
    r"""Read the turns of a recording.

    Arguments
    ---------
    path : str | Path
        An RTTM, CSV or TextGrid file, by its suffix.
    recording : str | Path
        The recording. In an RTTM file of several recordings, its turns are those of
        its name, without folder and suffix.
    is_only : bool
        Whether the name does not count in an RTTM file of one recording.

    Returns
    -------
    list[Turn]
        In the order of their starts.

    Raises
    ------
    FileNotFoundError, PermissionError
        If the file cannot be opened.
    ValueError
        If the format is unknown, a line is damaged, the recording is not among those of
        the file, or ``check_turns`` refuses the turns.

    Example
    -------
    >>> path = Path(getfixture("tmp_path")) / "call.csv"
    >>> _ = path.write_text("start_s,end_s,speaker\n0.5,2,Ann\n")
    >>> read_turns(path, "call.wav")[0].speaker
    'Ann'
    """
    path = Path(path)
    reader = TURN_FORMATS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(
            f"{path} has the suffix {path.suffix or '(none)'}; expected turns as "
            f".rttm, .csv or .TextGrid."
        )
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected a file of turns.")
    turns = reader(path, _names_of(recording), is_only)
    try:
        return check_turns(turns)
    except ValueError as error:
        named = str(error) if str(path) in str(error) else f"{path}: {error}"
        raise ValueError(named) from error


def _names_of(recording: str | Path) -> set[str]:
    """Return what a recording may be called in a file that has no spaces in names."""
    stem = Path(recording).stem
    return {stem, "_".join(stem.split()), Path(recording).name}


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not text in UTF-8; expected a file of turns."
        ) from error


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{where}: {text!r} is not a time; expected seconds, such as 12.5."
        ) from error


# ---- formats


def _read_rttm(path: Path, names: set[str], is_only: bool) -> list[Turn]:
    by_recording: dict[str, list[Turn]] = {}
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        fields, where = line.split(), f"{path}, line {number}"
        if not fields or fields[0].startswith(";;") or fields[0] in _OTHER_TYPES:
            continue
        if fields[0] != "SPEAKER" or len(fields) not in _RTTM_FIELDS:
            raise ValueError(
                f"{where}: found {line[:80]!r}; expected SPEAKER and 8 or 9 more "
                f"fields: recording, channel, start, duration, <NA>, <NA>, speaker, "
                f"<NA>, <NA>."
            )
        start_s, duration_s = (_number(text, where) for text in fields[3:5])
        turn = Turn(start_s, start_s + duration_s, fields[7], where)
        by_recording.setdefault(fields[1], []).append(turn)
    own = [turns for name, turns in by_recording.items() if name in names]
    if is_only and len(by_recording) == 1:
        own = list(by_recording.values())
    if by_recording and len(own) != 1:
        found = list(by_recording)
        shown = ", ".join(found[:5]) + (" ..." if len(found) > 5 else "")
        raise ValueError(
            f"{path} has the turns of {len(found)} recordings ({shown}); expected one "
            f"of them to be named {' or '.join(sorted(names))}."
        )
    return own[0] if own else []


def _read_csv(path: Path, names: set[str], is_only: bool) -> list[Turn]:
    rows = csv.DictReader(_read_text(path).splitlines(), strict=True)
    try:
        columns = list(rows.fieldnames or [])
        missing = [name for name in _COLUMNS if name not in columns]
        if missing:
            raise ValueError(
                f"{path} has the columns {columns}; expected start_s, end_s and "
                f"speaker in a comma-separated table in UTF-8."
            )
        turns = []
        for row in rows:
            where = f"{path}, line {rows.line_num}"
            times_s = _number(row["start_s"], where), _number(row["end_s"], where)
            turns.append(Turn(*times_s, row["speaker"] or "", where))
    except csv.Error as error:
        raise ValueError(f"{path}, line {rows.line_num}: {error}.") from error
    return turns


def _read_textgrid(path: Path, names: set[str], is_only: bool) -> list[Turn]:
    tiers = read_intervals(path)
    is_by_tier = len(tiers) > 1
    return [
        Turn(start_s, end_s, name if is_by_tier else text, f"{path}, tier {name}")
        for tier in tiers
        for name, start_s, end_s, text in tier
        if text.strip()
    ]


TURN_FORMATS: dict[str, Callable[[Path, set[str], bool], list[Turn]]] = {
    ".rttm": _read_rttm,
    ".csv": _read_csv,
    ".textgrid": _read_textgrid,
}
