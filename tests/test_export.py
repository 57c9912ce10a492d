"""From a run to a model folder: the same model, described by its run."""

import functools
import json
import shutil

import pandas as pd
import pytest
import torch
from huggingface_hub import ModelCard
from model_folders import LABELS, run_experiment, write_corpus, write_folder

import ser_lib.export.run
from ser_lib.aggregators import MeanPooling
from ser_lib.evaluation import read_predictions
from ser_lib.evaluation.calibration import at_temperature, temperature_of
from ser_lib.export import export_run
from ser_lib.export.__main__ import main
from ser_lib.export.card import model_card
from ser_lib.export.card_scores import Evidence
from ser_lib.export.finished_fold import load_trained
from ser_lib.inference import EmotionRecognizer
from ser_lib.model import EmotionModel
from ser_lib.model_folder.description import read_model_info

pytestmark = pytest.mark.slow

CPU = {"device": "cpu"}
load_once = functools.cache(load_trained)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def fbank_run(corpus):
    """Two folds of two epochs, on audio whose ends were cut."""
    options = {"n_mels": 20, "embedding_size": 6, "trim_silence_db": 30}
    options |= {"number_of_epochs": 2, "averaged_checkpoints": 2, "note": "Made up."}
    return run_experiment(corpus, "fbank_ecapa", folds=(1, 2), **options)


@pytest.fixture(scope="module")
def hubert_run(corpus):
    """One fold of both stages: a fine-tuned HuBERT, then ECAPA-TDNN on its frames."""
    stage = {"number_of_epochs": 1, "lr_upstream": 0.001}
    return run_experiment(
        corpus,
        "hubert_ecapa",
        hubert_source=str(corpus / "hubert"),
        finetuned={"upstream": {"overrides": stage}},
    )


@pytest.fixture
def quick(monkeypatch):
    """Load each fold once for several exports; an export changes nothing in it."""
    monkeypatch.setattr(ser_lib.export.run, "load_trained", load_once)


@pytest.fixture(scope="module")
def exported(fbank_run, tmp_path_factory):
    return export_run(fbank_run, tmp_path_factory.mktemp("exported") / "fbank")


@pytest.fixture
def copied_run(fbank_run, tmp_path):
    return shutil.copytree(fbank_run, tmp_path / "results" / "fbank" / "seed_1986")


def change_fold(run_folder, **changes) -> None:
    path = run_folder / "fold_1" / "fold.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# ---- the same model


def temperature(run_folder, fold):
    """Fit it to the validation parts of all folds without the fold's test speakers."""
    paths = sorted(run_folder.glob("fold_*/valid_predictions.csv"))
    rows = pd.concat([read_predictions(path, LABELS) for path in paths])
    path = run_folder / f"fold_{fold}" / "predictions.csv"
    tested = set(read_predictions(path, LABELS)["speaker"])
    others = rows[~rows["speaker"].isin(tested)]
    assert 0 < len(others) <= len(rows)
    return temperature_of(others, LABELS)


def assert_reproduces(recognizer, run_folder, corpus, atol) -> None:
    """Classify the test part of fold 1 from its files, as the run did."""
    folder = run_folder / "fold_1"
    predicted = read_predictions(folder / "predictions.csv", LABELS).set_index("id")
    test = pd.read_csv(folder / "test.csv")
    paths = [corpus / "IEMOCAP" / path for path in test["path"]]
    found = recognizer.classify_files(paths, progressbar=False)
    expected = predicted.loc[test["id"], [f"p_{label}" for label in LABELS]]
    # The model divides its logits by the temperature of the fold.
    expected = at_temperature(expected.to_numpy(), temperature(run_folder, 1))
    torch.testing.assert_close(
        torch.cat([values[0] for values in found]).double(),
        torch.from_numpy(expected),
        atol=atol,
        rtol=0,
    )


def test_an_exported_filter_bank_model_equals_the_trained_one(
    fbank_run, exported, corpus
):
    model, info = load_once(fbank_run, 1)
    assert sorted(info["averaged_epochs"]) == [1, 2]
    recognizer = EmotionRecognizer.from_hparams(exported, run_opts=CPU)
    wavs, wav_lens = 0.1 * torch.randn(3, 20000), torch.tensor([1.0, 0.7, 0.3])
    with torch.no_grad():
        expected = model(wavs, wav_lens)
    found = recognizer.mods["fold_1"](wavs, wav_lens)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert_reproduces(recognizer, fbank_run, corpus, atol=1e-4)


