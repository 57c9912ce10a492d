"""``--write_space``, and the options of ``python -m ser_lib.demo``."""

import os
import shutil
import socket
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import yaml

from ser_lib.audio import find_audio
from ser_lib.demo import __main__ as demo
from ser_lib.utils.command import run_command

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "pretrained" / "ser_whisper_tiny"
EXAMPLES = ROOT / "pretrained" / "examples"


def failure_of(*arguments, capsys) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stopped:
        run_command(demo.main, arguments=list(map(str, arguments)))
    return stopped.value.code, capsys.readouterr().err


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parent") / "a space"
    run_command(demo.main, arguments=[str(MODEL), "--write_space", str(folder)])
    return folder


def test_a_space_has_what_hugging_face_reads(space):
    head = (space / "README.md").read_text().split("---\n")[1]
    found = yaml.safe_load(head)
    pins = (space / "requirements.txt").read_text().splitlines()
    assert found["sdk"] == "gradio"
    assert f"gradio=={found['sdk_version']}" in pins
    assert {*(ROOT / "requirements.txt").read_text().split()} <= {*pins}
    assert (space / found["app_file"]).is_file()
    assert found["license"] == "cc-by-nc-sa-4.0"
    assert len(found["short_description"]) <= 60
    for name in ("model.json", "fold_1.safetensors"):
        copy = space / MODEL.name / name
        assert copy.read_bytes() == (MODEL / name).read_bytes()
    names = [path.name for path in find_audio(EXAMPLES)]
    assert [path.name for path in find_audio(space / "examples")] == names
    assert not list(space.rglob("__pycache__"))


@pytest.mark.slow
def test_a_space_runs_unchanged_and_alone(space, tmp_path, monkeypatch):
    pytest.importorskip("gradio", reason="needs the extra demo")
    browser = pytest.importorskip("browser")
    moved = tmp_path / "moved"
    shutil.copytree(space, moved)
    monkeypatch.setenv("PYTHONPATH", str(moved))
    monkeypatch.setenv("GRADIO_SERVER_PORT", "0")
    monkeypatch.setenv("GRADIO_SERVER_NAME", "127.0.0.1")
    with browser.running_page("app.py", folder=moved) as address:
        with browser.running_browser() as chromium:
            with browser.Tab(chromium, address) as tab:
                tab.act(lambda: tab.page.click("button:has-text('ravdess 11 sad')"))
                assert tab.text(".ser-label").startswith("sad")


def test_a_folder_with_something_in_it_is_refused_and_kept(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    code, message = failure_of(MODEL, "--write_space", tmp_path, capsys=capsys)
    assert (code, str(tmp_path) in message) == (2, True)
    assert os.listdir(tmp_path) == ["mine.txt"]


def test_a_space_of_no_model_is_refused(tmp_path, capsys):
    model, folder = tmp_path / "no model", tmp_path / "space"
    code, message = failure_of(model, "--write_space", folder, capsys=capsys)
    assert (code, str(model) in message) == (2, True)
    assert not folder.exists()


def test_a_port_in_use_is_named(capsys):
    pytest.importorskip("gradio", reason="needs the extra demo")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, message = failure_of(MODEL, "--port", port, capsys=capsys)
    assert (code, f"port {port}" in message) == (2, True)


def test_a_missing_package_is_named_with_what_to_install(capsys):
    with patch.object(demo, "NEEDED", ("no_such_package",)):
        code, message = failure_of(MODEL, capsys=capsys)
    assert code == 2
    assert "no_such_package" in message
    assert "pip install gradio==" in message


def test_two_sessions_share_an_upload_until_both_end(tmp_path):
    from ser_lib.demo.session import Sessions

    upload = tmp_path / "hash" / "speech.wav"
    upload.parent.mkdir()
    upload.write_bytes(b"sound")
    sessions = Sessions(tmp_path / "sounds", lambda path: path == str(upload))
    for key in ("a", "b"):
        sessions.of(key).files.add(str(upload))
        sessions.of(key).files.add(str(MODEL / "model.json"))  # was not uploaded
    assert sessions.of("a") is sessions.of("a")
    sessions.end("a")
    assert upload.is_file()
    sessions.end("b")
    sessions.end("b")
    assert not upload.parent.exists()
    assert (MODEL / "model.json").is_file()
    assert list((tmp_path / "sounds").iterdir()) == []


def test_the_waveform_is_drawn_from_the_envelope():
    from ser_lib.demo.drawing import bars_html, label_colours

    colours = label_colours(["sad", "happy"])
    html = bars_html("<Probabilities>", {"sad": 0.25, "happy": 0.75}, colours)
    assert "width:25.00%" in html
    assert "75.0 %" in html
    assert "&lt;Probabilities&gt;" in html
    assert len({*colours.values()}) == 3
    assert np.all([colour.startswith("#") for colour in colours.values()])
