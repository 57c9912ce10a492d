"""Write timelines as CSV, JSON, RTTM, Audacity label tracks, TextGrids or WebVTT.

- CSV: one row per segment.
- JSON: segments, and every window with its probabilities.
- RTTM: the format of speaker diarisation, with the emotion in place of the speaker
  (NIST, The 2009 (RT-09) Rich Transcription Meeting Recognition Evaluation Plan,
  appendix A; the fields are also listed at https://github.com/nryant/dscore).
- Audacity: start, end and label between tabs
  (https://manual.audacityteam.org/man/importing_and_exporting_labels.html).
- TextGrid: for Praat, one tier of intervals per speaker
  (https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html).
- WebVTT: subtitles for players and browsers (https://www.w3.org/TR/webvtt1/).

Each takes a timeline, or those of several speakers. Times are in seconds with three
decimals. Only CSV and JSON hold turns without a result.
"""

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from ser_lib.inference.answers import answer_row, answers_by_task
from ser_lib.inference.segments import Segment
from ser_lib.inference.speakers import speaker_rows
from ser_lib.inference.timeline import Timeline
from ser_lib.inference.windows import Window
from ser_lib.utils.file_names import on_one_line, printable
from ser_lib.utils.files import atomic_path

Timelines = Timeline | Sequence[Timeline]