def test_an_exported_model_of_two_stages_equals_the_trained_one(
    hubert_run, corpus, tmp_path, quick
):
    model, info = load_once(hubert_run, 1)
    assert info["encoders"] == {"upstream": "hubert"}
    folder = export_run(hubert_run, tmp_path / "model")
    assert str(corpus) not in (folder / "hyperparams.yaml").read_text()
    recognizer = EmotionRecognizer.from_hparams(folder, run_opts=CPU)
    wavs, wav_lens = 0.1 * torch.randn(3, 20000), torch.tensor([1.0, 0.7, 0.3])
    with torch.no_grad():
        expected = model(wavs, wav_lens)
    found = recognizer.mods["fold_1"](wavs, wav_lens)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    # The run kept frames in half precision.
    assert_reproduces(recognizer, hubert_run, corpus, atol=2e-3)
    assert "Pre-trained encoder: hubert." in (folder / "README.md").read_text()


def test_a_run_with_relative_paths_is_found_after_a_move_from_any_working_folder(
    hubert_run, corpus, tmp_path, monkeypatch
):
    for name in ("results", "hubert"):
        shutil.copytree(corpus / name, tmp_path / "moved" / name)
    for name in ("hyperparams.yaml", "fold.json"):
        for path in (tmp_path / "moved").rglob(name):
            path.write_text(path.read_text().replace(f"{corpus}/", ""))
    monkeypatch.chdir(tmp_path)
    model, info = load_trained(f"moved/{hubert_run.relative_to(corpus)}", 1)
    assert info["trained_in"].startswith("results/work/trained/hubert_ecapa-fold_1")
    expected, _ = load_once(hubert_run, 1)
    for key, value in expected.state_dict().items():
        assert torch.equal(model.state_dict()[key], value)


def test_an_ensemble_is_the_average_of_its_folds(fbank_run, tmp_path, capsys, quick):
    main([str(fbank_run), str(tmp_path / "both"), "--ensemble"])
    main([str(fbank_run), str(tmp_path / "second"), "--fold", "2"])
    assert "both/README.md" in capsys.readouterr().out
    wavs = 0.1 * torch.randn(2, 16000)
    folds = [load_once(fbank_run, fold)[0] for fold in (1, 2)]
    with torch.no_grad():
        each = [
            (model(wavs, torch.ones(2)) / temperature(fbank_run, k)).softmax(-1)
            for k, model in enumerate(folds, start=1)
        ]
    assert not torch.equal(*each)
    both = EmotionRecognizer.from_hparams(tmp_path / "both", run_opts=CPU)
    second = EmotionRecognizer.from_hparams(tmp_path / "second", run_opts=CPU)
    torch.testing.assert_close(both(wavs)[0], sum(each) / 2, atol=1e-6, rtol=0)
    torch.testing.assert_close(second(wavs)[0], each[1], atol=1e-6, rtol=0)
    assert both.temperatures[1] == second.temperatures[0] != both.temperatures[0]
    card = (tmp_path / "both" / "README.md").read_text()
    assert "**The ensemble itself is not tested**" in card
    assert ModelCard(card).data.eval_results is None


# ---- the card


