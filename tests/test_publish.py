"""Packs of finished runs: nothing private in them, every score checked again."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from finished_run import LABELS, write_fold
from ruamel.yaml import YAML

from ser_lib.corpora import Utterance
from ser_lib.dataio import write_label_encoder
from ser_lib.evaluation import report, write_report
from ser_lib.evaluation.results_csv import read_results
from ser_lib.folds import Fold, fold_digest, write_folds
from ser_lib.publish.__main__ import main
from ser_lib.publish.citation import PAPER
from ser_lib.publish.private import public_settings
from ser_lib.settings import Settings
from ser_lib.utils.checksums import write_checksums

ROOT = Path(__file__).resolve().parents[1]
RUN = "mean_pooling/seed_1986"
CORPUS = {
    "name": "TOY",
    "licence": "CC BY 4.0",
    "labels": LABELS,
    "citation": "Nobody (2020)",
}


def utterances(fold: int, data: Path, names: str) -> list[Utterance]:
    """Those that ``write_fold`` tests, with a secret text; the first path absolute."""
    return [
        Utterance(
            f"{fold}-{i}" if names == "test" else f"{names}-{fold}-{i}",
            str(data / f"{i}.wav") if i == 0 else f"{i}.wav",
            ["sad", "sad", "angry", "angry"][i],
            f"{fold}{'MF'[i % 2]}" if names == "test" else f"{names}{i % 2}",
            1.5,
            text="a licensed sentence",
        )
        for i in range(4)
    ]


def write_run(
    results: Path, n_folds: int = 2, seed: int = 1986, note: str = ""
) -> Path:
    """Write the files of a finished run of TOY: fold 1 has 3 of 4 right, others all."""
    folder, data = (
        results / "mean_pooling" / f"seed_{seed}",
        results.parent / "the data",
    )
    folds = [
        Fold(k, *(utterances(k, data, name) for name in ("train", "valid", "test")))
        for k in range(1, n_folds + 1)
    ]
    write_folds(folds, CORPUS, folder)
    for fold in folds:
        predicted = "saaa" if fold.number == 1 else "ssaa"
        extra = {
            "fold_digest": fold_digest(fold),
            "trained_in": str(results / "work" / "x"),
            "upstreams_trained_in": {},
            "seed": seed,
        }
        write_fold(folder, fold.number, predicted, **extra)
    settings = f"""\
