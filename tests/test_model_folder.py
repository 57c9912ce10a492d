"""Damaged and foreign model folders: each is refused, and nothing of it is run."""

import json
import pickle
import shutil

import pytest
from model_folders import FACTS, FBANK, write_folder
from safetensors.torch import load_file, save_file
from ser_lib.model_yaml import checked_yaml

from ser_lib.inference import EmotionRecognizer
from ser_lib.model_folder import read_facts, sha256, write_facts


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("models") / "sound")


@pytest.fixture
def folder(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "model")


def change_facts(folder, **changes) -> None:
    facts = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**facts, **changes}))


def renew_checksums(folder) -> None:
    """Make the checksums right again, as somebody who means harm would."""
    members = read_facts(folder)["members"]
    for name, member in members.items():
        member["sha256"] = sha256(folder / f"{name}.safetensors")
    change_facts(
        folder, members=members, hyperparams_sha256=sha256(folder / "hyperparams.yaml")
    )


def assert_refused(folder, error, message) -> None:
    with pytest.raises(error, match=message):
        EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})


@pytest.mark.parametrize("name", ["hyperparams.yaml", "fold_1.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    assert_refused(folder, FileNotFoundError, f"is incomplete: it has no {name}")


def test_weights_have_the_permissions_of_any_other_file(folder):
    files = [folder / "fold_1.safetensors", folder / "model.json"]
    assert len({path.stat().st_mode for path in files}) == 1


def test_a_folder_that_is_no_model_is_refused_with_what_it_holds(tmp_path):
    (tmp_path / "notes.txt").touch()
    message = r"has no model\.json.*It holds: \['notes\.txt'\]"
    assert_refused(tmp_path, FileNotFoundError, message)


def test_damaged_weights_are_refused(folder):
    path = folder / "fold_1.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # one bit of one weight
    path.write_bytes(content)
    message = r"fold_1\.safetensors was changed or damaged: its SHA-256 is"
    assert_refused(folder, ValueError, message)


def test_a_changed_network_is_refused(folder):
    path = folder / "hyperparams.yaml"
    path.write_text(path.read_text().replace("hop_ms: 20", "hop_ms: 10"))
    assert_refused(folder, ValueError, r"hyperparams\.yaml was changed or damaged")


def test_swapped_labels_are_refused_with_both_orders(folder):
    change_facts(folder, labels=["hap", "neu", "ang", "sad"])
    message = (
        r"do not belong together: labels are \['neu', 'hap', 'ang', 'sad'\] in "
        r"fold_1\.safetensors and \['hap', 'neu', 'ang', 'sad'\] in model\.json"
    )
    assert_refused(folder, ValueError, message)


def test_labels_swapped_in_the_network_are_refused(folder):
    path = folder / "hyperparams.yaml"
    path.write_text(path.read_text().replace("[neu, hap,", "[hap, neu,"))
    renew_checksums(folder)
    message = r"labels are \['hap', 'neu', 'ang', 'sad'\] in hyperparams\.yaml"
    assert_refused(folder, ValueError, message)


@pytest.mark.parametrize(
    "change", [{"sample_rate_hz": 8000}, {"trim_silence_db": 30}], ids=str
)
def test_facts_that_the_weights_contradict_are_refused(folder, change):
    change_facts(folder, **change)
    assert_refused(folder, ValueError, f"do not belong together: {next(iter(change))}")


def test_weights_of_another_architecture_are_refused(folder):
    path = folder / "hyperparams.yaml"
    text = path.read_text().replace("embedding_size: 6", "embedding_size: 7")
    path.write_text(text)
    renew_checksums(folder)
    message = r"fold_1\.safetensors does not fit the EmotionModel: of another shape"
    assert_refused(folder, ValueError, message)


def test_weights_with_too_few_tensors_are_refused(folder):
    path = folder / "fold_1.safetensors"
    weights = load_file(path)
    del weights["downstream.classifier.bias"]
    facts = read_facts(folder)
    kept = ("labels", "sample_rate_hz", "trim_silence_db")
    witness = json.dumps({key: facts[key] for key in kept})
    save_file(weights, path, metadata={"facts": witness})
    renew_checksums(folder)
    message = r"does not fit the EmotionModel: missing downstream\.classifier\.bias"
    assert_refused(folder, ValueError, message)


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_in_place_of_weights_is_refused_and_not_run(folder, tmp_path):
    trace = tmp_path / "payload_ran"
    path = folder / "fold_1.safetensors"
    path.write_bytes(pickle.dumps(Payload(trace)))
    assert_refused(folder, ValueError, "was changed or damaged")
    renew_checksums(folder)
    assert_refused(
        folder, ValueError, "not a file of weights in the safetensors format"
    )
    assert not trace.exists()
    pickle.loads(path.read_bytes()).close()
    assert trace.exists()  # it would have run


@pytest.mark.parametrize(
    "line",
    [
        "!apply:os.system [touch ran]",
        "!new:os.system [touch ran]",
        "!new:ser_lib.upstreams.huggingface.os.system [touch ran]",
        "!new:ser_lib.aggregators.ECAPA_TDNN {input_size: 1}",
        "!name:subprocess.run",
        "!module:os",
        "!include:/etc/hostname",
        "!applyref:os.system {args: [touch ran]}",
        "!tuple (1, 2)",
        "!ref <model.forward>",
        "!!python/object/apply:os.system [touch ran]",
        "!!python/name:os.system",
        "[{deep: [!apply:os.system [touch ran]]}]",
        "{!apply:os.getcwd [] : 1}",
    ],
)
def test_a_folder_that_asks_for_code_is_refused_and_not_run(
    folder, tmp_path, monkeypatch, line
):
    monkeypatch.chdir(tmp_path)
    path = folder / "hyperparams.yaml"
    path.write_text(path.read_text() + f"more: {line}\n")
    renew_checksums(folder)
    line_number = len(path.read_text().splitlines())
    message = rf"hyperparams\.yaml asks for .* in line {line_number}\. Nothing of it"
    assert_refused(folder, ValueError, message)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "source", ["facebook/hubert-base-ls960", "/etc", "!ref <more>"]
)
def test_an_encoder_that_is_named_and_not_described_is_refused(source):
    text = FBANK.replace("FbankUpstream", "HuggingFaceUpstream")
    text = text.replace("n_mels: 20", f"source: {source}") + "more: facebook/x\n"
    with pytest.raises(ValueError, match="names an encoder elsewhere"):
        checked_yaml(text, "hyperparams.yaml")


def test_an_encoder_that_is_named_by_position_is_refused():
    text = "encoder: !new:ser_lib.upstreams.CpcUpstream [/etc/passwd]\n"
    with pytest.raises(ValueError, match=r"an encoder elsewhere \('/etc/passwd', line"):
        checked_yaml(text, "hyperparams.yaml")


def test_a_network_from_elsewhere_is_not_written(tmp_path):
    definition = FBANK.replace("ser_lib.upstreams", "my.own")
    facts = {**FACTS, "definition": definition}
    with pytest.raises(ValueError, match="toy asks for !new:my.own.FbankUpstream in"):
        write_facts(tmp_path, facts, {"fold_1": {}})
    assert list(tmp_path.iterdir()) == []


def test_yaml_that_cannot_be_parsed_is_refused():
    with pytest.raises(ValueError, match="a.yaml is damaged, it is no YAML"):
        checked_yaml("model: [", "a.yaml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "has the format 2; this version of ser_lib reads format 1"),
        ({"labels": "neu"}, "labels is 'neu', expected list"),
        ({"labels": ["neu", "neu"]}, "expected different names"),
        ({"sample_rate_hz": None}, "sample_rate_hz is None, expected int"),
        ({"members": {}}, "members are none, expected fold_1"),
        ({"members": {"../fold_1": {}}}, r"members are \['../fold_1'\]"),
    ],
)
def test_facts_that_make_no_sense_are_refused(folder, change, message):
    change_facts(folder, **change)
    assert_refused(folder, ValueError, message)


def test_facts_that_are_no_json_are_refused(folder):
    (folder / "model.json").write_text("{")
    assert_refused(folder, ValueError, r"model\.json is damaged, it is no JSON")


def test_members_that_the_network_lacks_are_refused(folder):
    members = read_facts(folder)["members"]
    change_facts(folder, members={**members, "fold_2": members["fold_1"]})
    message = r"builds \['fold_1'\]; model\.json lists \['fold_1', 'fold_2'\]"
    assert_refused(folder, ValueError, message)


def test_another_major_version_is_told_but_not_refused(folder, caplog):
    versions = read_facts(folder)["versions"]
    change_facts(folder, versions={**versions, "torch": "1.13.1"})
    EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})
    (message,) = [r.getMessage() for r in caplog.records if "made with" in r.msg]
    assert f"{folder} was made with torch 1.13.1, here is 2." in message
