"""nEMO, EmoDB, CREMA-D and MELD: read as released, and anything else is named."""

import csv
import json
import runpy
import shutil
import stat
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import soundfile

from ser_lib.corpora import Utterance, protocol, read_utterances
from ser_lib.folds import audit_folds
from ser_lib.settings import RECIPES, Settings
from ser_lib.synthetic import releases

WRITE = {
    "nEMO": releases.write_nemo,
    "EmoDB": releases.write_emodb,
    "CREMA-D": releases.write_crema_d,
    "MELD": releases.write_meld,
}
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:c6f9\nsize 72862\n"
SHARED_NEMO = Path(__file__).resolve().parents[2] / "shared" / "data" / "nEMO"


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory):
    """A stand-in of each corpus and its counts; not to be changed."""
    folder = tmp_path_factory.mktemp("releases")
    return {
        name: (folder / name, write(folder / name)) for name, write in WRITE.items()
    }


@pytest.fixture
def copy_of(stand_ins, tmp_path):
    """Return a copy of a stand-in that a test may spoil."""

    def copy(name: str) -> Path:
        return shutil.copytree(stand_ins[name][0], tmp_path / name)

    return copy


def settings_of(name, folder, counts=None, **given):
    files = [RECIPES / "hparams" / "base.yaml", RECIPES / name / "corpus.yaml"]
    given |= {"data_folder": str(folder)}
    given |= {"corpus": {"counts": counts}} if counts else {}
    return Settings.from_files(files, given)


@pytest.mark.parametrize("name", WRITE)
def test_a_stand_in_is_read_and_its_folds_follow_the_protocol(name, stand_ins, capsys):
    folder, counts = stand_ins[name]
    settings = settings_of(name, folder, counts)
    utterances = read_utterances(settings)
    assert Counter(u.label for u in utterances) == counts
    assert all((folder / u.path).is_file() for u in utterances)
    assert all(u.text for u in utterances)
    folds = settings["make_folds"](utterances)
    audit_folds(folds, protocol(settings)).check()
    n_folds = {"nEMO": 9, "EmoDB": 10, "CREMA-D": 5, "MELD": 1}[name]
    assert len(folds) == n_folds
    tested = Counter(u.id for fold in folds for u in fold.test)
    assert set(tested.values()) == {1}
    assert len(tested) == len(utterances) if name != "MELD" else len(utterances) / 3


@pytest.mark.parametrize(
    ("name", "n", "n_speakers"),
    [("nEMO", 4481, 9), ("EmoDB", 535, 10), ("CREMA-D", 7442, 91), ("MELD", 13706, 0)],
)
def test_corpus_yaml_has_the_numbers_of_the_release(name, n, n_speakers):
    corpus = settings_of(name, "DATA")["corpus"]
    assert sum(corpus["counts"].values()) == n
    assert len(corpus.get("speakers", [])) == n_speakers
    assert set(corpus["counts"]) <= set(corpus["labels"])


@pytest.mark.parametrize("name", ["nEMO", "EmoDB", "CREMA-D"])
def test_no_test_speaker_appears_in_another_part(name, stand_ins):
    folder, counts = stand_ins[name]
    settings = settings_of(name, folder, counts)
    for fold in settings["make_folds"](read_utterances(settings)):
        test = {u.speaker for u in fold.test}
        assert not test & {u.speaker for u in [*fold.train, *fold.valid]}


def test_an_utterance_of_nemo_is_described_by_its_row(stand_ins):
    folder, counts = stand_ins["nEMO"]
    by_id = {u.id: u for u in read_utterances(settings_of("nEMO", folder, counts))}
    found = by_id["KD0_fear_2"]
    assert found == Utterance(
        "KD0_fear_2",
        "samples/KD0_fear_2.wav",
        "fear",
        "KD0",
        found.duration_s,
        text="Zdanie 2.",
    )
    assert counts == {**dict.fromkeys(counts, 18), "surprised": 16}  # MK0 has none


