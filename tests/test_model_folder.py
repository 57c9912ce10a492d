"""Damaged and foreign model folders: each is refused, and nothing of it is run."""

import json
import pickle
import shutil
from copy import deepcopy

import pytest
import torch
from model_folders import FBANK, MODEL_INFO, write_folder
from safetensors.torch import load_file, save_file
from speechbrain.inference.interfaces import foreign_class

from ser_lib.inference import EmotionRecognizer
from ser_lib.model_folder import write_model_info
from ser_lib.model_folder.checksums import network_sha256, sha256
from ser_lib.model_folder.description import read_model_info


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("models") / "sound")


@pytest.fixture
def folder(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "model")


def change_model_json(folder, **changes) -> None:
    info = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**info, **changes}))


def renew_checksums(folder) -> None:
    """Make the checksums right again, as somebody who means harm would."""
    info = json.loads((folder / "model.json").read_text())
    for name, member in info["members"].items():
        member["sha256"] = sha256(folder / f"{name}.safetensors")
    info["network_sha256"] = network_sha256(info["network"])
    change_model_json(folder, **info)


def assert_refused(folder, error, message) -> None:
    with pytest.raises(error, match=message):
        EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})


def test_missing_weights_are_named(folder):
    (folder / "fold_1.safetensors").unlink()
    message = r"is incomplete: it has no fold_1\.safetensors"
    assert_refused(folder, FileNotFoundError, message)


def test_the_files_for_foreign_class_are_not_read(folder):
    (folder / "hyperparams.yaml").write_text("a: !new:os.system [touch ran]")
    (folder / "custom_interface.py").write_text("raise SystemExit")
    EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})


def test_foreign_class_gives_the_same_recognizer(folder):
    wavs = 0.1 * torch.randn(2, 16000)
    found = foreign_class(
        source=str(folder),
        pymodule_file="custom_interface.py",
        classname="EmotionRecognizer",
        run_opts={"device": "cpu"},
    )
    assert isinstance(found, EmotionRecognizer)
    expected = EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})
    assert found.classify_batch(wavs)[0].equal(expected.classify_batch(wavs)[0])


def test_weights_have_the_permissions_of_any_other_file(folder):
    files = [folder / "fold_1.safetensors", folder / "model.json"]
    assert len({path.stat().st_mode for path in files}) == 1


def test_a_folder_that_is_no_model_is_refused_with_what_it_holds(tmp_path):
    (tmp_path / "notes.txt").touch()
    message = r"has no model\.json.*contains: \['notes\.txt'\]"
    assert_refused(tmp_path, FileNotFoundError, message)


def test_damaged_weights_are_refused(folder):
    path = folder / "fold_1.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # one bit of one weight
    path.write_bytes(content)
    message = r"fold_1\.safetensors was changed or damaged: its SHA-256 is"
    assert_refused(folder, ValueError, message)


def test_a_changed_network_is_refused(folder):
    path = folder / "model.json"
    changed = path.read_text().replace('"hop_ms": 20', '"hop_ms": 10')
    assert changed != path.read_text()
    path.write_text(changed)
    assert_refused(folder, ValueError, r"model\.json was changed or damaged: .*network")


def test_swapped_labels_are_refused_with_both_orders(folder):
    change_model_json(folder, labels=["hap", "neu", "ang", "sad"])
    message = (
        r"do not belong together: labels are \['neu', 'hap', 'ang', 'sad'\] in "
        r"fold_1\.safetensors and \['hap', 'neu', 'ang', 'sad'\] in model\.json"
    )
    assert_refused(folder, ValueError, message)


@pytest.mark.parametrize(
    "change", [{"sample_rate_hz": 8000}, {"trim_silence_db": 30}], ids=str
)
def test_a_model_json_that_the_weights_contradict_is_refused(folder, change):
    change_model_json(folder, **change)
    assert_refused(folder, ValueError, f"do not belong together: {next(iter(change))}")


def test_weights_of_another_architecture_are_refused(folder):
    network = deepcopy(FBANK)
    network["branches"][0]["aggregator"]["embedding_size"] = 7
    change_model_json(folder, network=network)
    renew_checksums(folder)
    message = r"fold_1\.safetensors does not fit the EmotionModel: of another shape"
    assert_refused(folder, ValueError, message)


