"""The manifest: read as written, and every rule of validation refuses what it must."""

from dataclasses import replace

import pytest

from ser_lib.corpora import (
    Utterance,
    read_manifest,
    validate,
    write_manifest,
)

CORPUS = {
    "labels": ["neu", "sad"],
    "counts": {"neu": 1, "sad": 1},
    "min_duration_s": 0.2,
}
SOUND = [
    Utterance("a", "a.wav", "neu", "s1", 1.0),
    Utterance("b", "b.wav", "sad", "s2", 0.2),
]


def test_a_sound_manifest_passes():
    validate(SOUND, CORPUS, "DATA")


@pytest.mark.parametrize(
    ("utterances", "message"),
    [
        ([SOUND[0], replace(SOUND[1], id="a")], "more than once; the first is a"),
        ([SOUND[0], replace(SOUND[1], label="hap")], "b has the label 'hap'.*'neu'"),
        (
            [SOUND[0], replace(SOUND[1], duration_s=0.1)],
            r"1 utterances are shorter than min_duration_s = 0.2 s.*b.wav with 0.100 s",
        ),
        (SOUND[:1], "DATA holds 1 utterances, expected 2 .sad: expected 1, found 0"),
        ([*SOUND, replace(SOUND[0], id="c")], "neu: expected 1, found 2"),
    ],
)
def test_an_unsound_manifest_is_refused_with_item_expected_and_found(
    utterances, message
):
    with pytest.raises(ValueError, match=message):
        validate(utterances, CORPUS, "DATA")


def test_awkward_names_and_texts_come_back_as_they_were(tmp_path):
    awkward = Utterance(
        "ü 1",
        'dir, with/{brace} $dollar "q".wav',
        "neu",
        "s",
        1.25,
        text='a, "b"\n$c {d}',
    )
    write_manifest(tmp_path / "m.csv", [awkward])
    assert read_manifest(tmp_path / "m.csv") == [awkward]


def test_a_manifest_from_before_audio_was_hashed_is_read(tmp_path):
    (tmp_path / "m.csv").write_text(
        "id,path,label,speaker,duration_s,session,dialog,text\na,a.wav,neu,s1,1.0,,,\n"
    )
    assert read_manifest(tmp_path / "m.csv") == [SOUND[0]]


@pytest.mark.parametrize("header", ["", "name,path", '"id,path'])
def test_a_manifest_without_ids_is_refused_though_it_has_no_row(tmp_path, header):
    (tmp_path / "m.csv").write_text(f"{header}\n")
    with pytest.raises(ValueError, match="m.csv is not a part of a fold"):
        read_manifest(tmp_path / "m.csv")


def test_a_manifest_that_cannot_be_finished_leaves_the_old_one(tmp_path):
    write_manifest(tmp_path / "m.csv", SOUND)

    def failing():
        yield SOUND[0]
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_manifest(tmp_path / "m.csv", failing())
    assert read_manifest(tmp_path / "m.csv") == SOUND
    assert [p.name for p in tmp_path.iterdir()] == ["m.csv"]