def test_an_utterance_of_emodb_is_described_by_its_name(stand_ins):
    folder, counts = stand_ins["EmoDB"]
    by_id = {u.id: u for u in read_utterances(settings_of("EmoDB", folder, counts))}
    found = by_id["03a02Wa"]
    assert (found.speaker, found.label) == ("03", "anger")
    assert found.text == "Das will sie am Mittwoch abgeben."
    letters = {i[5]: u.label for i, u in by_id.items()}
    assert letters == {
        "W": "anger",
        "L": "boredom",
        "E": "disgust",
        "A": "fear",
        "F": "happiness",
        "T": "sadness",
        "N": "neutral",
    }


def test_the_folder_wav_of_emodb_may_be_given(stand_ins):
    folder, counts = stand_ins["EmoDB"]
    found = read_utterances(settings_of("EmoDB", folder / "wav", counts))
    assert found[0].path == "03a01Aa.wav"


def test_emodb_has_takes_beyond_the_first(copy_of, stand_ins):
    folder, counts = copy_of("EmoDB"), stand_ins["EmoDB"][1]
    shutil.copy(folder / "wav" / "03a01Na.wav", folder / "wav" / "03a01Nf.wav")
    counts = {**counts, "neutral": counts["neutral"] + 1}
    found = read_utterances(settings_of("EmoDB", folder, counts))
    assert "03a01Nf" in {u.id for u in found}


def test_crema_d_is_labelled_by_intention_or_by_votes(stand_ins):
    folder, counts = stand_ins["CREMA-D"]
    intended = read_utterances(settings_of("CREMA-D", folder, counts))
    assert intended[0] == Utterance(
        "1001_IEO_ANG_XX",
        "AudioWAV/1001_IEO_ANG_XX.wav",
        "anger",
        "1001",
        intended[0].duration_s,
        text="It's eleven o'clock.",
    )
    # Every seventh of the stand-in's 91 * 6 clips is a tie, 13 of each label.
    voted = {**dict.fromkeys(counts, 91 - 13), "tie": 6 * 13}
    files = [RECIPES / "hparams" / "base.yaml", RECIPES / "CREMA-D" / "corpus.yaml"]
    given = {"data_folder": str(folder), "label_by": "vote"}
    given |= {"corpus": {"counts": voted}}
    settings = Settings.from_files(files, given)
    found = settings["read_corpus"]()
    assert Counter(u.label for u in found) == {k: n for k, n in voted.items() if n}


def test_the_votes_of_crema_d_have_the_numbers_of_the_release():
    # Counted in processedResults/summaryTable.csv of the repository.
    counts = settings_of("CREMA-D", "DATA", label_by="vote")["corpus"]["counts"]
    assert counts["neutral"] == 3897
    assert counts["tie"] == 644
    assert sum(counts.values()) == 7442


def test_the_folds_of_crema_d_follow_the_written_rule(stand_ins):
    folder, counts = stand_ins["CREMA-D"]
    settings = settings_of("CREMA-D", folder, counts)
    first = settings["make_folds"](read_utterances(settings))[0]
    test = sorted({u.speaker for u in first.test})
    valid = sorted({u.speaker for u in first.valid})
    assert test == [str(1001 + 5 * k) for k in range(19)]
    assert valid == [str(1002 + 10 * k) for k in range(9)]


def test_an_older_name_of_a_clip_of_crema_d_is_read(copy_of, stand_ins):
    folder = copy_of("CREMA-D") / "AudioWAV"
    (folder / "1040_IEO_SAD_XX.wav").rename(folder / "1040_IEO_SAD_X.wav")
    settings = settings_of("CREMA-D", folder.parent, stand_ins["CREMA-D"][1])
    assert "1040_IEO_SAD_XX" in {u.id for u in read_utterances(settings)}


def test_git_lfs_pointers_are_recognised_and_explained(copy_of, stand_ins):
    folder = copy_of("CREMA-D")
    path = folder / "AudioWAV" / "1001_IEO_ANG_XX.wav"
    path.write_text(POINTER)
    with pytest.raises(ValueError, match="is a Git LFS pointer.*git lfs pull") as error:
        read_utterances(settings_of("CREMA-D", folder, stand_ins["CREMA-D"][1]))
    assert str(path) in str(error.value)


