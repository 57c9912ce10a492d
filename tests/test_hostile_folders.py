"""A model folder from a stranger makes networks of ser_lib, or is refused; no more."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hostile_folders import networks, texts
from model_folders import hubert_definition, write_folder

from ser_lib.model_folder.checksums import network_sha256

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parent
SOUND = ("0_sound", "0_sound_hubert", "1_yaml_code", "1_yaml_laughs")
EVIL_YAML = """
touch: !apply:os.system [touch RAN]
first: !new:torch.nn.Linear [1, 1]
a: "<first.__init__>"
b: "<a.__globals__>"
c: "<first.cuda>"
d: "<one> ** 9 ** 9 ** 9"
"""
LAUGHS = "a: &a [ha, ha]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefghijk", "bcdefghijkl", strict=True)
)


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> dict[str, str]:
    """What each refusal names, by the name of its folder."""
    encoder = tmp_path_factory.mktemp("encoder") / "hubert"
    described = networks(encoder)
    return {
        "networks": described,
        "expected": {name: text for name, (_, text) in (described | texts()).items()},
    }


@pytest.fixture(scope="module")
def ends(cases, tmp_path_factory) -> dict[str, dict]:
    """Load all folders in one process, which is killed if it hangs."""
    parent = tmp_path_factory.mktemp("folders")
    sound = write_folder(parent / "0_sound")
    encoder = tmp_path_factory.mktemp("encoder") / "hubert"
    write_folder(parent / "0_sound_hubert", hubert_definition(encoder))
    for name, text in {"1_yaml_code": EVIL_YAML, "1_yaml_laughs": LAUGHS}.items():
        folder = shutil.copytree(sound, parent / name)
        (folder / "hyperparams.yaml").write_text(text.replace("RAN", f"{folder}/ran"))
    info = json.loads((sound / "model.json").read_text())
    for name, (network, _) in cases["networks"].items():
        folder = shutil.copytree(sound, parent / name)
        changed = {"network": network, "network_sha256": network_sha256(network)}
        (folder / "model.json").write_text(json.dumps(info | changed))
    for name, (text, _) in texts().items():
        folder = shutil.copytree(sound, parent / name)
        (folder / "model.json").write_text(text, errors="surrogateescape")
    done = subprocess.run(
        [sys.executable, HERE / "helpers" / "hostile_folders.py", parent],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert list(parent.rglob("ran")) == []
    return json.loads(done.stdout)


def test_each_is_refused_with_what_is_wrong(cases, ends):
    assert len(cases["expected"]) >= 40
    assert set(ends) == {*cases["expected"], *SOUND}
    wrong = {
        name: ends[name]["end"]
        for name, text in cases["expected"].items()
        if text not in ends[name]["end"]
    }
    assert wrong == {}
    assert [ends[name]["end"] for name in SOUND] == ["loaded"] * len(SOUND)


def test_none_of_them_runs_a_command_reaches_for_the_network_or_unpickles(ends):
    assert {name: end["did"] for name, end in ends.items() if end["did"]} == {}
