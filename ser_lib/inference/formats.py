"""Write timelines as CSV, JSON, RTTM or Audacity label tracks.

- CSV: one row per segment.
- JSON: segments, and every window with its probabilities.
- RTTM: the format of speaker diarisation, with the emotion in place of the speaker
  (NIST, The 2009 (RT-09) Rich Transcription Meeting Recognition Evaluation Plan,
  appendix A; the fields are also listed at https://github.com/nryant/dscore).
- Audacity: start, end and label between tabs
  (https://manual.audacityteam.org/man/importing_and_exporting_labels.html).

Times are in seconds with three decimals.
"""

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from ser_lib.inference.answers import answer_row, answers_by_task
from ser_lib.inference.timeline import Timeline
from ser_lib.inference.windows import Window
from ser_lib.utils.file_names import printable
from ser_lib.utils.files import atomic_path


def write_timeline(path: str | Path, timeline: Timeline, file_format: str) -> None:
    """Write a timeline to a file, which is replaced only when complete.

    Arguments
    ---------
    path : str | Path
        The file to write.
    timeline : Timeline
        From ``timeline_file``.
    file_format : str
        A key of ``FORMATS``: csv, json, rttm or audacity.
    """
    if file_format not in FORMATS:
        raise ValueError(
            f"Unknown format {file_format!r}; expected one of {list(FORMATS)}."
        )
    text = FORMATS[file_format](timeline)
    with atomic_path(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", newline="\n")


def segment_rows(timeline: Timeline) -> list[dict]:
    """Return ``start_s``, ``end_s``, ``label`` and ``score`` per segment, rounded.

    Each other task of the model has a column: its label, or its mean value.
    """
    return [
        {
            "start_s": round(segment.start_s, 3),
            "end_s": round(segment.end_s, 3),
            "label": segment.label,
            "score": round(segment.score, 6),
            **_others(timeline, segment.others),
        }
        for segment in timeline.segments
    ]


def _others(timeline: Timeline, values: Sequence[float]) -> dict:
    answers = answers_by_task(timeline.tasks, values)
    return answer_row(answers, with_probabilities=False)


def csv_text(timeline: Timeline) -> str:
    """Format the segments as CSV."""
    columns = ["start_s", "end_s", "label", "score"]
    columns += [task.name for task in timeline.tasks]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(segment_rows(timeline))
    return text.getvalue()


def json_text(timeline: Timeline) -> str:
    """Format segments and windows as JSON.

    Returns
    -------
    str
        An object with ``path``, ``duration_s``, ``labels`` (of the model),
        ``segments`` and ``windows``; the probabilities of a silent window are null.
    """
    content = {
        "path": printable(timeline.path),
        "duration_s": round(timeline.duration_s, 3),
        "labels": timeline.labels,
        "segments": segment_rows(timeline),
        "windows": [_window_row(timeline, window) for window in timeline.windows],
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    return f"{text}\n"


def _window_row(timeline: Timeline, window: Window) -> dict:
    probabilities = window.probabilities
    others = _others(timeline, window.others) if window.others else {}
    if probabilities is not None:
        probabilities = [round(p, 6) for p in probabilities]
    return {
        "start_s": round(window.start_s, 3),
        "end_s": round(window.end_s, 3),
        "label": window.label,
        "probabilities": probabilities,
        **others,
    }


def rttm_text(timeline: Timeline) -> str:
    """Format the segments as RTTM.

    Returns
    -------
    str
        A line per segment: SPEAKER, file name without its suffix, channel 1, start,
        duration, label (as the speaker's name) and score. Spaces separate the fields,
        so spaces in names become underscores.
    """
    recording = _one_word(printable(Path(timeline.path).stem))
    return "".join(
        f"SPEAKER {recording} 1 {row['start_s']:.3f} "
        f"{row['end_s'] - row['start_s']:.3f} <NA> <NA> {_one_word(row['label'])} "
        f"{row['score']:.6f} <NA>\n"
        for row in segment_rows(timeline)
    )


def _one_word(text: str) -> str:
    return "_".join(text.split()) or "_"


def audacity_text(timeline: Timeline) -> str:
    """Format the segments as an Audacity label track."""
    return "".join(
        f"{row['start_s']:.3f}\t{row['end_s']:.3f}\t{row['label']}\n"
        for row in segment_rows(timeline)
    )


FORMATS: dict[str, Callable[[Timeline], str]] = {
    "csv": csv_text,
    "json": json_text,
    "rttm": rttm_text,
    "audacity": audacity_text,
}