def change_weights(folder, **changed: torch.Tensor | None) -> None:
    """Change weights of the classifier, or take them out, checksums renewed."""
    path = folder / "fold_1.safetensors"
    weights = load_file(path)
    for name, value in changed.items():
        key = f"downstream.classifier.{name}"
        if value is None:
            del weights[key]
        else:
            weights[key] = value
    info = read_model_info(folder)
    kept = ("labels", "sample_rate_hz", "trim_silence_db")
    repeated = json.dumps({key: info[key] for key in kept})
    save_file(weights, path, metadata={"model_info": repeated})
    renew_checksums(folder)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "missing"),
        (torch.tensor([0.0, torch.nan, 0, 0]), "not finite"),
        (torch.tensor([0.0, 0, 0, -torch.inf]), "not finite"),
        (torch.tensor([1, 2, 3, 4]), "of another kind"),
    ],
    ids=["missing", "nan", "infinite", "int64"],
)
def test_weights_that_make_no_network_are_refused_by_name(folder, value, problem):
    change_weights(folder, bias=value)
    message = rf"fit the EmotionModel: {problem} downstream\.classifier\.bias"
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


@pytest.mark.parametrize("name", ["model.json", "fold_1.safetensors"])
def test_a_file_that_the_system_cannot_read_is_named(folder, name):
    (folder / name).unlink()
    (folder / name).symlink_to("/proc/self/mem")  # as on a disk that fails
    assert_refused(folder, OSError, name)


def test_a_network_from_elsewhere_is_not_written(tmp_path):
    network = deepcopy(FBANK)
    network["upstreams"]["fbank"]["class"] = "Mine"
    with pytest.raises(ValueError, match="fbank of .* toy has the class 'Mine'"):
        write_model_info(tmp_path, {**MODEL_INFO, "network": network}, {"fold_1": {}})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["session", None, ["mixed"]])
def test_frames_are_standardised_only_in_a_known_way(folder, value):
    change_model_json(folder, network=FBANK | {"standardise_by": value})
    renew_checksums(folder)
    message = r"not described as expected: .*standardise_by \(speaker, corpus, mixed\)"
    assert_refused(folder, ValueError, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "has the format 2; .* formats 3 and 4.*export RUN_FOLDER"),
        ({"format": 5}, "has the format 5; this version of ser_lib reads the formats"),
        ({"labels": "neu"}, "labels is 'neu', expected list"),
        ({"labels": ["neu", "neu"]}, "different names"),
        ({"labels": ["neu", 1]}, "different names"),
        ({"sample_rate_hz": None}, "sample_rate_hz is None, expected int"),
        ({"sample_rate_hz": 0}, "sample_rate_hz is 0, expected 1000 to 192000"),
        ({"min_duration_s": 1e30}, r"min_duration_s is 1e\+30, expected 0 to 3600"),
        ({"members": {}}, "members are 0, expected fold_1"),
        ({"members": {"../fold_1": {}}}, r"members are \['../fold_1'\]"),
        ({"members": {"fold_1": "../x"}}, r"damaged: \['fold_1'\] have no sha256"),
    ],
)
def test_entries_of_model_json_that_make_no_sense_are_refused(folder, change, message):
    change_model_json(folder, **change)
    assert_refused(folder, ValueError, message)


def test_weights_of_a_member_that_is_listed_only_are_missed(folder):
    members = read_model_info(folder)["members"]
    change_model_json(folder, members={**members, "fold_2": members["fold_1"]})
    assert_refused(folder, FileNotFoundError, r"it has no fold_2\.safetensors")


def test_another_major_version_is_told_but_not_refused(folder, caplog):
    versions = read_model_info(folder)["versions"]
    change_model_json(folder, versions={**versions, "torch": "1.13.1"})
    EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})
    (message,) = [r.getMessage() for r in caplog.records if "made with" in r.msg]
    assert f"{folder} was made with torch 1.13.1, installed is 2." in message
