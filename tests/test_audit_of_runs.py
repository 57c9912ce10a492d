"""The split audit on audio files, in a run, and on the command line."""

import runpy
import shutil
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import ser_lib.experiment
from ser_lib.corpora import Utterance, with_audio_hashes
from ser_lib.experiment import prepare
from ser_lib.folds import Fold, audit_folds, write_folds
from ser_lib.folds.__main__ import main

NAMES = [f"03-01-{e}-01-01-01-{a}" for a in ("01", "02", "03") for e in ("03", "05")]


@pytest.fixture
def ravdess(tmp_path):
    """Two recordings of three actors, and a way to add copies to a part."""

    def fold_with(copies: dict[str, str], part: str = "train") -> Fold:
        rows = []
        for seed, name in enumerate(NAMES):
            path = f"Actor_{name[-2:]}/{name}.wav"
            (tmp_path / path).parent.mkdir(exist_ok=True)
            wav = np.random.default_rng(seed).uniform(-1, 1, 160)
            soundfile.write(tmp_path / path, wav, 16000)
            rows.append(Utterance(name, path, name[6:8], name[-2:], 0.01))
        parts = {"train": rows[:2], "valid": rows[2:4], "test": rows[4:]}
        for path, original in copies.items():
            (tmp_path / path).parent.mkdir(exist_ok=True)
            if Path(path).suffix == Path(original).suffix:
                shutil.copyfile(tmp_path / original, tmp_path / path)
            else:
                soundfile.write(tmp_path / path, *soundfile.read(tmp_path / original))
            actor = parts[part][0].speaker
            parts[part] += [Utterance(path, path, Path(path).stem[6:8], actor, 0.01)]
        cache = tmp_path / "hashes.csv"
        return Fold(
            1, **{k: with_audio_hashes(v, tmp_path, cache) for k, v in parts.items()}
        )

    return fold_with


ONE = f"Actor_03/{NAMES[4]}.wav"  # of the test part


def _forbidden(fold: Fold) -> list[tuple[str, str]]:
    audit = audit_folds([fold], {})
    return [(finding.rule, finding.where) for finding in audit.by_verdict("forbidden")]


def test_ravdess_without_copies_passes(ravdess):
    assert _forbidden(ravdess({})) == []


@pytest.mark.parametrize(
    "copy",
    [
        f"Actor_03/01{NAMES[4][2:]}.wav",
        f"Actor_03/01{NAMES[4][2:]}.flac",
        f"Actor_01/{NAMES[4]}.wav",
        f"again/{NAMES[4]}.flac",
    ],
    ids=["sound of the video", "the same as flac", "two actors' folders", "two trees"],
)
def test_a_ravdess_copy_in_another_part_is_caught_by_audio_and_by_name(ravdess, copy):
    fold = ravdess({copy: ONE})
    assert _forbidden(fold) == [("audio", "train-test"), ("copies", "fold")]


def test_a_ravdess_copy_under_another_actors_name_is_caught_by_its_audio(ravdess):
    fold = ravdess({"Actor_01/03-01-03-01-02-01-01.wav": ONE})
    assert _forbidden(fold) == [("audio", "train-test")]


def test_the_sound_of_a_ravdess_video_is_caught_within_a_part_as_well(ravdess):
    fold = ravdess({f"Actor_03/01{NAMES[4][2:]}.wav": ONE}, part="test")
    with pytest.raises(ValueError, match="sound of the videos") as error:
        audit_folds([fold], {}).check()
    assert f"{ONE} and Actor_03/01-01-03-01-01-01-03.wav" in str(error.value)
    assert "1 RAVDESS recording in more than one file" in str(error.value)


def test_the_sound_of_a_ravdess_video_need_not_have_the_same_samples(ravdess):
    other_take = f"Actor_03/{NAMES[5]}.wav"
    fold = ravdess({f"Actor_03/01{NAMES[4][2:]}.wav": other_take}, part="test")
    assert _forbidden(fold) == [("copies", "fold")]


