"""The example recordings in the tree: what is listed is there, and is what it says."""

import csv
from itertools import pairwise
from pathlib import Path

import pytest
from predict_runner import rows_of, run
from stub_recognizer import StubRecognizer

from ser_lib.audio import audio_duration_s, read_audio
from ser_lib.stress.table import read_table

EXAMPLES = Path(__file__).resolve().parents[1] / "pretrained" / "examples"
EMOTIONS = ["angry", "fearful", "happy", "neutral", "sad"]
RATE_HZ = 16000


def rows(name: str) -> list[dict[str, str]]:
    with open(EXAMPLES / name, encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f))


def test_the_table_lists_every_clip_of_the_folder():
    listed = [row["path"] for row in rows("examples.csv")]
    found = {path.name for path in EXAMPLES.iterdir() if path.suffix == ".flac"}
    assert sorted(listed) == sorted(found - {"conversation.flac"})


def test_each_emotion_is_there_once_per_corpus_and_once_per_gender():
    table = rows("examples.csv")
    for column in ("corpus", "language", "gender"):
        values = sorted({row[column] for row in table})
        assert len(values) == 2
        pairs = sorted((row["label"], row[column]) for row in table)
        assert pairs == [(label, value) for label in EMOTIONS for value in values]
    assert len({row["source"] for row in table}) == 10
    assert len({row["speaker"] for row in table}) == 7


@pytest.mark.parametrize("row", rows("examples.csv"), ids=lambda row: row["path"])
def test_a_clip_is_short_and_its_sampling_rate_is_that_of_the_models(row):
    path = EXAMPLES / row["path"]
    assert len(read_audio(path, None)) == len(read_audio(path, RATE_HZ))
    assert 1 < audio_duration_s(path, RATE_HZ) < 5


def test_all_files_together_have_less_than_a_megabyte():
    assert sum(path.stat().st_size for path in EXAMPLES.iterdir()) < 1_000_000


def test_the_conversation_is_all_clips_with_silence_around_them():
    conversation = read_audio(EXAMPLES / "conversation.flac", RATE_HZ)
    parts = rows("conversation.csv")
    table = {(row["path"], row["label"]) for row in rows("examples.csv")}
    assert {(part["path"], part["label"]) for part in parts} == table
    end = 0
    for part in parts:
        start = round(float(part["start_s"]) * RATE_HZ)
        assert start - end == 0.5 * RATE_HZ
        assert not conversation[end:start].any()
        end = round(float(part["end_s"]) * RATE_HZ)
        clip = read_audio(EXAMPLES / part["path"], RATE_HZ)
        assert conversation[start:end].equal(clip), part["path"]
    assert len(conversation) - end == 0.5 * RATE_HZ


def test_the_emotion_changes_with_each_part_of_the_conversation():
    labels = [part["label"] for part in rows("conversation.csv")]
    assert all(a != b for a, b in pairwise(labels))


def test_predict_reads_the_table():
    code, out, _ = run(EXAMPLES / "examples.csv", recognizer=StubRecognizer(RATE_HZ))
    found = [Path(row["path"]).name for row in rows_of(out)]
    assert (code, found) == (0, [row["path"] for row in rows("examples.csv")])


def test_stress_reads_the_table_and_its_groups():
    groups = ["gender", "language", "corpus"]
    path = EXAMPLES / "examples.csv"
    table = read_table(path, None, groups, {}, EMOTIONS, RATE_HZ)
    assert len(table.utterances) == 10
    for row in rows("examples.csv"):
        assert table.groups.loc[row["path"]].tolist() == [row[g] for g in groups]