def test_missing_votes_of_crema_d_are_named(copy_of):
    folder = copy_of("CREMA-D")
    shutil.rmtree(folder / "processedResults")
    with pytest.raises(
        FileNotFoundError, match=r"votes .*summaryTable\.csv are missing"
    ):
        read_utterances(settings_of("CREMA-D", folder, label_by="vote"))


def test_label_by_must_be_known(stand_ins):
    folder, counts = stand_ins["CREMA-D"]
    with pytest.raises(ValueError, match="'voted'"):
        read_utterances(settings_of("CREMA-D", folder, counts, label_by="voted"))


def test_meld_keeps_its_parts_and_their_order(stand_ins):
    folder, counts = stand_ins["MELD"]
    settings = settings_of("MELD", folder, counts)
    utterances = read_utterances(settings)
    assert [u.id for u in utterances[:2]] == ["train/dia0_utt0", "train/dia0_utt1"]
    assert utterances[0].dialog == "train/dia0"
    assert utterances[0].speaker == "Joey"
    assert utterances[0].text == "So, anger, 0."
    (fold,) = settings["make_folds"](utterances)
    starts = {
        name: {u.id.split("/")[0] for u in part} for name, part in fold.parts.items()
    }
    assert starts == {"train": {"train"}, "valid": {"dev"}, "test": {"test"}}


def _with_clips(folder: Path) -> None:
    """Turn the audio of a stand-in into 'clips', as in the release."""
    for part, name in (
        ("train", "train_splits"),
        ("dev", "dev_splits_complete"),
        ("test", "output_repeated_splits_test"),
    ):
        clips = folder / "audio" / part
        clips.rename(folder / name)
        for path in (folder / name).iterdir():
            path.rename(path.with_suffix(".mp4"))
    (folder / "audio").rmdir()


@pytest.fixture
def ffmpeg(tmp_path, monkeypatch):
    """A program in place of ffmpeg that copies its input and writes its arguments."""
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\necho "$@" >> "$(dirname "$0")/calls"\n'
        'while [ "$1" != -i ]; do shift; done; clip="$2"\n'
        'for last in "$@"; do :; done; cp "$clip" "$last"\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return program


def test_the_sound_of_meld_is_cut_once(copy_of, stand_ins, ffmpeg):
    folder, counts = copy_of("MELD"), stand_ins["MELD"][1]
    _with_clips(folder)
    found = read_utterances(settings_of("MELD", folder, counts))
    assert found[0].path == "audio/train/dia0_utt0.wav"
    calls = (ffmpeg.parent / "calls").read_text().splitlines()
    assert len(calls) == 42  # three parts of two dialogs of seven utterances
    assert all(
        "-t 30.0 -vn -af apad=whole_dur=0.25 -ac 1 -ar 16000" in c for c in calls
    )
    assert read_utterances(settings_of("MELD", folder, counts)) == found
    assert len((ffmpeg.parent / "calls").read_text().splitlines()) == 42


def test_without_ffmpeg_meld_says_what_to_install(copy_of, stand_ins, monkeypatch):
    folder = copy_of("MELD")
    _with_clips(folder)
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(
        FileNotFoundError, match="ffmpeg is needed.*42 clips.*apt install"
    ):
        read_utterances(settings_of("MELD", folder, stand_ins["MELD"][1]))


def test_a_clip_of_meld_that_ffmpeg_cannot_read_is_named(copy_of, stand_ins, ffmpeg):
    folder = copy_of("MELD")
    _with_clips(folder)
    ffmpeg.write_text("#!/bin/sh\necho moov atom not found >&2\nexit 1\n")
    with pytest.raises(ValueError, match=r"sound of .*\.mp4: moov atom not found"):
        read_utterances(settings_of("MELD", folder, stand_ins["MELD"][1]))


