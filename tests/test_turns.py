"""The emotion of each turn that a diariser found, and a summary for each speaker."""

import math
import os

import pytest
from stub_recognizer import StubRecognizer, write_wave

from ser_lib.inference import Turn, read_turns, speaker_rows, turn_timelines
from ser_lib.inference.speakers import speaker_line

CSV = "start_s,end_s,speaker\n"
RTTM = "SPEAKER call 1 {} {} <NA> <NA> {} <NA> <NA>\n"
GRID = """File type = "ooTextFile"
Object class = "TextGrid"

0
3
<exists>
2
"IntervalTier"
"Ann"
0
3
2
0
1
"hello"
1
3
""
"IntervalTier"
"Bob"
0
3
2
0
1
""
1
3
"yes"
"""


@pytest.fixture
def call(tmp_path):
    """2 s quiet (0.25), 2 s loud (0.75), 1 s of silence."""
    return write_wave(tmp_path / "a call.wav", (2, 0.25), (2, 0.75), (1, 0))


def written(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def timelines(call, *turns, **options):
    turns = [Turn(*turn) for turn in turns]
    return turn_timelines(StubRecognizer(), call, turns, **options)


# ---- results


def test_each_turn_has_the_label_and_the_probabilities_of_its_sound(call):
    ann, bob = timelines(call, (2, 4, "Bob"), (0, 2, "Ann"))
    assert (ann.speaker, bob.speaker) == ("Ann", "Bob")
    (one,), (other,) = ann.segments, bob.segments
    assert (one.start_s, one.end_s, one.label, one.score) == (0, 2, "quiet", 0.75)
    assert one.probabilities == pytest.approx((0.75, 0.25))
    assert (other.label, other.score) == ("loud", pytest.approx(0.75))


def test_a_turn_longer_than_a_window_has_one_label_of_its_mean(call):
    (ann,) = timelines(call, (0, 4, "Ann"), window_s=1, hop_s=1)
    (turn,) = ann.segments
    assert turn.probabilities == pytest.approx((0.5, 0.5))  # half quiet, half loud
    assert len(ann.windows) == 4


def test_turns_of_a_speaker_that_touch_stay_apart(call):
    (ann,) = timelines(call, (0, 1, "Ann"), (1, 2, "Ann"))
    assert [(s.start_s, s.end_s) for s in ann.segments] == [(0, 1), (1, 2)]


def test_turns_that_cannot_be_classified_have_an_error_and_no_label(call):
    (ann,) = timelines(call, (0, 0.05, "Ann"), (1, 2, "Ann"), (4.2, 5, "Ann"))
    short, good, silent = ann.segments
    assert "50 ms" in short.error and "100 ms" in short.error and not short.label
    assert good.label == "quiet" and not good.error
    assert "silent" in silent.error and math.isnan(silent.score)


def test_unsure_turns_are_unknown(call):
    (ann,) = timelines(call, (0, 2, "Ann"), unknown_below=0.8)
    assert ann.segments[0].label == "unknown"


def test_a_turn_may_end_a_tenth_of_a_second_after_the_recording(call):
    (ann,) = timelines(call, (3, 5.09, "Ann"))
    assert ann.segments[0].end_s == 5


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        ((3, 5.2, "Ann"), r"5\.200.*beyond the end.*5\.000 s"),
        ((7, 8, "Ann"), r"beyond the end"),
        ((-1, 1, "Ann"), r"-1\.000.*before the recording"),
        ((math.nan, 1, "Ann"), r"nan.*finite"),
        ((0, math.inf, "Ann"), r"inf.*finite"),
        ((2, 2, "Ann"), r"end after its start"),
        ((2, 1, "Ann"), r"end after its start"),
        ((0, 1, " "), r"no speaker"),
    ],
)
def test_impossible_turns_are_refused(call, turn, message):
    with pytest.raises(ValueError, match=message):
        timelines(call, turn)


