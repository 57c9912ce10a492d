"""The hub: what is sent there, what comes from there, and when nothing is asked."""

import shutil
import socket
from pathlib import Path

import pytest
from huggingface_hub.utils import filter_repo_objects
from model_folders import LABELS, write_folder
from speechbrain.utils.fetching import FetchConfig

import ser_lib.model_folder.hub
from ser_lib.inference import EmotionRecognizer
from ser_lib.model_folder import push_to_hub
from ser_lib.model_folder.hub import local_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("models") / "fbank")


class Hub:
    """Stands in for HfApi and keeps what it was given."""

    def __init__(self):
        self.calls = []

    def create_repo(self, name, private, exist_ok):
        self.calls.append((name, private, exist_ok))
        return f"https://huggingface.co/{name}"

    def upload_folder(self, repo_id, folder_path, allow_patterns):
        names = sorted(path.name for path in Path(folder_path).iterdir())
        found = filter_repo_objects(names, allow_patterns=allow_patterns)
        self.calls.append((repo_id, list(found)))


def test_a_model_is_pushed_whole_and_private_without_files_of_the_user(
    folder, tmp_path, monkeypatch
):
    hub = Hub()
    monkeypatch.setattr(ser_lib.model_folder.hub, "HfApi", lambda: hub)
    folder = shutil.copytree(folder, tmp_path / "model")
    names = sorted(path.name for path in folder.iterdir())
    assert "model.json" in names
    (folder / "my_notes.txt").touch()
    assert push_to_hub(folder, "owner/name") == "https://huggingface.co/owner/name"
    assert hub.calls == [("owner/name", True, True), ("owner/name", names)]


def test_a_hub_that_refuses_leaves_the_folder_and_says_how_to_upload(
    folder, monkeypatch
):
    class Refusing(Hub):
        def create_repo(self, *args, **kwargs):
            raise ConnectionError("no network")

    monkeypatch.setattr(ser_lib.model_folder.hub, "HfApi", Refusing)
    with pytest.raises(OSError, match="no network.*hf upload owner/name"):
        push_to_hub(folder, "owner/name")
    assert (folder / "model.json").is_file()


def cache_of(folder, cache):
    """Lay a model folder out as the hub's cache does."""
    snapshot = cache / "models--owner--name" / "snapshots" / "abc"
    (cache / "models--owner--name" / "refs").mkdir(parents=True)
    (cache / "models--owner--name" / "refs" / "main").write_text("abc")
    snapshot.mkdir(parents=True)
    for path in folder.iterdir():
        (snapshot / path.name).write_bytes(path.read_bytes())
    return snapshot


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a network call")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_a_cached_hub_model_loads_without_a_network_call(folder, tmp_path, no_network):
    snapshot = cache_of(folder, tmp_path)
    config = FetchConfig(huggingface_cache_dir=str(tmp_path))
    recognizer = EmotionRecognizer.from_hparams("owner/name", fetch_config=config)
    assert recognizer.labels == LABELS
    assert local_model("owner/name", config) == snapshot


def test_a_model_that_the_cache_holds_in_part_is_fetched(folder, tmp_path, monkeypatch):
    snapshot = cache_of(folder, tmp_path)
    weights = (snapshot / "fold_1.safetensors").read_bytes()
    (snapshot / "fold_1.safetensors").unlink()

    def download(name, local_files_only, revision, **options):
        if not local_files_only:
            assert (name, revision) == ("owner/name", "v1")
            (snapshot / "fold_1.safetensors").write_bytes(weights)
        return str(snapshot)

    monkeypatch.setattr(ser_lib.model_folder.hub, "snapshot_download", download)
    config = FetchConfig(revision="v1")
    recognizer = EmotionRecognizer.from_hparams("owner/name", fetch_config=config)
    assert recognizer.labels == LABELS


def test_a_model_that_is_nowhere_is_refused_with_what_was_looked_for(tmp_path):
    config = FetchConfig(allow_network=False, huggingface_cache_dir=str(tmp_path))
    for source in ("owner/name", str(tmp_path / "missing")):
        with pytest.raises(
            FileNotFoundError, match=f"The model folder {source} does not exist.*hub id"
        ):
            EmotionRecognizer.from_hparams(source, fetch_config=config)
