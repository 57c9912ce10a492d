"""RAVDESS with four classes: the random split of a notebook, and the speaker folds."""

import os
from collections import Counter
from pathlib import Path

import pytest
import soundfile

from ser_lib.corpora import protocol, read_utterances
from ser_lib.folds import audit_folds
from ser_lib.settings import Settings

HPARAMS = Path(__file__).resolve().parents[1] / "recipes" / "RAVDESS" / "hparams"
COUNTS = {"neutral": 288, "happy": 192, "sad": 192, "angry": 192}


@pytest.fixture(scope="module")
def all_names(tmp_path_factory) -> Path:
    """The 1,440 files of the release, a quarter of a second each."""
    folder = tmp_path_factory.mktemp("ravdess")
    wav = folder / "any.txt"
    soundfile.write(wav, [0.1] * 4000, 16000, subtype="PCM_16", format="WAV")
    for actor in range(1, 25):
        (folder / f"Actor_{actor:02}").mkdir()
        for emotion in range(1, 9):
            for intensity in (1,) if emotion == 1 else (1, 2):
                for take in ("01-01", "01-02", "02-01", "02-02"):
                    name = f"03-01-{emotion:02}-{intensity:02}-{take}-{actor:02}.wav"
                    os.link(wav, folder / f"Actor_{actor:02}" / name)
    return folder


def settings(name: str, data_folder: Path | str = "DATA") -> Settings:
    return Settings.from_file(HPARAMS / name, {"data_folder": str(data_folder)})


def make_folds(settings: Settings) -> list:
    return settings["make_folds"](read_utterances(settings))


@pytest.fixture(scope="module")
def random_fold(all_names):
    (fold,) = make_folds(settings("hubert_superb_er.yaml", all_names))
    return fold


def test_the_random_split_trains_on_691_and_tests_173_of_864_files(random_fold):
    parts = random_fold.parts
    assert {name: len(part) for name, part in parts.items()} == {
        "train": 691,
        "valid": 0,
        "test": 173,
    }
    rows = [u for part in parts.values() for u in part]
    assert len({u.id for u in rows}) == 864
    assert Counter(u.label for u in rows) == COUNTS


def test_calm_counts_as_neutral_and_four_emotions_are_left_out(random_fold):
    codes = {"neutral": {"01", "02"}, "happy": {"03"}, "sad": {"04"}, "angry": {"05"}}
    found = {label: set() for label in codes}
    for u in [*random_fold.train, *random_fold.test]:
        found[u.label].add(u.id.split("-")[2])
    assert found == codes


def test_the_same_split_is_drawn_again(random_fold, all_names):
    (again,) = make_folds(settings("hubert_superb_er.yaml", all_names))
    assert again == random_fold
    one_seed_on = settings("hubert_superb_er.yaml", all_names)["make_folds"]
    (other,) = one_seed_on(random_fold.train + random_fold.test, seed=1)
    assert {u.id for u in other.test} != {u.id for u in random_fold.test}


def test_the_audit_says_that_the_split_shares_speakers_and_validates_nothing(
    random_fold,
):
    audit = audit_folds([random_fold], protocol(settings("hubert_superb_er.yaml")))
    audit.check()
    summary = audit.summary()
    assert "train and test share 24 speakers, 2 texts" in summary
    assert "no validation part; the last epoch is tested" in summary


def test_the_protocol_of_the_speaker_folds_forbids_the_random_split(random_fold):
    corpus = protocol(settings("hubert_superb_er_speakers.yaml"))
    audit = audit_folds([random_fold], corpus)
    with pytest.raises(ValueError, match="train and test share 24 speakers") as error:
        audit.check()
    assert "the valid part has no utterance labelled neutral" in str(error.value)


def test_the_speaker_folds_have_four_classes_and_share_no_speaker(all_names):
    speakers = settings("hubert_superb_er_speakers.yaml", all_names)
    folds = make_folds(speakers)
    audit_folds(folds, protocol(speakers)).check()
    sizes = [{name: len(p) for name, p in fold.parts.items()} for fold in folds]
    # An actor has 36 of the 864 files.
    assert sizes == 6 * [{"train": 18 * 36, "valid": 2 * 36, "test": 4 * 36}]


def test_the_two_experiments_differ_in_their_folds_alone():
    random = settings("hubert_superb_er.yaml").unresolved()
    speakers = settings("hubert_superb_er_speakers.yaml").unresolved()
    assert random.keys() == speakers.keys()
    different = {key for key in random if random[key] != speakers[key]}
    assert different == {"experiment", "note", "corpus", "make_folds"}
    corpora = random["corpus"], speakers["corpus"]
    different = {key for key in corpora[0] if corpora[0][key] != corpora[1][key]}
    assert different == {"allowed_overlap", "validation"}
    assert random["averaged_checkpoints"] == 1


@pytest.mark.parametrize("name", ["hubert_ecapa", "w2v2_ecapa", "hubert_w2v2_early"])
def test_the_other_experiments_keep_eight_classes(name):
    assert len(settings(f"{name}.yaml")["labels"]) == 8