def test_a_speaker_cannot_speak_twice_at_a_time(call):
    with pytest.raises(ValueError, match=r"Ann overlap.*1\.000.*0\.900"):
        timelines(call, (0, 1, "Ann"), (0.9, 2, "Ann"))
    with pytest.raises(ValueError, match="no turns"):
        timelines(call)


# ---- summary


def test_the_summary_has_shares_of_time_means_and_overlap(call):
    turns = (0, 1, "Ann"), (1.5, 2, "Ann"), (2, 3.5, "Ann"), (3, 4, "Bob")
    rows = speaker_rows(timelines(call, *turns, (0, 0.05, "Bob")))
    bob, ann = rows  # Bob begins to speak, for 50 ms
    assert (ann["segments"], ann["duration_s"]) == (3, 3.0)
    assert (ann["share_quiet"], ann["share_loud"]) == (0.5, 0.5)  # 1.5 s of each
    assert ann["p_quiet"] == pytest.approx(0.5)  # 1.5 s of 0.75 and 1.5 s of 0.25
    # 3 to 3.5 s, and Bob's short turn
    assert ann["overlap_s"] == pytest.approx(0.55)
    assert (bob["segments"], bob["failed"], bob["overlap_s"]) == (1, 1, 0.5)
    assert speaker_line(bob) == "Bob: 1.0 s in 1 segment: loud 100 % (1 failed)"


def test_a_speaker_without_a_result_has_no_shares(call):
    (ann,) = speaker_rows(timelines(call, (0, 0.05, "Ann")))
    assert (ann["duration_s"], ann["failed"]) == (0, 1)
    assert ann["share_loud"] is None and ann["p_loud"] is None


# ---- files


def test_rttm_of_one_recording_is_read_whatever_its_name(tmp_path):
    text = ";; a comment\nSPKR-INFO call 1 <NA> <NA> <NA> unknown Ann <NA> <NA>\n"
    path = written(tmp_path, "a.rttm", text + RTTM.format(0.5, 1.5, "Ann"))
    (turn,) = read_turns(path, "other.wav")
    assert (turn.start_s, turn.end_s, turn.speaker) == (0.5, 2.0, "Ann")


def test_rttm_of_several_recordings_is_chosen_by_name(tmp_path):
    lines = RTTM.format(0, 1, "Ann") + RTTM.format(0, 2, "Bob").replace("call", "a_b")
    path = written(tmp_path, "all.rttm", lines)
    assert read_turns(path, "/x/call.wav")[0].speaker == "Ann"
    assert read_turns(path, "/x/a b.wav")[0].speaker == "Bob"
    with pytest.raises(ValueError, match=r"2 recordings \(call, a_b\).*other"):
        read_turns(path, "other.wav")


def test_csv_has_times_and_speakers_and_other_columns(tmp_path):
    text = "speaker,note,start_s,end_s\nBob,,1,2\nAnn,x,0,1.5\n"
    turns = read_turns(written(tmp_path, "a.csv", text), "call.wav")
    assert [(t.start_s, t.end_s, t.speaker) for t in turns] == [
        (0, 1.5, "Ann"),
        (1, 2, "Bob"),
    ]


def test_textgrid_has_a_tier_for_each_speaker(tmp_path):
    turns = read_turns(written(tmp_path, "a.TextGrid", GRID), "call.wav")
    assert [(t.start_s, t.end_s, t.speaker) for t in turns] == [
        (0, 1, "Ann"),
        (1, 3, "Bob"),
    ]


def test_textgrid_with_one_tier_has_speakers_as_texts(tmp_path):
    pytest.importorskip("praatio", reason="needs praatio")
    one = GRID.split('"IntervalTier"\n"Bob"')[0].replace("<exists>\n2", "<exists>\n1")
    turns = read_turns(written(tmp_path, "a.TextGrid", one), "call.wav")
    assert [(t.start_s, t.end_s, t.speaker) for t in turns] == [(0, 1, "hello")]


def test_a_textgrid_that_is_cut_off_anywhere_is_refused(tmp_path):
    path = tmp_path / "a.TextGrid"
    for n in range(len(GRID.rstrip())):
        path.write_text(GRID[:n])
        with pytest.raises(ValueError, match="TextGrid of Praat"):
            read_turns(path, "call.wav")