def write_timeline(path: str | Path, timelines: Timelines, file_format: str) -> None:
    """Write a timeline to a file, which is replaced only when complete.

    Arguments
    ---------
    path : str | Path
        The file to write.
    timelines : Timeline | Sequence[Timeline]
        From ``timeline_file``, ``channel_timelines`` or ``turn_timelines``.
    file_format : str
        A key of ``FORMATS``: csv, json, rttm, audacity, textgrid or webvtt.
    """
    if file_format not in FORMATS:
        raise ValueError(
            f"Unknown format {file_format!r}; expected one of {list(FORMATS)}."
        )
    text = FORMATS[file_format](timelines)
    with atomic_path(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", newline="\n")


def segment_rows(timelines: Timelines) -> list[dict]:
    """Return the segments of all speakers in order, rounded.

    Returns
    -------
    list[dict]
        ``start_s``, ``end_s``, ``speaker`` if there are several, ``label`` and
        ``score``; of turns also ``p_<label>`` for each label, and ``error``. Each
        other task of the model has a column: its label, or its mean value.
    """
    pairs = [(t, segment) for t in _each(timelines) for segment in t.segments]
    pairs.sort(key=lambda pair: pair[1].start_s)
    return [_segment_row(*pair) for pair in pairs]


def _each(timelines: Timelines) -> Sequence[Timeline]:
    return [timelines] if isinstance(timelines, Timeline) else timelines


def _segment_row(timeline: Timeline, segment: Segment) -> dict:
    row = {"start_s": round(segment.start_s, 3), "end_s": round(segment.end_s, 3)}
    if timeline.speaker:
        row["speaker"] = printable(timeline.speaker)
    if segment.error:
        return row | {"label": None, "score": None, "error": segment.error}
    row |= {"label": segment.label, "score": round(segment.score, 6)}
    shares = zip(
        timeline.labels, segment.probabilities, strict=bool(segment.probabilities)
    )
    row |= {f"p_{label}": round(share, 6) for label, share in shares}
    return row | _others(timeline, segment.others)


def _others(timeline: Timeline, values: Sequence[float]) -> dict:
    answers = answers_by_task(timeline.tasks, values)
    return answer_row(answers, with_probabilities=False)


def _labelled(timelines: Timelines) -> list[dict]:
    return [row for row in segment_rows(timelines) if row["label"] is not None]


def csv_text(timelines: Timelines) -> str:
    """Format the segments as CSV."""
    rows = segment_rows(timelines)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    least = ["start_s", "end_s", "label", "score"]
    writer = csv.DictWriter(text, columns or least, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def json_text(timelines: Timelines) -> str:
    """Format segments and windows as JSON.

    Returns
    -------
    str
        An object with ``path``, ``duration_s``, ``labels`` (of the model),
        ``segments`` and ``windows``; the probabilities of a silent window are null.
        With several speakers, also ``speakers``, see ``speaker_rows``, and each window
        has a ``speaker``.
    """
    each = _each(timelines)
    content = {
        "path": printable(each[0].path),
        "duration_s": round(each[0].duration_s, 3),
        "labels": each[0].labels,
    }
    if each[0].speaker:
        content["speakers"] = speaker_rows(each)
    content["segments"] = segment_rows(each)
    windows = [(t, window) for t in each for window in t.windows]
    content["windows"] = [_window_row(*pair) for pair in windows]
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
        **({"speaker": printable(timeline.speaker)} if timeline.speaker else {}),
        "label": window.label,
        "probabilities": probabilities,
        **others,
    }


def rttm_text(timelines: Timelines) -> str:
    """Format the segments as RTTM.

    Returns
    -------
    str
        A line per segment: SPEAKER, file name without its suffix, channel, start,
        duration, label (as the speaker's name, after that of the speaker and a colon,
        if there are several) and score. Spaces separate the fields, so spaces in names
        become underscores.
    """
    each = _each(timelines)
    recording = _one_word(printable(Path(each[0].path).stem))
    channels = {printable(t.speaker): t.channel for t in each}
    return "".join(
        f"SPEAKER {recording} {channels[row.get('speaker', '')]} {row['start_s']:.3f} "
        f"{row['end_s'] - row['start_s']:.3f} <NA> <NA> {_one_word(_name(row, ':'))} "
        f"{row['score']:.6f} <NA>\n"
        for row in _labelled(each)
    )


def _one_word(text: str) -> str:
    return "_".join(text.split()) or "_"


def _name(row: dict, separator: str) -> str:
    """Return the label of a row, after its speaker, on one line."""
    speaker = f"{row['speaker']}{separator}" if "speaker" in row else ""
    return on_one_line(f"{speaker}{row['label']}")


def audacity_text(timelines: Timelines) -> str:
    """Format the segments as an Audacity label track."""
    return "".join(
        f"{row['start_s']:.3f}\t{row['end_s']:.3f}\t{_name(row, ': ')}\n"
        for row in _labelled(timelines)
    )


def textgrid_text(timelines: Timelines) -> str:
    """Format the segments as a TextGrid of Praat, in its long text format.

    Returns
    -------
    str
        A tier for each speaker, with their name, or one named ``emotion``. Its
        intervals cover the recording; those between segments have an empty text.
    """
    each = _each(timelines)
    duration_s = round(each[0].duration_s, 3)
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    lines += ["xmin = 0", f"xmax = {duration_s:.3f}", "tiers? <exists>"]
    lines += [f"size = {len(each)}", "item []:"]
    for i, timeline in enumerate(each, start=1):
        intervals = _intervals(_labelled(timeline), duration_s)
        name = printable(timeline.speaker) or "emotion"
        lines += [f"    item [{i}]:", '        class = "IntervalTier"']
        lines += [f"        name = {_quoted(name)}", "        xmin = 0"]
        lines += [f"        xmax = {duration_s:.3f}"]
        lines += [f"        intervals: size = {len(intervals)}"]
        for k, (start_s, end_s, label) in enumerate(intervals, start=1):
            lines += [f"        intervals [{k}]:", f"            xmin = {start_s:.3f}"]
            lines += [f"            xmax = {end_s:.3f}"]
            lines += [f"            text = {_quoted(label)}"]
    return "\n".join([*lines, ""])


def _intervals(
    rows: Sequence[dict], duration_s: float
) -> list[tuple[float, float, str]]:
    """Return rows that do not overlap, and the gaps between them."""
    intervals, end_s = [], 0.0
    for row in rows:
        start_s = max(row["start_s"], end_s)  # turns may overlap by a rounding error
        if start_s > end_s:
            intervals.append((end_s, start_s, ""))
        end_s = row["end_s"]
        intervals.append((start_s, end_s, row["label"]))
    if duration_s > end_s:
        intervals.append((end_s, duration_s, ""))
    return intervals


def _quoted(text: str) -> str:
    doubled = on_one_line(text).replace('"', '""')
    return f'"{doubled}"'


def webvtt_text(timelines: Timelines) -> str:
    """Format the segments as WebVTT: a subtitle for each, with its probability."""
    cues = [
        f"{_clock(row['start_s'])} --> {_clock(row['end_s'])}\n{_cue(row)}\n"
        for row in _labelled(timelines)
    ]
    return "\n".join(["WEBVTT\n", *cues])


def _clock(seconds: float) -> str:
    minutes, milliseconds = divmod(round(1000 * seconds), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds / 1000:06.3f}"


def _cue(row: dict) -> str:
    text = f"{row['label']} ({100 * row['score']:.0f} %)"
    if "speaker" in row:
        return f"<v {_escaped(row['speaker'])}>{_escaped(text)}"
    return _escaped(text)


def _escaped(text: str) -> str:
    text = on_one_line(text).replace("&", "&amp;")
    return text.replace("<", "&lt;").replace(">", "&gt;")


FORMATS: dict[str, Callable[[Timelines], str]] = {
    "csv": csv_text,
    "json": json_text,
    "rttm": rttm_text,
    "audacity": audacity_text,
    "textgrid": textgrid_text,
    "webvtt": webvtt_text,
}
