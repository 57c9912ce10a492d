"""Adapters in runs of two stages: small checkpoints, ensembles with one encoder."""

import shutil

import pandas as pd
import pytest
import torch
from model_folders import IEMOCAP_HPARAMS, run_experiment, write_corpus
from speechbrain.utils.run_opts import RunOptions
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from ser_lib.export import export_run
from ser_lib.inference import EmotionRecognizer
from ser_lib.paper_table.plan import make_plan
from ser_lib.paper_table.rows import Row
from ser_lib.settings import Settings
from ser_lib.synthetic.encoders import tiny_speech_settings

pytestmark = pytest.mark.slow

LORA = {"lora": {"r": 4, "lora_alpha": 6}, "number_of_epochs": 3, "lr_upstream": 0.02}


def write_wide_hubert(folder) -> None:
    """Write an untrained HuBERT of 5 MB: adapters are small beside it."""
    wider = {"hidden_size": 256, "intermediate_size": 512}
    torch.manual_seed(0)
    model = HubertModel(HubertConfig(**tiny_speech_settings() | wider))
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(folder)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = write_corpus(tmp_path_factory.mktemp("a corpus"))
    shutil.rmtree(folder / "hubert")
    write_wide_hubert(folder / "hubert")
    return folder


@pytest.fixture(scope="module")
def encoder_bytes(corpus) -> int:
    return (corpus / "hubert" / "model.safetensors").stat().st_size


@pytest.fixture(scope="module")
def run(corpus):
    """Two folds of a first stage with adapters and a second stage."""
    return run_experiment(
        corpus,
        "hubert_ecapa",
        folds=(1, 2),
        hubert_source=str(corpus / "hubert"),
        finetuned={"upstream": {"overrides": LORA}},
    )


def bytes_of(folder) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def answers_of(run, fold: int) -> pd.DataFrame:
    """Return what the run answered for three of the tested recordings."""
    folder = run / f"fold_{fold}"
    manifest = pd.read_csv(folder / "test.csv").set_index("id")
    table = pd.read_csv(folder / "predictions.csv").head(3)
    return table.assign(path=table["id"].map(manifest["path"]))


def load(folder) -> EmotionRecognizer:
    return EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})


def test_no_file_of_a_run_holds_the_encoder(run, encoder_bytes):
    work = run.parents[1] / "work"
    files = {p: p.stat().st_size for p in work.rglob("*") if p.is_file()}
    assert len(files) > 60
    assert max(files.values()) < encoder_bytes  # frames are the largest
    first = [n for p, n in files.items() if p.match("hubert_finetune-*/save/*/*")]
    assert max(first) < encoder_bytes / 20


def test_the_plan_of_a_row_with_adapters_is_just_above_what_it_takes(
    run, tmp_path, encoder_bytes
):
    stage = {"hparams": str(IEMOCAP_HPARAMS / "hubert_finetune.yaml")}
    changes = {"results_folder": str(tmp_path), "finetuned": {"upstream": stage}}
    settings = Settings.from_file(run / "hyperparams.yaml", changes)
    options = RunOptions.from_dictionary({"device": "cpu"})
    (plan,) = make_plan([Row(6, "hubert_ecapa", {}, settings)], options)
    trained = run.parents[1] / "work" / "trained"
    for planned in (plan.finetune, plan.train):
        folder, n_bytes = next(iter(planned.items()))
        (taken,) = trained.glob(f"{folder.name.rpartition('-')[0]}-*")
        assert bytes_of(taken) <= n_bytes < 1.2 * bytes_of(taken)
    assert max(plan.finetune.values()) < encoder_bytes / 10  # of three checkpoints


def test_an_exported_fold_is_the_model_that_was_tested(run, corpus, tmp_path):
    recognizer = load(export_run(run, tmp_path / "model", [1]))
    assert not (tmp_path / "model" / "encoders.safetensors").exists()
    columns = [f"p_{label}" for label in recognizer.labels]
    for _, row in answers_of(run, 1).iterrows():
        found, *_ = recognizer.classify_file(str(corpus / "IEMOCAP" / row["path"]))
        logits = torch.tensor(row[columns].to_list()).log()
        expected = (logits / recognizer.temperatures).softmax(-1)
        assert found[0].tolist() == pytest.approx(expected.tolist(), abs=1e-4)


def test_an_ensemble_holds_the_encoder_once_and_answers_as_its_folds_do(
    run, corpus, tmp_path, encoder_bytes
):
    folder = export_run(run, tmp_path / "an ensemble", [1, 2])
    both = load(folder)
    alone = [load(export_run(run, tmp_path / f"fold_{k}", [k])) for k in (1, 2)]
    paths = [corpus / "IEMOCAP" / path for path in answers_of(run, 1)["path"]]
    for path in paths:
        mean = torch.stack([r.classify_file(path)[0] for r in alone]).mean(0)
        torch.testing.assert_close(both.classify_file(path)[0], mean, atol=1e-5, rtol=0)
    assert bytes_of(folder) < 1.2 * encoder_bytes
    assert bytes_of(tmp_path / "fold_1") > encoder_bytes
    info = both.model_info["members"]["fold_2"]["adapters"]["upstream"]
    assert (info["r"], info["lora_alpha"], info["averaged"]) == (4, 6, 3)
    export_run(run, folder, [1])  # one fold is merged; nothing else is left
    assert not (folder / "encoders.safetensors").exists()
    assert (
        load(folder)
        .classify_file(paths[0])[0]
        .equal(alone[0].classify_file(paths[0])[0])
    )


def test_adapters_are_exported_only_with_the_encoder_they_were_trained_in(
    run, corpus, tmp_path
):
    encoder = corpus / "hubert"
    kept = shutil.move(encoder, tmp_path / "kept")
    with pytest.raises(FileNotFoundError, match="no encoder folder .*hubert"):
        export_run(run, tmp_path / "model", [1, 2])
    shutil.copytree(kept, encoder)
    try:
        model = HubertModel.from_pretrained(kept)
        with torch.no_grad():
            model.encoder.layer_norm.bias[0] += 1
        model.save_pretrained(encoder)
        message = "trained in another encoder: (hubert|upstream)_source is .*hubert"
        with pytest.raises(ValueError, match=message):
            export_run(run, tmp_path / "model", [1, 2])
        assert not (tmp_path / "model").exists()
    finally:
        shutil.rmtree(encoder)
        shutil.move(kept, encoder)


def test_adapters_that_an_older_version_averaged_are_not_exported(run, tmp_path):
    results = shutil.copytree(run.parents[1], tmp_path / "results")
    for path in results.glob("work/trained/hubert_finetune-*/save/*/CKPT.yaml"):
        lines = path.read_text().splitlines()
        start = lines.index("encoders:")
        path.write_text(
            "\n".join(
                lines[:start]
                + [line for line in lines[start:][1:] if not line.startswith(" ")]
            )
            + "\n"
        )
    shutil.move(run.parents[1], tmp_path / "away")
    try:
        moved = results / run.relative_to(run.parents[1])
        with pytest.raises(ValueError, match="older version trained .*Run the exp"):
            export_run(moved, tmp_path / "model", [1])
    finally:
        shutil.move(tmp_path / "away", run.parents[1])