def _settings(fold: Fold, folder: Path) -> dict:
    """What ``prepare`` reads of an experiment's settings."""
    rows = [u for part in fold.parts.values() for u in part]
    counts = dict(Counter(u.label for u in rows))
    return {
        "corpus": {"labels": list(counts), "counts": counts, "min_duration_s": 0},
        "label_map": {},
        "labels": list(counts),
        "read_corpus": lambda: rows,
        "tasks": {},
        "utterances": "labelled",
        "skip_prep": False,
        "make_folds": lambda hashed: [
            Fold(1, hashed[:2], hashed[2 : len(rows) - 2], hashed[-2:])
        ],
        "data_folder": str(folder),
        "cache_folder": str(folder / "work"),
        "output_folder": str(folder / "output"),
    }


def test_a_run_hashes_the_audio_and_prints_the_audit(
    ravdess, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(ser_lib.experiment, "record_preparation", lambda *_: None)
    folds = prepare(_settings(ravdess({}), tmp_path))
    assert "Split audit of 1 fold: no violation" in capsys.readouterr().out
    assert all(u.audio_hash for part in folds[0].parts.values() for u in part)
    assert (tmp_path / "work" / "audio_hashes.csv").is_file()
    assert main([str(tmp_path / "output")]) == 0
    assert "recordings" not in capsys.readouterr().out  # the hashes are written, too


def test_a_run_stops_at_a_leak_before_it_writes_a_fold(ravdess, tmp_path):
    copy = {"Actor_02/03-01-03-01-02-01-02.wav": ONE}
    with pytest.raises(ValueError, match="valid and test share 1 recording"):
        prepare(_settings(ravdess(copy, part="valid"), tmp_path))
    assert not (tmp_path / "output").exists()


@pytest.fixture
def run_folder(tmp_path):
    """What a run has written whose validation part shares a speaker."""
    train, valid, test = (
        [Utterance(s + label, "", label, s, 1.0) for label in ("calm", "angry")]
        for s in "ABC"
    )
    valid[0] = replace(valid[0], speaker="A")
    folds = [Fold(1, train, valid, test)]
    write_folds(folds, {"allowed_overlap": {"speaker": []}}, tmp_path / "run")
    return tmp_path / "run"


ALLOWING = "corpus:\n  allowed_overlap: {speaker: [train-valid]}\n"


def test_folds_without_a_protocol_are_audited_by_the_strictest(run_folder, capsys):
    (run_folder / "corpus.yaml").unlink()
    assert main([str(run_folder)]) == 1
    assert "Protocol: the strictest" in capsys.readouterr().out


def test_written_folds_are_audited_by_the_protocol_of_their_run(run_folder, capsys):
    assert main([str(run_folder)]) == 1
    strict = capsys.readouterr().out
    assert f"Protocol: {run_folder / 'corpus.yaml'}" in strict
    assert "train and valid share 1 speaker: A (1 utterance of" in strict
    (run_folder / "corpus.yaml").write_text(ALLOWING)
    assert main([str(run_folder)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["fold", "1", "utterances", "angry", "calm"] in lines
    assert ["train", "2", "1", "1"] in lines
    assert ["speaker", "1", "allowed", "0", "0"] in lines
    assert ["id", "0", "0", "0"] in lines
    assert ["audio", *["unknown"] * 3] in lines


def test_a_corpus_yaml_given_by_name_is_the_protocol(run_folder, tmp_path, capsys):
    path = tmp_path / "corpus.yaml"
    path.write_text(f"{ALLOWING}read_corpus: !ref <data_folder>\n")
    assert main([str(run_folder), f"--corpus={path}"]) == 0
    assert f"Protocol: {path}" in capsys.readouterr().out


def test_the_audit_is_a_command_of_ser_lib_folds(run_folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["folds", str(run_folder)])
    monkeypatch.delitem(sys.modules, "ser_lib.folds.__main__")
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("ser_lib.folds", run_name="__main__")
    assert stopped.value.code == 1
    assert "1 forbidden" in capsys.readouterr().out