def test_the_card_has_the_scores_of_the_fold_and_of_the_run(fbank_run, exported):
    card = ModelCard((exported / "README.md").read_text())
    table = read_predictions(fbank_run / "fold_1" / "predictions.csv", LABELS)
    right = table["label"] == table["prediction"]
    wa = 100 * right.mean()
    recalls = 100 * right.groupby(table["label"]).mean()
    results = {r.metric_type: r.metric_value for r in card.data.eval_results}
    assert results["accuracy"] == pytest.approx(wa, abs=0.005)
    assert results["recall"] == pytest.approx(recalls.mean(), abs=0.005)
    assert f"WA {wa:.2f} [" in card.text
    row = next(line for line in card.text.splitlines() if line.startswith("| 1 |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == "16" and cells[-4:] == [f"{recalls[x]:.2f}" for x in LABELS]
    assert "| pooled | 32 |" in card.text


def test_the_card_says_how_the_model_came_about_and_what_it_is_not(exported):
    card = ModelCard((exported / "README.md").read_text())
    assert card.data.pipeline_tag == "audio-classification"
    assert card.data.license == "other"
    for text in (
        "seed 1986; finished folds: 1, 2",
        "Fold 1: trained on 51 utterances of 8 speakers",
        "tested on 16 utterances of 2 speakers (Ses01F, Ses01M); no test speaker",
        "Licence of the data: free for research after signing the release form",
        "> Made up.",
        "EmotionRecognizer.from_hparams",
        "Silence and audio shorter than 200 ms are refused",
        "Do not use it for decisions about people",
    ):
        assert text in card.text


def card_of(run_folder, about, **options) -> str:
    evidence = Evidence(run_folder, None, about["labels"], about["settings_key"])
    return model_card(run_folder, about, evidence, **options)


def test_a_creative_commons_licence_gets_its_name_on_the_hub(fbank_run, exported):
    about = read_model_info(exported)
    about["trained_on"]["licence"] = "CC BY-NC-SA 4.0"
    card = card_of(fbank_run, about)
    assert ModelCard(card).data.license == "cc-by-nc-sa-4.0"


def test_the_card_names_the_repository_of_a_file_on_the_hub(fbank_run, exported):
    about = read_model_info(exported)
    about["encoders"] = {"a": "owner/name/deep/apc.ckpt", "b": "owner/b", "c": "local"}
    card = card_of(fbank_run, about)
    assert ModelCard(card).data.base_model == ["owner/b", "owner/name"]
    assert "Pre-trained encoder: local, owner/b, owner/name/deep/apc.ckpt." in card


# ---- what is refused


def test_a_fold_that_is_not_finished_is_refused_with_the_command(fbank_run, tmp_path):
    message = r"Fold 3 .*Finished folds: \[1, 2\].*train.py hparams/fbank_ecapa"
    with pytest.raises(FileNotFoundError, match=message):
        export_run(fbank_run, tmp_path / "out", [3])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError, match="is not the folder of a run"):
        export_run(tmp_path, tmp_path / "out")


def test_checkpoints_that_are_gone_are_refused_with_the_command(copied_run):
    change_fold(copied_run, trained_in=str(copied_run / "gone"))
    message = (
        r"gone has no finished, no save, no hyper.* Delete .*fold\.json.*train\.py"
    )
    with pytest.raises(FileNotFoundError, match=message):
        load_trained(copied_run, 1)


def test_an_old_fold_without_its_stages_is_refused_with_the_command(
    hubert_run, tmp_path
):
    copied = shutil.copytree(hubert_run, tmp_path / "run")
    change_fold(copied, upstreams_trained_in={})
    message = "does not say where its upstreams were trained.*Delete.*--folds 1"
    with pytest.raises(FileNotFoundError, match=message):
        load_trained(copied, 1)


def test_other_checkpoints_than_those_tested_are_refused(copied_run):
    change_fold(copied_run, averaged_epochs=[7])
    with pytest.raises(ValueError, match=r"expected the epochs \[7\] \(fold.json\)"):
        load_trained(copied_run, 1)


def test_folds_of_different_settings_make_no_ensemble(copied_run, tmp_path):
    change_fold(copied_run, settings_key="a")
    message = r"different settings \(settings_key \{1: 'a', 2: '[0-9a-f]{12}'\}\)"
    with pytest.raises(ValueError, match=message):
        export_run(copied_run, tmp_path / "out", [1, 2])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("reads", "message"),
    [
        ("text", r"reads transcripts \(bert\)"),
        ("wav", r"its upstream bert is of the class torch\.nn.*\.Module\. A"),
    ],
)
def test_an_upstream_that_cannot_be_exported_is_named(
    fbank_run, tmp_path, monkeypatch, reads, message
):
    bert = torch.nn.Module()
    bert.reads, bert.hop_samples, bert.dim = reads, None, 4
    branch = {"upstreams": ["bert"], "aggregator": MeanPooling}
    model = EmotionModel(LABELS, {"bert": bert}, [branch])
    monkeypatch.setattr(
        ser_lib.export.run, "load_trained", lambda *_, **__: (model, {})
    )
    with pytest.raises(ValueError, match=message):
        export_run(fbank_run, tmp_path / "out")


def test_a_folder_with_something_else_in_it_is_left_alone(fbank_run, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(FileExistsError, match="is not a model folder"):
        export_run(fbank_run, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_export_that_fails_leaves_the_former_one_whole(
    fbank_run, tmp_path, monkeypatch, quick
):
    out = write_folder(tmp_path / "model")
    before = {p.name: p.read_bytes() for p in out.iterdir()}

    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ser_lib.export.run, "model_card", fail)
        with pytest.raises(KeyboardInterrupt):
            export_run(fbank_run, out)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    export_run(fbank_run, out)
    assert (out / "README.md").is_file()
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_the_command_line_pushes_what_it_wrote(fbank_run, tmp_path, monkeypatch, quick):
    pushed = []
    monkeypatch.setattr(
        ser_lib.export.__main__,
        "push_to_hub",
        lambda *args: pushed.append(args) or "address",
    )
    out = tmp_path / "model"
    main([str(fbank_run), str(out), "--push_to_hub", "owner/name"])
    assert pushed == [(out, "owner/name")]
    assert (out / "README.md").is_file()
