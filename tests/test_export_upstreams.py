"""Every family of upstreams, from a run to a model folder that needs no checkpoint."""

import functools
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from s3prl_files import apc_checkpoint
from tiny_upstreams import UPSTREAMS

import ser_lib.export.run
from ser_lib.export import export_run
from ser_lib.export.finished_fold import load_trained
from ser_lib.inference import EmotionRecognizer
from ser_lib.model_folder.description import read_model_info
from ser_lib.settings import Settings
from ser_lib.training import AtomicCheckpointer
from ser_lib.upstreams import ApcUpstream, CpcUpstream, native
from ser_lib.upstreams.families import FAMILIES

pytestmark = pytest.mark.slow

HPARAMS = Path(__file__).resolve().parents[1] / "recipes" / "hparams"
SUPERB = HPARAMS / "superb.yaml"
SPEECH = [family for family in FAMILIES if family != "bert"]
CORPUS = {
    "name": "TOY",
    "labels": ["neu", "hap", "ang"],
    "sample_rate_hz": 16000,
    "min_duration_s": 0.2,
}
FINETUNE = """
extends: {hparams}/one_upstream.yaml
experiment: toy
cpc_source: {source}
upstream: !new:ser_lib.upstreams.CpcUpstream
    source: !ref <cpc_source>
"""
OWN_UPSTREAM = """
from ser_lib.upstreams import ApcUpstream


class Mine(ApcUpstream):
    pass
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """No card, which needs figures; and a fold is loaded once."""
    monkeypatch.setattr(ser_lib.export.run, "model_card", lambda *args, **kwargs: "")
    monkeypatch.setattr(ser_lib.export.run, "load_trained", load_once)


load_once = functools.cache(load_trained)


def write_run(folder: Path, path: Path = SUPERB, **given) -> Path:
    """Write what a run of one fold leaves behind, with weights that nobody trained."""
    run_folder = folder / "results" / "run" / "seed_1986"
    trained = folder / "results" / "work" / "trained" / "fold_1"
    given |= {"corpus": CORPUS, "output_folder": str(run_folder)}
    given |= dict.fromkeys(("data_folder", "read_corpus", "make_folds"), "not needed")
    settings = Settings.from_file(path, given)
    model = settings["model"]
    with torch.no_grad():
        for parameter in model.parameters():  # as if all of it had been trained
            parameter.add_(0.05 * torch.randn_like(parameter))
    parts = {"downstream": model.downstream, "upstreams": model.upstreams}
    saved = {name: part for name, part in parts.items() if part.state_dict()}
    meta = {"epoch": 1, "valid_accuracy": 0.5}
    AtomicCheckpointer(trained / "save", saved).save_checkpoint(meta, name="epoch001")
    (trained / "finished").touch()
    (trained / "hyperparams.yaml").write_text(settings.text)
    info = {"experiment": "toy", "corpus": "TOY", "seed": 1986, "fold": 1}
    info |= {"settings_key": "key"}
    info |= {"averaged_epochs": [1], "valid_accuracy": [0.5], "fold_digest": "digest"}
    (run_folder / "fold_1").mkdir(parents=True)
    (run_folder / "fold_1" / "fold.json").write_text(
        json.dumps({**info, "trained_in": str(trained)})
    )
    (run_folder / "fold_1" / "history.csv").write_text(
        "epoch,train_loss,valid_loss,valid_accuracy,lr\n1,1.0,1.0,0.5,0.1\n"
    )
    header = ["id", "speaker", "label", "prediction"]
    header += [f"p_{label}" for label in CORPUS["labels"]]
    (run_folder / "fold_1" / "predictions.csv").write_text(
        ",".join(header) + "\nA,S,neu,neu,1,0,0\nB,S,hap,hap,0,1,0\nC,S,ang,ang,0,0,1\n"
    )
    (run_folder / "corpus.yaml").write_text(json.dumps({"corpus": CORPUS}))
    (run_folder / "hyperparams.yaml").write_text(settings.text)
    return run_folder


def write_encoder(folder: Path, family: str) -> str | None:
    folder.mkdir()
    found, write = UPSTREAMS[family]
    assert found == family
    return write(folder)


def assert_reproduces(folder: Path, run_folder: Path) -> None:
    """Compare logits; the encoder and the run are gone when the folder is loaded."""
    model, _ = load_once(run_folder, 1)
    shutil.rmtree(run_folder.parents[1])
    shutil.rmtree(folder.with_name("encoder"), ignore_errors=True)
    recognizer = EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})
    wavs, wav_lens = 0.1 * torch.randn(3, 16000), torch.tensor([1.0, 0.7, 0.4])
    with torch.no_grad():
        expected = model(wavs, wav_lens)
    assert expected.std(0).min() > 1e-5  # else the waveforms would not matter
    found = recognizer.mods["fold_1"](wavs, wav_lens)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", SPEECH)
def test_a_superb_model_gives_the_same_logits_without_its_checkpoint(family, tmp_path):
    source = write_encoder(tmp_path / "encoder", family)
    run_folder = write_run(tmp_path, family=family, upstream_source=source)
    folder = export_run(run_folder, tmp_path / "model")
    assert_reproduces(folder, run_folder)
    assert str(tmp_path) not in (folder / "model.json").read_text()
    info = read_model_info(folder)
    (upstream,) = info["network"]["upstreams"].values()
    assert upstream["class"] == FAMILIES[family].upstream.__name__
    named = {} if family == "fbank" else {"upstream": Path(source).name}
    assert info["encoders"] == named


def test_a_fine_tuned_native_upstream_gives_the_same_logits(tmp_path):
    source = write_encoder(tmp_path / "encoder", "cpc")
    settings = tmp_path / "finetune.yaml"
    settings.write_text(FINETUNE.format(hparams=HPARAMS, source=source))
    run_folder = write_run(tmp_path, settings)
    folder = export_run(run_folder, tmp_path / "model")
    (upstream,) = read_model_info(folder)["network"]["upstreams"].values()
    assert sorted(upstream) == ["class", "source"]
    assert_reproduces(folder, run_folder)


def test_a_checkpoint_of_the_hub_is_recorded_by_its_name(tmp_path, monkeypatch):
    path = Path(write_encoder(tmp_path / "encoder", "apc")) / "apc.ckpt"
    monkeypatch.setattr(native, "local_checkpoint", lambda source: path)
    run_folder = write_run(tmp_path, family="apc")
    _, info = load_once(run_folder, 1)
    assert info["encoders"] == {"upstream": "leo19941227/apc_series/apc_360hr.ckpt"}


def test_a_model_that_reads_transcripts_is_refused(tmp_path):
    source = write_encoder(tmp_path / "encoder", "bert")
    run_folder = write_run(tmp_path, family="bert", upstream_source=source)
    with pytest.raises(ValueError, match=r"reads transcripts \(upstream\)"):
        export_run(run_folder, tmp_path / "model")


def test_a_class_of_the_users_own_is_refused_with_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "my_upstreams.py").write_text(OWN_UPSTREAM)
    monkeypatch.syspath_prepend(tmp_path)
    source = write_encoder(tmp_path / "encoder", "apc")
    given = {"family": "my_upstreams.Mine", "upstream_source": source}
    run_folder = write_run(tmp_path, **given)
    message = r"of the class my_upstreams\.Mine\. .*runs foreign code.*load_trained"
    with pytest.raises(ValueError, match=message):
        export_run(run_folder, tmp_path / "model")
    assert not (tmp_path / "model").exists()


# ---- descriptions


def test_a_description_is_plain_and_holds_nothing_of_the_training(tmp_path):
    content = apc_checkpoint()
    content["config"]["data"]["corpus"] = {"path": "/home/somebody/LibriSpeech"}
    content["config"]["hparas"] = {"optimizer": torch.ones(1)}
    torch.save(content, tmp_path / "apc.ckpt")
    description = ApcUpstream(str(tmp_path)).without_weights()
    assert json.loads(json.dumps(description)) == description
    assert "somebody" not in json.dumps(description)
    again = ApcUpstream(description)
    assert again.without_weights() == description
    again.network.load_state_dict(content["model"], strict=True)


def test_a_description_of_another_network_is_refused_by_name():
    message = r"description of the encoder does not fit Cpc \(TypeError: .*width"
    with pytest.raises(ValueError, match=message):
        CpcUpstream({"dim": 8, "width": 3})


def test_an_adapted_run_of_an_older_version_is_refused(tmp_path):
    run_folder = write_run(tmp_path / "run", family="fbank")
    path = run_folder.parents[1] / "work" / "trained" / "fold_1" / "hyperparams.yaml"
    text = re.sub(
        "(?m)^standardise_by:.*$", "standardise_by: speaker", path.read_text()
    )
    path.write_text(text.replace("!ref <standardise_by>", "null"))
    with pytest.raises(ValueError, match="standardise_by: speaker, and .* Run the exp"):
        load_trained(run_folder, 1)