experiment: mean_pooling
seed: {seed}
data_folder: {data}
results_folder: {results}
output_folder: !ref <results_folder>/<experiment>/seed_<seed>
encoder_source: {results.parent}/models/encoder
hub_source: facebook/hubert-base-ls960
"""
    (folder / "hyperparams.yaml").write_text(settings)
    versions = "Python version:\n3.11.7 (main)\n====\ntorch==2.11.0\n"
    (folder / "env.log").write_text(f"{versions}mine @ file:///home/alice/mine\n")
    write_label_encoder(folder / "label_encoder.txt", LABELS)
    write_report(folder, LABELS, "toy", note, settings_key="key")
    return folder


@pytest.fixture
def run_folder(tmp_path) -> Path:
    return write_run(tmp_path / "my results", note="Made-up speech.")


@pytest.fixture
def pack(run_folder, tmp_path) -> Path:
    assert main([str(run_folder), str(tmp_path / "a pack")]) == 0
    return tmp_path / "a pack"


def verified(pack: Path, capsys) -> tuple[int, str]:
    capsys.readouterr()
    return main([str(pack), "--verify"]), capsys.readouterr().out


def test_a_pack_has_what_a_reader_needs_and_is_as_it_was_written(pack, capsys):
    names = {path.relative_to(pack).as_posix() for path in pack.rglob("*.*")}
    for name in (
        *("README.md", "CITATION.cff", "checksums.sha256"),
        *(f"{RUN}/{n}" for n in ("hyperparams.yaml", "corpus.yaml", "folds.json")),
        *(f"{RUN}/{n}" for n in ("label_encoder.txt", "environment.json")),
        *(f"{RUN}/fold_2/{n}.csv" for n in ("train", "valid", "test", "predictions")),
        *(f"{RUN}/fold_1/{n}" for n in ("history.csv", "fold.json")),
        *(f"{RUN}/report/{n}" for n in ("report.md", "results.csv", "confusion.png")),
    ):
        assert name in names
    code, output = verified(pack, capsys)
    assert code == 0, output
    assert "predictions of 8 utterances in 2 folds" in output
    assert f"python train.py PACK/{RUN}/hyperparams.yaml --csv TABLE.csv" in output
    environment = json.loads((pack / RUN / "environment.json").read_text())
    assert environment["python"] == "3.11.7"
    assert environment["packages"] == {"torch": "2.11.0"}


def test_nothing_private_and_no_transcript_is_in_a_pack(pack, tmp_path):
    for path in pack.rglob("*.*"):
        content = path.read_bytes()
        for secret in (str(tmp_path), "a licensed sentence", "alice", "trained_in"):
            assert secret.encode() not in content, (path, secret)
    rows = pd.read_csv(pack / RUN / "fold_1" / "test.csv")
    assert rows["path"].tolist() == ["0.wav", "1.wav", "2.wav", "3.wav"]
    assert rows["text"].isna().all()
    settings = YAML().load(pack / RUN / "hyperparams.yaml")
    assert settings["data_folder"] == "DATA"
    assert settings["results_folder"] == "results"
    assert settings["encoder_source"] == "encoder"
    assert settings["hub_source"] == "facebook/hubert-base-ls960"


def test_the_card_and_the_citation_can_be_read_by_machines(run_folder, tmp_path):
    out = tmp_path / "pack"
    main([str(run_folder), str(out), "--author", "Doe, Jane", "--author=Lab: 1"])
    card = (out / "README.md").read_text()
    front = YAML(typ="safe").load(card.split("---\n")[1])
    assert front["license"] == "cc-by-4.0"
    assert front["task_categories"] == ["audio-classification"]
    # 7 of 8 right; sad 3 of 4 and angry 4 of 4.
    assert "| mean_pooling | 1986 | TOY | no | 2 | 8 | 87.50 ± 17.68 |" in card
    assert "87.50 [62.50, 100.00]" in card
    assert "> Made-up speech." in card
    assert "It has no audio and no transcripts" in card
    cff = YAML(typ="safe").load((out / "CITATION.cff").read_text())
    assert cff["authors"] == [{"name": "Doe, Jane"}, {"name": "Lab: 1"}]
    assert cff["version"] in card


def test_the_paper_is_cited_as_in_the_repository():
    cited = YAML(typ="safe").load(ROOT / "CITATION.cff")["preferred-citation"]
    assert {key: cited[key] for key in PAPER} == PAPER


def test_several_runs_are_one_pack(tmp_path, capsys):
    for seed in (1986, 1987):
        write_run(tmp_path / "results", seed=seed)
    (tmp_path / "results" / "work" / "trained").mkdir(parents=True)
    assert main([str(tmp_path / "results"), str(tmp_path / "pack")]) == 0
    code, output = verified(tmp_path / "pack", capsys)
    assert code == 0
    assert "mean_pooling/seed_1986" in output
    assert "mean_pooling/seed_1987" in output
    assert "Results of 2 runs on TOY" in (tmp_path / "pack" / "README.md").read_text()


def test_the_same_run_has_the_same_id_and_another_one_has_another(
    run_folder, tmp_path, capsys
):
    ids = []
    for name in ("a", "b", "c"):
        if name == "c":
            history = run_folder / "fold_1" / "history.csv"
            history.write_text(history.read_text().replace("0.9", "0.8"))
        capsys.readouterr()
        main([str(run_folder), str(tmp_path / name), f"--author={name}"])
        ids.append(capsys.readouterr().out.split("its id ")[1][:12])
    assert ids[0] == ids[1] != ids[2]


# ---- what is refused


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no results to publish"):
        main([str(tmp_path), str(tmp_path / "pack")])


def test_a_run_without_a_report_is_refused(run_folder, tmp_path):
    shutil.rmtree(run_folder / "report")
    with pytest.raises(FileNotFoundError, match=r"report.json is missing"):
        main([str(run_folder), str(tmp_path / "pack")])


def test_unfinished_folds_are_named(run_folder, tmp_path):
    (run_folder / "fold_2" / "fold.json").unlink()
    message = r"is not finished \(fold_2: not finished, fold.json missing\)"
    with pytest.raises(ValueError, match=message):
        main([str(run_folder), str(tmp_path / "pack")])
    assert not (tmp_path / "pack").exists()


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_exists_is_never_overwritten(run_folder, tmp_path, kind):
    out = tmp_path / "pack"
    if kind == "folder":
        out.mkdir()
    elif kind == "file":
        out.write_text("mine")
    else:
        out.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=f"{out} exists"):
        main([str(run_folder), str(out)])


def test_a_link_in_a_run_is_refused_and_nothing_is_left(run_folder, tmp_path):
    (tmp_path / "secret").write_text("secret")
    path = run_folder / "fold_1" / "steps.csv"
    path.symlink_to(tmp_path / "secret")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"steps.csv is a link"):
        main([str(run_folder), str(tmp_path / "pack")])
    assert sorted(tmp_path.iterdir()) == before


def test_a_note_that_names_a_folder_of_this_machine_is_refused(tmp_path):
    results = tmp_path / "results"
    run = write_run(results, note=f"see {results}/mean_pooling")
    with pytest.raises(ValueError, match=r"README.md, line \d+, would publish '/"):
        main([str(run), str(tmp_path / "pack")])
    assert not (tmp_path / "pack").exists()


@pytest.mark.parametrize(
    ("written", "published"),
    [
        ("csv: my/own.csv", "csv: own.csv"),
        ("csv: ~/own.csv", "csv: own.csv"),
        (r"csv: C:\Users\me\own.csv", "csv: own.csv"),
        ("corpora: {A: ../a/b}", "corpora: {A: DATA}"),
        ("files: [/home/me/x]", "files: [x]"),
        ("frames_folder: !ref <csv>/a", "frames_folder: !ref <csv>/a"),
        ("extra: {x_source: ./enc}", "extra: {x_source: enc}"),
        (
            "model_source: openai/whisper-tiny.en",
            "model_source: openai/whisper-tiny.en",
        ),
        ("url: https://zenodo.org/1", "url: https://zenodo.org/1"),
    ],
)
def test_paths_in_the_settings_are_shortened_and_names_are_not(written, published):
    assert public_settings(Settings(written)).strip() == published


# ---- what a check finds


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def change_a_prediction(pack: Path) -> None:
    """Make the wrong answer of fold 1 right: its probabilities are swapped, too."""
    edit(
        pack / RUN / "fold_1" / "predictions.csv",
        "1-1,1F,sad,angry,0.250000,0.750000",
        "1-1,1F,sad,sad,0.750000,0.250000",
    )


def test_a_changed_prediction_is_found_by_its_checksum_and_by_the_scores(pack, capsys):
    change_a_prediction(pack)
    code, output = verified(pack, capsys)
    assert code == 1
    assert f"{RUN}/fold_1/predictions.csv was changed" in output
    assert "row 1: WA 75.0, recomputed 100.0; UA 75.0, recomputed 100.0" in output
    assert "row pooled: WA 87.5, recomputed 100.0; UA 87.5, recomputed 100.0" in output


def test_a_changed_prediction_with_new_checksums_is_found_by_the_scores(pack, capsys):
    change_a_prediction(pack)
    (pack / "checksums.sha256").unlink()
    write_checksums(pack)
    code, output = verified(pack, capsys)
    assert code == 1
    assert "was changed" not in output
    assert "report/results.csv, row 1: WA 75.0, recomputed 100.0" in output


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [
        ("fold_1/test.csv", "1-3,", "1-9,", "lacks 1 utterances of its part: 1-9"),
        ("fold_1/test.csv", "1-3,", "1-9,", "has 1 that are not of its part: 1-3"),
        ("fold_2/test.csv", ",sad,", ",angry,", "2-0 has the label sad of speaker 2M"),
        ("fold_2/test.csv", ",2M,", ",9X,", "its part has sad of 9X"),
        ("fold_2/train.csv", ",sad,", ",bored,", "has the labels ['bored']"),
        ("corpus.yaml", "angry", "cross", "corpus.yaml ['sad', 'cross']"),
        (
            "fold_1/fold.json",
            "mean_pooling",
            "other",
            "cannot be read: The folds differ",
        ),
        ("fold_1/predictions.csv", "0.750000", "x", "that is not a number"),
        (
            "hyperparams.yaml",
            "seed: 1986",
            "seed: !apply:os.getcwd []",
            "!apply:os.get",
        ),
        ("folds.json", '"1"', '"7"', "fold_7"),
    ],
)
def test_a_fault_is_found_even_if_the_checksums_were_made_to_fit(
    pack, capsys, path, old, new, expected
):
    edit(pack / RUN / path, old, new)
    (pack / "checksums.sha256").unlink()
    write_checksums(pack)
    code, output = verified(pack, capsys)
    assert code == 1
    assert expected in output


def test_removed_added_and_linked_files_are_named(pack, tmp_path, capsys):
    (pack / RUN / "fold_1" / "history.csv").unlink()
    (pack / RUN / "fold_2" / "more.csv").write_text("x")
    code, output = verified(pack, capsys)
    assert code == 1
    assert f"{RUN}/fold_1/history.csv is missing." in output
    assert f"{RUN}/fold_2/more.csv was added" in output
    outside = tmp_path / "secret"
    shutil.move(pack / RUN / "fold_1", outside)
    (pack / RUN / "fold_1").symlink_to(outside)
    code, output = verified(pack, capsys)
    assert code == 1
    assert f"{RUN}/fold_1 is a link" in output
    assert "predictions of" not in output  # nothing behind it was read


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a//b", "a\\b", "./a", "."])
def test_a_path_that_leads_out_of_the_pack_is_refused(pack, name):
    with open(pack / "checksums.sha256", "a") as f:
        f.write(f"{'0' * 64}  {name}\n")
    with pytest.raises(ValueError, match="line .* expected a SHA-256"):
        main(["--verify", str(pack)])


def test_settings_of_a_pack_are_never_built(pack, tmp_path, capsys):
    bad = f"seed: !apply:pathlib.Path.touch [!apply:pathlib.Path [{tmp_path}/ran]]"
    edit(pack / RUN / "hyperparams.yaml", "seed: 1986", bad)
    code, _ = verified(pack, capsys)
    assert code == 1
    assert not (tmp_path / "ran").exists()


def test_a_folder_that_is_no_pack_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no checksums.sha256"):
        main(["--verify", str(tmp_path)])


# ---- rows of results.csv


def test_a_row_names_the_pack_and_former_rows_stay_as_they_were(
    run_folder, pack, tmp_path
):
    results = tmp_path / "results.csv"
    other = write_run(tmp_path / "others", seed=1)
    report.main([str(other), "--results", str(results)])
    before = results.read_text().splitlines()
    report.main([str(run_folder), "--results", str(results), "--pack", str(pack)])
    lines = results.read_text().splitlines()
    assert lines[0] == f"{before[0]},published"
    assert lines[1:4] == [f"{line}," for line in before[1:]]
    identity = read_results(results)["published"].tolist()[3:]
    card = (pack / "README.md").read_text()
    assert len(set(identity)) == 1
    assert f"id `{identity[0]}`" in card
    report.main([str(other), "--results", str(results)])  # again, without a pack
    assert results.read_text().splitlines() == lines


def test_a_pack_of_other_predictions_does_not_name_a_row(run_folder, pack, tmp_path):
    write_fold(run_folder, 2, "saaa", fold_digest=_digest(run_folder, 2))
    with pytest.raises(ValueError, match=r"does not have the predictions of .*fold_2"):
        results = str(tmp_path / "results.csv")
        report.main([str(run_folder), "--results", results, "--pack", str(pack)])


def _digest(folder: Path, fold: int) -> str:
    return json.loads((folder / "folds.json").read_text())[str(fold)]