def test_missing_clips_of_meld_are_named(copy_of, stand_ins, ffmpeg):
    folder = copy_of("MELD")
    _with_clips(folder)
    (folder / "train_splits" / "dia1_utt6.mp4").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 42 clips .*dia1_utt6\.mp4"):
        read_utterances(settings_of("MELD", folder, stand_ins["MELD"][1]))


@pytest.mark.parametrize("name", WRITE)
def test_a_missing_folder_says_how_to_get_the_corpus(name, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"no folder; expected .*{name}") as e:
        read_utterances(settings_of(name, tmp_path / "none"))
    assert "http" in str(e.value)


@pytest.mark.parametrize("name", ["nEMO", "CREMA-D", "EmoDB"])
def test_the_wrong_level_of_folder_is_put_right(name, stand_ins):
    folder, counts = stand_ins[name]
    with pytest.raises(FileNotFoundError, match=f"The right folder is .*{name}"):
        read_utterances(settings_of(name, folder.parent, counts))


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("EmoDB", "wav/03x01Wa.wav"),
        ("EmoDB", "wav/03a01Xa.wav"),
        ("CREMA-D", "AudioWAV/1001_IEO_JOY_XX.wav"),
        ("CREMA-D", "AudioWAV/1001_ABC_ANG_XX.wav"),
    ],
)
def test_a_name_that_the_release_does_not_have_is_named(name, file, copy_of, stand_ins):
    folder = copy_of(name)
    first = next((folder / file).parent.iterdir())
    shutil.copy(first, folder / file)
    with pytest.raises(
        ValueError, match=f"1 audio files do not have .*{Path(file).stem}"
    ):
        read_utterances(settings_of(name, folder, stand_ins[name][1]))


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("nEMO", "samples/KD0_fear_2.wav"),
        ("EmoDB", "wav/03a01Wa.wav"),
        ("CREMA-D", "AudioWAV/1001_IEO_ANG_XX.wav"),
    ],
)
def test_a_recording_that_occurs_twice_is_named(name, file, copy_of, stand_ins):
    folder = copy_of(name)
    path = folder / file
    soundfile.write(path.with_suffix(".flac"), [0.1] * 8000, 16000)
    with pytest.raises(
        ValueError, match=f"1 recordings of {name} occur twice"
    ) as error:
        read_utterances(settings_of(name, folder, stand_ins[name][1]))
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", ["EmoDB", "CREMA-D"])
def test_half_a_download_is_refused_with_the_counts(name, copy_of):
    folder = copy_of(name)
    expected = sum(settings_of(name, folder)["corpus"]["counts"].values())
    with pytest.raises(
        ValueError, match=f"expected {expected} .*The release is incomp"
    ):
        read_utterances(settings_of(name, folder))


def test_missing_and_extra_recordings_of_nemo_are_named(copy_of, stand_ins):
    folder, counts = copy_of("nEMO"), stand_ins["nEMO"][1]
    path = folder / "samples" / "KD0_fear_2.wav"
    path.rename(path.with_name("KD0_fear_200.wav"))
    with pytest.raises(ValueError, match="do not belong to nEMO: KD0_fear_200"):
        read_utterances(settings_of("nEMO", folder, counts))
    path.with_name("KD0_fear_200.wav").unlink()
    with pytest.raises(ValueError, match="found 105, missing 1: KD0_fear_2"):
        read_utterances(settings_of("nEMO", folder, counts))


def test_a_missing_speaker_is_named(copy_of, stand_ins):
    folder = copy_of("EmoDB")
    for path in (folder / "wav").glob("16*"):
        path.unlink()
    with pytest.raises(
        ValueError, match="EmoDB has the speakers .* missing 16, unknown"
    ):
        read_utterances(settings_of("EmoDB", folder, stand_ins["EmoDB"][1]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "file_id,emotion\n",
            "line 1: expected the columns file_id, emotion, raw_text",
        ),
        ("file_id\temotion\traw_text\tspeaker_id\nA_fear_1.wav\tfear\t\tA\n", "line 2"),
    ],
)
def test_a_damaged_index_of_nemo_is_refused(content, message, copy_of):
    folder = copy_of("nEMO")
    (folder / "data.tsv").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_utterances(settings_of("nEMO", folder))