@pytest.mark.parametrize("file_format", ["short_textgrid", "long_textgrid"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_textgrids_of_a_library_are_read(tmp_path, file_format, encoding):
    textgrid = pytest.importorskip("praatio.textgrid", reason="needs praatio")
    grid = textgrid.Textgrid()
    name = 'Zoë "Z" 1'
    grid.addTier(textgrid.IntervalTier(name, [(0.25, 1, "a ! 2")], 0, 3))
    grid.addTier(textgrid.PointTier("clicks", [(0.5, "x")], 0, 3))
    grid.addTier(textgrid.IntervalTier("Bob", [(1.5, 3, "b")], 0, 3))
    path = tmp_path / "a.TextGrid"
    grid.save(str(path), file_format, includeBlankSpaces=True)
    path.write_text(path.read_text(encoding="utf-8"), encoding=encoding)
    turns = read_turns(path, "call.wav")
    assert [(t.start_s, t.end_s, t.speaker) for t in turns] == [
        (0.25, 1, name),
        (1.5, 3, "Bob"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "", r"\.txt.*\.rttm, \.csv or \.TextGrid"),
        ("a", "", r"\(none\)"),
        ("a.csv", "", "no turns|columns"),
        ("a.csv", CSV, "no turns"),
        ("a.csv", "start,end\n1,2\n", "start.*start_s"),
        ("a.csv", CSV + "0,x,Ann\n", "line 2.*'x'"),
        ("a.csv", CSV + "0\n", "line 2.*None"),
        ("a.csv", CSV + "0,nan,Ann\n", "line 2.*finite"),
        ("a.csv", CSV + "0,1,\n", "line 2.*no speaker"),
        ("a.csv", CSV + "0,1,Ann\n0.5,2,Ann\n", "line 2.*line 3"),
        ("a.csv", CSV + '0,1,"Ann\n', "line"),
        ("a.rttm", "", "no turns"),
        ("a.rttm", "hello\n", "line 1.*hello"),
        ("a.rttm", "SPEAKER call 1 0 1 Ann\n", "line 1"),
        ("a.rttm", RTTM.format(0, -1, "Ann"), "end after its start"),
        ("a.rttm", RTTM.format("x", 1, "Ann"), "line 1.*'x'"),
        ("a.TextGrid", "hello\n", "TextGrid of Praat"),
        ("a.TextGrid", "", "TextGrid of Praat"),
        ("a.TextGrid", GRID + "1", "goes on"),
        ("a.TextGrid", GRID.replace("<exists>\n2", "<exists>\n3"), "cut off"),
        ("a.TextGrid", GRID.replace("<exists>\n2", "<exists>\n-2"), "a count"),
        ("a.TextGrid", GRID.replace("1\n3\n", "1\nnan\n", 1), "expected a number"),
        ("a.TextGrid", GRID.replace("1\n3\n", "1\n0.5\n"), "end after its start"),
        ("a.TextGrid", GRID.replace("IntervalTier", "Tier"), "kind 'Tier'"),
    ],
)
def test_damaged_files_are_refused_by_line(tmp_path, name, text, message):
    with pytest.raises(ValueError, match=message) as refused:
        read_turns(written(tmp_path, name, text), "call.wav")
    assert str(tmp_path / name) in str(refused.value)


@pytest.mark.parametrize("suffix", ["csv", "rttm", "TextGrid"])
def test_bytes_that_are_not_text_are_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(bytes(range(128, 256)) * 9)
    with pytest.raises(ValueError, match=str(path)):
        read_turns(path, "call.wav")


def test_a_missing_file_is_named(tmp_path):
    for suffix in ("csv", "rttm", "TextGrid"):
        with pytest.raises(FileNotFoundError) as refused:
            read_turns(tmp_path / f"none.{suffix}", "call.wav")
        assert os.fspath(refused.value.filename).endswith(f"none.{suffix}")
