"""IEMOCAP: a release in the official layout is read, a damaged one is explained."""

import csv
import json
from pathlib import Path

import pytest
import soundfile

from ser_lib.corpora import read_utterances
from ser_lib.corpora.iemocap import read_corpus
from ser_lib.corpora.label_map import describe_map, map_labels
from ser_lib.folds import superb_folds
from ser_lib.settings import RECIPES, Settings


def _settings(data_folder) -> Settings:
    files = [RECIPES / "hparams" / "base.yaml", RECIPES / "IEMOCAP" / "corpus.yaml"]
    return Settings.from_files(files, {"data_folder": str(data_folder)})


CORPUS = _settings("unused")["corpus"]
LABEL_MAP = _settings("unused")["label_map"]


def kept(utterances):
    return map_labels(utterances, CORPUS["labels"], LABEL_MAP)


def read_kept(folder):
    return kept(read_corpus(folder, CORPUS, LABEL_MAP))


def _turn(utterance: str, label: str) -> str:
    return (
        f"[6.2901 - 8.2357]\t{utterance}\t{label}\t[2.5000, 2.5000, 2.5000]\n"
        "C-E2:\tNeutral;\t()\nC-F1:\tNeutral;\t(curious)\n"
        "A-E3:\tval 3; act 2;\tdom  2;\t()\n\n"
    )


def _write_dialog(session_folder: Path, dialog: str, labels: dict[str, str]) -> None:
    """One dialog with everything the release holds of it."""
    evaluation = session_folder / "dialog" / "EmoEvaluation"
    transcriptions = session_folder / "dialog" / "transcriptions"
    wavs = session_folder / "sentences" / "wav" / dialog
    for folder in (evaluation / "Attribute", transcriptions, wavs):
        folder.mkdir(parents=True, exist_ok=True)
    (evaluation / f"{dialog}.txt").write_text(
        "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
        + "".join(_turn(u, label) for u, label in labels.items())
    )
    (evaluation / f"._{dialog}.txt").write_bytes(b"\x00\x05\x16\x07Mac OS X")
    (evaluation / "Attribute" / f"{dialog}_e2.txt").write_text("[not a turn]\n")
    (transcriptions / f"{dialog}.txt").write_text(
        "".join(f"{u} [006.2901-008.2357]: Say {u[-4:]}.\n" for u in labels)
        + f"M: Mhm.\n{dialog}_MXX0 [017.0000-018.0000]: [LAUGHTER]\n"
    )
    (wavs / f"._{dialog}_F000.wav").write_bytes(b"\x00\x05\x16\x07Mac OS X")
    soundfile.write(wavs / "first.wav", [0.0] * 4000, 16000, subtype="PCM_16")
    wav_bytes = (wavs / "first.wav").read_bytes()
    (wavs / "first.wav").unlink()
    for utterance in labels:
        (wavs / f"{utterance}.wav").write_bytes(wav_bytes)


def _write_release(folder: Path, labels: dict[str, str]) -> Path:
    dialogs = {}
    for utterance, label in labels.items():
        dialogs.setdefault(utterance.rsplit("_", 1)[0], {})[utterance] = label
    for dialog, turns in dialogs.items():
        _write_dialog(folder / f"Session{int(dialog[3:5])}", dialog, turns)
    return folder


@pytest.fixture
def release(tmp_path):
    """Five sessions with two dialogs of five turns, three of them in the protocol."""
    turns = {"M000": "hap", "F000": "exc", "F001": "fru", "F002": "xxx", "F003": "ang"}
    labels = {
        f"Ses0{session}{dialog}_{turn}": label
        for session in range(1, 6)
        for dialog in ("F_impro01", "M_impro04")
        for turn, label in turns.items()
    }
    return _write_release(tmp_path / "IEMOCAP_full_release", labels)


EVALUATION = "Session3/dialog/EmoEvaluation/Ses03F_impro01.txt"
TRANSCRIPT = "Session3/dialog/transcriptions/Ses03F_impro01.txt"
WAV = "Session3/sentences/wav/Ses03F_impro01/Ses03F_impro01_F003.wav"


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_an_utterance_has_all_its_fields(release):
    first = read_corpus(release, CORPUS, LABEL_MAP)[0]
    assert first.id == "Ses01M_impro04_F000"
    assert first.path == "Session1/sentences/wav/Ses01M_impro04/Ses01M_impro04_F000.wav"
    assert (release / first.path).is_file()
    assert first.label == "exc"  # as in the release; label_map merges it
    assert first.speaker == "Ses01F"  # who speaks, not whose dialog it is
    assert first.duration_s == 0.25
    assert (first.session, first.dialog) == ("1", "Ses01M_impro04")
    assert first.text == "Say F000."


ANNOTATED = """\
[6.2901 - 8.2357]\tSes03F_impro01_F003\tang\t[1.5000, 4.0000, 4.5000]
C-E1:\tAnger;\t()
C-E3:\tAnger; Frustration;\t(sarcastic; annoyed)
C-E4:\tExcited;\t()
C-F1:\tFear;\t()
A-E3:\tval 2; act 4; dom  4;\t()
"""