def test_an_unknown_label_in_the_index_of_nemo_is_named(copy_of, stand_ins):
    folder = copy_of("nEMO")
    index = folder / "data.tsv"
    index.write_text(
        index.read_text().replace("KD0_fear_2.wav\tfear", "KD0_fear_2\tawe")
    )
    with pytest.raises(ValueError, match="KD0_fear_2 has the label 'awe'"):
        read_utterances(settings_of("nEMO", folder, stand_ins["nEMO"][1]))


def test_a_damaged_index_of_meld_is_refused(copy_of, stand_ins):
    folder = copy_of("MELD")
    path = folder / "dev_sent_emo.csv"
    rows = list(csv.reader(path.open()))
    with path.open("w", newline="") as f:
        csv.writer(f).writerows([*rows, rows[1]])
    with pytest.raises(ValueError, match="line 16: expected a new utterance"):
        read_utterances(settings_of("MELD", folder, stand_ins["MELD"][1]))


def _train(name, stand_ins, folds, results, monkeypatch) -> Path:
    """Train some folds of a recipe on its stand-in; return the folder of the run."""
    folder, counts = stand_ins[name]
    arguments = [
        "hparams/fbank_ecapa.yaml",
        f"--data_folder={folder}",
        f"--results_folder={results}",
        f"--corpus={{counts: {counts}}}",
        f"--folds={folds}",
        "--number_of_epochs=1",
        "--ecapa_channels=[8,8,8,8,24]",
        "--ecapa_attention_channels=4",
        "--noprogressbar",
    ]
    monkeypatch.chdir(RECIPES / name)
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    runpy.run_path("train.py", run_name="__main__")
    return results / "fbank_ecapa" / "seed_1986"


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITE)
def test_the_recipe_trains_and_tests_a_fold_of_a_stand_in(
    name, stand_ins, tmp_path, monkeypatch
):
    counts = stand_ins[name][1]
    as_text = ", ".join(f"{label}: {n}" for label, n in counts.items())
    readme = (RECIPES / name / "README.md").read_text()
    assert f"{{counts: {{{as_text}}}}}" in readme  # the command of the README
    run = _train(name, stand_ins, "1", tmp_path, monkeypatch)
    table = pd.read_csv(run / "fold_1" / "predictions.csv")
    assert len(table) == {"nEMO": 12, "EmoDB": 14, "CREMA-D": 19 * 6, "MELD": 14}[name]


@pytest.mark.slow
def test_a_fold_whose_test_part_lacks_a_label_is_reported_without_it(
    stand_ins, tmp_path, monkeypatch
):
    run = _train("EmoDB", stand_ins, "1,2", tmp_path, monkeypatch)
    info = json.loads((run / "fold_2" / "fold.json").read_text())
    assert info["absent_labels"] == ["disgust"]  # the speaker 08 has none
    rows = pd.read_csv(run / "report" / "results.csv").set_index("fold")
    recalls = rows.filter(like="recall_")
    assert recalls.loc["2"].isna().sum() == 1
    assert pd.isna(recalls.loc["2", "recall_disgust"])
    assert rows.loc["2", "UA"] == pytest.approx(recalls.loc["2"].mean(), abs=0.01)
    assert recalls.loc["pooled"].notna().all()


@pytest.mark.skipif(not SHARED_NEMO.is_dir(), reason="needs the recordings of nEMO")
def test_the_real_nemo_is_read():
    utterances = read_utterances(settings_of("nEMO", SHARED_NEMO))
    assert len(utterances) == 4481
    assert Counter(u.speaker for u in utterances)["MP0"] == 256
    hours = sum(u.duration_s for u in utterances) / 3600
    assert hours == pytest.approx(3.07, abs=0.01)  # Christop (2024), Table 1
