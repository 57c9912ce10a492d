"""The stress report: what is mixed, what is scored, what is refused, how it resumes."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from model_folders import write_folder

from ser_lib.corpora import Utterance
from ser_lib.evaluation import read_predictions
from ser_lib.inference import EmotionRecognizer
from ser_lib.stress import conditions as stress_conditions
from ser_lib.stress.__main__ import main
from ser_lib.stress.conditions import CONDITIONS, draw_voices, generator_of
from ser_lib.stress.report import COLUMNS, failures, score_rows
from ser_lib.stress.run import degraded
from ser_lib.stress.table import read_table
from ser_lib.synthetic.corpora import write_table
from ser_lib.utils.command import run_command

MODEL = Path(__file__).resolve().parents[1] / "pretrained" / "ser_whisper_tiny"
FEW = [c for c in CONDITIONS if c.name in ("clean", "white_noise_0_db", "babble_0_db")]


@pytest.fixture(scope="module")
def speech(tmp_path_factory) -> Path:
    """A table of four speakers, three labels and two groups."""
    table = write_table(tmp_path_factory.mktemp("speech"), speakers=4, utterances=1)
    rows = list(csv.reader(table.read_text(encoding="utf-8").splitlines()))
    gender = {"speaker 1": "m", "speaker 2": "f", "speaker 3": "m", "speaker 4": "f"}
    columns = [*rows[0], "gender"], *([*row, gender[row[2]]] for row in rows[1:])
    _write(table, columns)
    return table


def _write(table: Path, rows) -> Path:
    with open(table, "w", newline="", encoding="utf-8") as f:
        csv.writer(f, lineterminator="\n").writerows(rows)
    return table


def changed(speech: Path, name: str, change) -> Path:
    """Write another table of the same recordings, beside it."""
    rows = list(csv.reader(speech.read_text(encoding="utf-8").splitlines()))
    return _write(speech.with_name(name), change(rows))


@pytest.fixture
def few(monkeypatch):
    """Test in three conditions only."""
    monkeypatch.setattr(stress_conditions, "CONDITIONS", FEW)


def stress(table: Path, out: Path, *more: str, model: Path = MODEL) -> int:
    """Run the command; return its exit code."""
    arguments = [str(model), "--csv", str(table), "--out", str(out), *more]
    try:
        run_command(main, arguments=arguments)
    except SystemExit as stopped:
        return stopped.code
    return 0


def files(folder: Path) -> dict[str, bytes]:
    found = (p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}


def without_command(found: dict[str, bytes]) -> dict[str, bytes]:
    """Remove the command line of a report, which names its folders."""
    lines = found["stress.md"].splitlines()
    kept = [line for line in lines if not line.startswith(b"python -m ser_lib.stress")]
    assert len(kept) == len(lines) - 1
    return {**found, "stress.md": b"\n".join(kept)}


@pytest.fixture(scope="module")
def done(speech, tmp_path_factory) -> Path:
    """The folder of a report in three conditions."""
    out = tmp_path_factory.mktemp("reports") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stress_conditions, "CONDITIONS", FEW)
        assert stress(speech, out, "--group", "gender") == 0
    return out


# ---- what is written


def test_the_scores_of_the_csv_file_can_be_recomputed_from_the_predictions(done):
    rows = pd.read_csv(done / "stress.csv", keep_default_na=False)
    labels = EmotionRecognizer.from_hparams(MODEL).labels
    path = done / "predictions" / "white_noise_0_db.csv"
    noisy = read_predictions(path, labels)
    right = noisy["label"] == noisy["prediction"]
    ua = 100 * right.groupby(noisy["label"]).mean().mean()
    row = rows.query("condition == 'White noise, 0 dB' and group == ''").iloc[0]
    assert row["UA"] == pytest.approx(ua, abs=0.005)
    assert row["WA"] == pytest.approx(100 * right.mean(), abs=0.005)
    assert (row["n"], row["speakers"], row["labels"]) == (12, 4, 3)
    in_groups = rows.query("condition == 'White noise, 0 dB' and group == 'gender'")
    assert list(in_groups["value"]) == ["f", "m"]
    assert list(in_groups["n"]) == [6, 6]


def test_the_report_names_the_conditions_the_groups_and_what_the_table_lacks(done):
    text = (done / "stress.md").read_text(encoding="utf-8")
    assert "12 utterances of 4 speakers" in text
    assert "| Babble, 0 dB |" in text
    assert "## UA by gender" in text
    assert "no utterance of neutral, fearful" in text
    assert (done / "stress.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.slow
def test_all_conditions_run_on_a_table(speech, tmp_path, capsys):
    assert stress(speech, tmp_path / "out") == 0
    printed = capsys.readouterr().out
    for condition in CONDITIONS:
        assert condition.title in printed
        assert (tmp_path / "out" / "predictions" / f"{condition.name}.csv").is_file()


def test_conditions_have_names_of_their_own():
    assert len({c.name for c in CONDITIONS}) == len(CONDITIONS) == 19


# ---- one member for each recording


@pytest.fixture
def by_fold(speech, few) -> Path:
    """The table with a fold for each speaker."""
    folds = {"speaker 1": "1", "speaker 2": "2", "speaker 3": "2", "speaker 4": "1"}
    return changed(
        speech,
        "folds.csv",
        lambda rows: [[*rows[0], "tested"], *([*r, folds[r[2]]] for r in rows[1:])],
    )


def test_each_recording_is_classified_by_the_member_of_its_fold(
    speech, by_fold, tmp_path
):
    ensemble = write_folder(tmp_path / "model", folds=(1, 2))
    labels = EmotionRecognizer.from_hparams(ensemble).labels
    mapped = ["--label_map", "{angry: ang, happy: hap, sad: neu}"]
    more = [*mapped, "--fold_column", "tested"]
    assert stress(by_fold, tmp_path / "out", *more, model=ensemble) == 0
    found = read_predictions(tmp_path / "out/predictions/clean.csv", labels)
    report = (tmp_path / "out" / "stress.md").read_text(encoding="utf-8")
    assert "classified by one member of the ensemble" in report
    assert "--fold_column tested" in report
    single = {}
    for fold in (1, 2):
        alone = write_folder(tmp_path / f"{fold}", folds=(fold,))
        assert stress(speech, tmp_path / f"out_{fold}", *mapped, model=alone) == 0
        path = tmp_path / f"out_{fold}" / "predictions" / "clean.csv"
        single[fold] = read_predictions(path, labels)
    is_first = found["speaker"].isin(["speaker 1", "speaker 4"])
    expected = single[1].where(is_first, single[2])
    assert not single[1].equals(single[2])
    pd.testing.assert_frame_equal(found, expected)


def test_a_fold_that_the_model_does_not_have_is_named(by_fold, tmp_path, capsys):
    assert stress(by_fold, tmp_path / "out", "--fold_column", "tested") == 2
    message = capsys.readouterr().err
    assert "fold_2, but the model has fold_1" in message
    assert not (tmp_path / "out").exists()


# ---- resuming


def test_a_run_that_was_stopped_ends_with_the_same_bytes(
    speech, done, tmp_path, few, monkeypatch
):
    def stopped(*arguments, **parameters):
        raise KeyboardInterrupt

    out = tmp_path / "out"
    broken = [*FEW[:2], FEW[2]._replace(degrade=stopped)]
    monkeypatch.setattr(stress_conditions, "CONDITIONS", broken)
    assert stress(speech, out, "--group", "gender") == 130
    assert {p.name for p in (out / "predictions").iterdir()} == {
        "clean.csv",
        "white_noise_0_db.csv",
    }
    monkeypatch.setattr(stress_conditions, "CONDITIONS", FEW)
    before = (out / "predictions" / "clean.csv").stat().st_mtime_ns
    assert stress(speech, out, "--group", "gender") == 0
    assert without_command(files(out)) == without_command(files(done))
    assert (out / "predictions" / "clean.csv").stat().st_mtime_ns == before


def test_a_recording_that_has_changed_is_classified_again(speech, tmp_path, few):
    folder = shutil.copytree(speech.parent, tmp_path / "speech")
    table, out = folder / speech.name, tmp_path / "out"
    assert stress(table, out) == 0
    before = files(out)
    path = folder / "speaker 1" / "angry0 1.wav"
    wav, rate_hz = soundfile.read(path)
    soundfile.write(path, wav[::-1], rate_hz)
    assert stress(table, out) == 0
    clean = "predictions/clean.csv"
    assert files(out)[clean] != before[clean]


# ---- what is mixed


def utterances() -> list[Utterance]:
    return [
        Utterance(f"{s}{i}", f"{s}{i}.wav", "sad", s, 1.0)
        for s in "ABCDEFGHIJ"
        for i in range(3)
    ]


def test_babble_never_has_the_speaker_of_the_utterance_and_each_voice_once():
    everyone = utterances()
    for u in everyone:
        voices = [v.speaker for v in draw_voices(u, everyone, generator_of(u))]
        assert u.speaker not in voices
        assert len(set(voices)) == len(voices) == 6


def test_babble_does_not_depend_on_the_order_of_the_table():
    everyone = utterances()
    for u in everyone[:5]:
        drawn = draw_voices(u, everyone, generator_of(u))
        assert drawn == draw_voices(u, everyone[::-1], generator_of(u))


@pytest.mark.parametrize("condition", FEW, ids=lambda c: c.name)
def test_an_utterance_is_degraded_alike_whatever_else_is_in_the_table(
    speech, condition
):
    recognizer = EmotionRecognizer.from_hparams(MODEL)
    forwards = read_table(speech, None, [], {}, recognizer.labels, 16000)
    read = forwards.utterances
    backwards = forwards._replace(utterances=read[::-1])
    first = degraded(recognizer, read[0], forwards, condition)
    degraded(recognizer, read[1], backwards, condition)
    again = degraded(recognizer, read[0], backwards, condition)
    assert np.array_equal(first, again)


def test_babble_is_left_out_with_two_speakers_and_the_report_says_so(
    speech, tmp_path, few, capsys
):
    two = changed(speech, "two.csv", lambda rows: rows[:7])
    assert stress(two, tmp_path / "out", "--group", "gender") == 0
    printed = capsys.readouterr().out
    assert "Babble is left out: it needs at least 2 other speakers" in printed
    assert "gender f has one speaker: it has no interval." in printed
    assert not (tmp_path / "out" / "predictions" / "babble_0_db.csv").exists()


# ---- scores by hand


def predictions(right: dict[str, str]) -> pd.DataFrame:
    """Each speaker says sad and angry; ``right`` names which of them are recognised."""
    rows = [
        {
            "id": f"{speaker} {label}",
            "speaker": speaker,
            "label": label,
            "prediction": label
            if label in heard
            else {"sad": "angry"}.get(label, "sad"),
        }
        for speaker, heard in right.items()
        for label in ("sad", "angry")
    ]
    return pd.DataFrame(rows)


LABELS = ["sad", "angry"]
ALL = "sad angry"
GENDER = {"A": "f", "B": "f", "C": "m", "D": "m"}


@pytest.fixture(scope="module")
def toy() -> pd.DataFrame:
    """When clean, women are right and men at half; with noise, all are at half."""
    clean = predictions({"A": ALL, "B": ALL, "C": "sad", "D": "sad"})
    noisy = predictions(dict.fromkeys("ABCD", "sad"))
    gender = pd.DataFrame({"gender": clean["speaker"].map(GENDER)})
    gender.index = clean["id"]
    return score_rows({"Clean": clean, "Noise": noisy}, gender, LABELS)


def test_the_gap_of_two_groups_is_the_difference_of_their_ua(toy):
    men = toy.query("condition == 'Clean' and value == 'm'").iloc[0]
    assert (men["UA"], men["gap"]) == (50, -50)
    assert (men["gap_low"], men["gap_high"]) == (-50, -50)
    women = toy.query("condition == 'Clean' and value == 'f'").iloc[0]
    assert women["UA"] == 100
    assert np.isnan(women["gap"])


def test_the_change_is_paired_with_the_same_utterances_when_clean(toy):
    noise = toy.query("condition == 'Noise'").set_index("value")
    assert noise["change"].to_dict() == {"": -25, "f": -50, "m": 0}
    assert tuple(noise.loc["f", ["change_low", "change_high"]]) == (-50, -50)
    assert -50 <= noise.loc["", "change_low"] <= -25 <= noise.loc["", "change_high"]


def test_failures_are_told_in_words_with_the_numbers_of_the_table(toy):
    clean = predictions({"A": ALL, "B": ALL, "C": "sad", "D": "sad"})
    rows = toy.copy()
    rows.loc[(rows["condition"] == "Noise") & (rows["group"] == ""), "change_high"] = -5
    assert failures(rows, clean, LABELS, chance=50) == [
        "Clean: UA 75.0, not measurably above chance (50.0).",
        "Noise: UA 50.0, not measurably above chance (50.0), 25.0 points [5.0, "
        "50.0] below clean.",
        "Clean, angry is the weakest class: 50.0 % of it is recognised, and most often "
        "sad is heard instead.",
        "Clean, gender m: UA 50.0, 50.0 points [50.0, 50.0] below gender f.",
    ]


def test_a_model_at_chance_in_clean_speech_is_told_first():
    clean = predictions(dict.fromkeys("ABCD", "sad"))
    rows = score_rows({"Clean": clean}, pd.DataFrame(index=clean["id"]), LABELS)
    rows = rows.reindex(columns=COLUMNS)
    assert failures(rows, clean, LABELS, chance=50)[:2] == [
        "Clean: UA 50.0, not measurably above chance (50.0).",
        "No condition is measurably worse than clean.",
    ]


# ---- what is refused


def refused(capsys, *arguments, **options) -> str:
    """Run a command that ends with 2; return its one line."""
    capsys.readouterr()
    assert stress(*arguments, **options) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    return lines[-1]


def test_a_column_that_is_not_there_is_named(speech, tmp_path, capsys):
    message = refused(capsys, speech, tmp_path / "out", "--group", "language")
    assert "missing: language" in message
    assert not (tmp_path / "out").exists()


def test_a_column_with_one_value_has_no_groups(speech, tmp_path, capsys):
    one = changed(speech, "one.csv", lambda rows: [[*r[:3], "gender"] for r in rows])
    message = refused(capsys, one, tmp_path / "out", "--group", "gender")
    assert "at least two groups in the column gender" in message


def test_labels_that_the_model_does_not_know_are_named_and_can_be_mapped(
    speech, tmp_path, capsys, few
):
    other = changed(
        speech,
        "other.csv",
        lambda rows: [[r[0], r[1].replace("happy", "joy"), *r[2:]] for r in rows],
    )
    message = refused(capsys, other, tmp_path / "out")
    assert "does not know the labels joy" in message
    assert "angry, happy, sad, neutral, fearful" in message
    assert stress(other, tmp_path / "out", "--label_map", "{joy: happy}") == 0
    assert "Label map: 4 joy count as happy." in capsys.readouterr().out


def test_a_folder_that_is_no_model_is_refused(speech, tmp_path, capsys):
    message = refused(capsys, speech, tmp_path / "out", model=speech.parent)
    assert str(speech.parent) in message


def test_a_folder_with_other_files_is_left_alone(speech, tmp_path, capsys, few):
    (tmp_path / "thesis.tex").write_text("years of work")
    message = refused(capsys, speech, tmp_path)
    assert "thesis.tex" in message
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    assert "is a file" in refused(capsys, speech, tmp_path / "thesis.tex")


def test_the_report_of_another_model_is_not_overwritten(
    speech, done, tmp_path, capsys, few
):
    out = shutil.copytree(done, tmp_path / "out")
    state = (out / "stress.json").read_text()
    model = state.split('"model": "')[1][:12]
    (out / "stress.json").write_text(state.replace(model, "0" * 12))
    assert "the stress report of another model" in refused(capsys, speech, out)


@pytest.mark.parametrize(
    ("wav", "message"),
    [
        (np.full(16000, np.nan), "not finite"),
        (np.full(3300, 0.5), "too short"),  # 206 ms: 188 ms at speed 1.1
        (np.zeros(16000), "silent"),
    ],
    ids=["NaN", "short", "silence"],
)
def test_audio_that_cannot_be_used_is_named(
    speech, tmp_path, capsys, few, wav, message
):
    path = tmp_path / "bad.wav"
    signs = 1 - 2.0 * (np.arange(len(wav)) % 2)
    soundfile.write(path, wav * signs, 16000, subtype="FLOAT")
    bad = changed(
        speech, "bad.csv", lambda rows: [*rows, [str(path), "sad", "speaker 1", "m"]]
    )
    found = refused(capsys, bad, tmp_path / "out")
    assert str(path) in found and message in found