def test_means_and_votes_are_read_from_the_lines_of_a_turn(release):
    _replace(release / EVALUATION, _turn("Ses03F_impro01_F003", "ang"), ANNOTATED)
    by_id = {u.id: u for u in read_corpus(release, CORPUS, LABEL_MAP)}
    angry = by_id["Ses03F_impro01_F003"].attributes
    assert {k: v for k, v in angry.items() if v != "0"} == {
        "gender": "female",
        "valence": "1.5000",
        "arousal": "4.0000",
        "dominance": "4.5000",
        # Each of the three annotators has one vote; the actor (C-F1) has none.
        "votes_ang": "1.5",
        "votes_fru": "0.5",
        "votes_exc": "1",
    }
    mapped = {u.id: u for u in kept(by_id.values())}["Ses03F_impro01_F003"].attributes
    assert (mapped["votes_hap"], mapped["votes_ang"]) == ("1", "1.5")
    assert "votes_exc" not in mapped
    assert mapped["votes_"] == "0.5"  # for frustrated, which is left out
    assert by_id["Ses01M_impro04_M000"].attributes["gender"] == "male"


def test_an_unknown_category_counts_as_a_vote_that_is_left_out(release):
    _replace(release / EVALUATION, "C-E2:\tNeutral;", "C-E2:\tNeutral; Bliss;")
    by_id = {u.id: u for u in read_corpus(release, CORPUS, LABEL_MAP)}
    attributes = by_id["Ses03F_impro01_F003"].attributes
    assert (attributes["votes_neu"], attributes["votes_"]) == ("0.5", "0.5")


@pytest.mark.parametrize("numbers", ["2.5, x, 2.5", "2.5, 2.5", "2.5, 2.5, -1", ""])
def test_means_that_are_no_numbers_are_an_error_with_the_line(release, numbers):
    turn = _turn("Ses03F_impro01_F003", "ang")
    damaged = turn.replace("2.5000, 2.5000, 2.5000", numbers)
    _replace(release / EVALUATION, turn, damaged)
    with pytest.raises(ValueError, match=r"F_impro01\.txt, line 23: .*\[valence, act"):
        read_corpus(release, CORPUS, LABEL_MAP)


def test_sessions_and_dialogs_follow_the_list_and_turns_their_names(release):
    ids = [u.id for u in read_corpus(release, CORPUS, LABEL_MAP)]
    turns = ("F000", "F001", "F002", "F003", "M000")
    expected = []
    for session in range(1, 6):
        order = ("F_impro01", "M_impro04")
        if session in (1, 2, 3):  # their lists have M_impro04 first
            order = order[::-1]
        expected += [f"Ses0{session}{d}_{t}" for d in order for t in turns]
    assert ids == expected


def test_the_speaker_is_the_letter_before_the_last_number(release):
    speakers = {u.id[-4:]: u.speaker for u in read_corpus(release, CORPUS, LABEL_MAP)}
    assert {k: speakers[k] for k in ("F000", "F003", "M000")} == {
        "F000": "Ses05F",
        "F003": "Ses05F",
        "M000": "Ses05M",
    }


def test_labels_outside_the_protocol_are_left_out_and_counted(release):
    found = read_corpus(release, CORPUS, LABEL_MAP)
    utterances = kept(found)
    assert {u.label for u in utterances} == {"hap", "ang"}
    assert len(utterances) == 30
    said = describe_map(found, CORPUS["labels"], LABEL_MAP)
    assert said == "Label map: 10 exc count as hap. Left out: 10 fru, 10 xxx."


def test_an_unknown_label_is_an_error_with_its_line(release):
    _replace(release / EVALUATION, "\tang\t", "\tbored\t")
    # The turns start at line 3 and take 5 lines each; F003 is the fifth.
    with pytest.raises(
        ValueError,
        match=r"Ses03F_impro01\.txt, line 23: Ses03F_impro01_F003 has the label "
        r"'bored', expected one of \['neu', 'hap', 'exc', 'ang', 'sad', 'fru'",
    ):
        read_corpus(release, CORPUS, LABEL_MAP)


@pytest.mark.parametrize(
    "damage", ["Ses03F_impro01_MXX0", "Ses03F_impro01", "", "F003 two words"]
)
def test_a_turn_line_that_cannot_be_read_is_an_error_with_the_line(release, damage):
    _replace(release / EVALUATION, "Ses03F_impro01_F003", damage)
    with pytest.raises(ValueError, match=r"F_impro01\.txt, line 23: .*found '\[6\.29"):
        read_corpus(release, CORPUS, LABEL_MAP)


def test_a_stray_byte_in_a_remark_does_no_harm(release):
    path = release / EVALUATION
    path.write_bytes(path.read_bytes().replace(b"curious", b"\x92curious\x92"))
    assert len(read_kept(release)) == 30


