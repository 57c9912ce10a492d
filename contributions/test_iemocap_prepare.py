"""Tests of recipes/IEMOCAP/iemocap_prepare.py, for SpeechBrain's tests/unittests."""

import importlib.util
from pathlib import Path

import pytest

RECIPE = Path("recipes/IEMOCAP")
COPIES = ["iemocap_prepare.py", "emotion_recognition/iemocap_prepare.py"]
# Names of the release: dialogs in parts end in a letter.
DIALOGS = ["Ses03M_impro05a", "Ses03M_impro05", "Ses05M_script01_1b"]


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("gender", "FM")
@pytest.mark.parametrize("dialog", DIALOGS)
def test_the_speaker_is_the_one_in_the_name_of_the_turn(tmp_path, copy, gender, dialog):
    folder = tmp_path / "Session" / "dialog" / "EmoEvaluation"
    folder.mkdir(parents=True)
    line = f"[6.2901 - 8.2357]\t{dialog}_{gender}000\tneu\t[2.5, 2.5, 2.5]\n"
    (folder / f"{dialog}.txt").write_text(line, encoding="utf-8")

    spec = importlib.util.spec_from_file_location("prepare", RECIPE / copy)
    prepare = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(prepare)

    ((_, label, speaker),) = prepare.load_session(str(tmp_path / "Session"))
    assert (label, speaker) == ("neu", gender)