def test_a_missing_transcript_is_named(release):
    _replace(release / TRANSCRIPT, "Ses03F_impro01_F003 ", "F003 ")
    with pytest.raises(
        ValueError, match=r"Ses03F_impro01\.txt has no line for Ses03F_impro01_F003"
    ):
        read_corpus(release, CORPUS, LABEL_MAP)


def test_a_missing_transcript_file_is_named(release):
    (release / TRANSCRIPT).unlink()
    with pytest.raises(FileNotFoundError, match=r"transcriptions/Ses03F_impro01\.txt"):
        read_corpus(release, CORPUS, LABEL_MAP)


def test_a_missing_wav_is_named(release):
    (release / WAV).unlink()
    with pytest.raises(FileNotFoundError, match=r"F_impro01_F003\.wav does not exist"):
        read_corpus(release, CORPUS, LABEL_MAP)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda wav: b"", "is empty"),
        (lambda wav: wav[:5000], "is cut off: its header promises 8000 bytes"),
        (lambda wav: b"This is text." * 99, "cannot be read as audio"),
    ],
    ids=["empty", "cut off", "text"],
)
def test_a_damaged_wav_is_named(release, damage, message):
    wav = release / WAV
    wav.write_bytes(damage(wav.read_bytes()))
    with pytest.raises(ValueError, match=rf"Ses03F_impro01_F003\.wav {message}"):
        read_corpus(release, CORPUS, LABEL_MAP)


def test_a_damaged_wav_outside_the_protocol_is_not_needed(release):
    (release / WAV.replace("F003", "F001")).unlink()
    assert len(read_kept(release)) == 30


def test_a_dialog_that_the_list_does_not_have_is_an_error(release):
    _write_dialog(
        release / "Session2", "Ses02F_impro99", {"Ses02F_impro99_F000": "neu"}
    )
    with pytest.raises(ValueError, match=r"does not list .*\['Ses02F_impro99'\]"):
        read_corpus(release, CORPUS, LABEL_MAP)


def test_a_session_without_labels_is_an_error(release):
    for path in (release / "Session4/dialog/EmoEvaluation").glob("*.txt"):
        path.unlink()
    with pytest.raises(
        FileNotFoundError, match="labels of Session4 in .*EmoEvaluation"
    ):
        read_corpus(release, CORPUS, LABEL_MAP)


def test_a_missing_session_is_an_error_that_lists_those_there(release):
    (release / "Session4").rename(release / "Sesion4")
    with pytest.raises(
        FileNotFoundError,
        match=r"Looked for Session1, .*Session5 in .*it holds \['Sesion4', 'Session1'",
    ):
        read_corpus(release, CORPUS, LABEL_MAP)


def test_a_folder_one_level_too_high_is_told_the_right_one(release):
    with pytest.raises(
        FileNotFoundError,
        match=r"it holds \['IEMOCAP_full_release'\]\. Give .*/IEMOCAP_full_release\.$",
    ):
        read_corpus(release.parent, CORPUS, LABEL_MAP)


def test_a_folder_one_level_too_low_is_told_the_right_one(release):
    with pytest.raises(
        FileNotFoundError,
        match=r"'sentences'\]\. This is one session: give .*/IEMOCAP_full_release\.$",
    ):
        read_corpus(release / "Session3", CORPUS, LABEL_MAP)


def test_a_folder_that_is_not_there_is_said_not_to_be_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        read_corpus(tmp_path / "nowhere", CORPUS, LABEL_MAP)


def test_an_incomplete_release_fails_the_counts_of_the_settings(release):
    with pytest.raises(ValueError, match="holds 30 utterances, expected 5531"):
        read_utterances(_settings(release))


def test_a_rebuilt_release_gives_superbs_splits_through_the_settings(
    shared_data, tmp_path
):
    """All 5,531 ids and labels of the real release, with audio of 0.25 s."""
    with open(shared_data / "iemocap_index.csv", newline="") as f:
        labels = {row["utterance"]: row["label"] for row in csv.DictReader(f)}
    settings = _settings(_write_release(tmp_path, labels))
    utterances = read_utterances(settings)
    digests = json.loads((shared_data / "superb" / "fold_digests.json").read_text())
    folds = settings["make_folds"](utterances)  # raises if a part is not SUPERB's
    assert [fold.number for fold in folds] == [1, 2, 3, 4, 5]
    for fold in folds:
        for name, part in fold.parts.items():
            expected = digests[f"fold{fold.number}"][name]
            assert len(part) == expected["n"]
            written = CORPUS["part_digests"][fold.number][name]
            assert written == expected["sha256_of_sorted_ids"]


def test_parts_that_are_not_superbs_stop_the_run(release):
    with pytest.raises(
        ValueError, match="Part train of fold 1 .* of its 19 ids is"
    ) as e:
        superb_folds(read_kept(release), CORPUS["part_digests"])
    assert CORPUS["part_digests"][1]["train"] in str(e.value)
    assert len(superb_folds(read_kept(release))) == 5
