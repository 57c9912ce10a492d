"""Only what a command needs is imported, and every upstream is found by its name."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from model_folders import write_folder
from stub_recognizer import write_wave
from torch import nn

from ser_lib import upstreams
from ser_lib.upstreams.families import FAMILIES

pytestmark = pytest.mark.slow

# Each takes longer to import than the model takes to classify a file.
# PyTorch's compiler, which arithmetic on the device "meta" imports, brings sympy.
NOT_NEEDED = {"matplotlib", "pandas", "sklearn", "sympy", "transformers"}


def modules_after(code: str, *arguments: str | Path) -> set[str]:
    """Name the packages that a new interpreter has imported after some code."""
    code += "\nimport json, sys\nprint(json.dumps(list(sys.modules)), file=sys.stderr)"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}


@pytest.mark.parametrize("options", [[], ["--timeline"]])
def test_predicting_with_a_filter_bank_imports_nothing_that_it_does_not_need(
    tmp_path, options
):
    wav = write_wave(tmp_path / "speech.wav", (2, 0.5))
    model = write_folder(tmp_path / "model")
    code = "import sys; from ser_lib.predict.__main__ import main; main(sys.argv[1:])"
    imported = modules_after(code, model, wav, *options)
    assert {"torch", "speechbrain"} <= imported
    assert not imported & NOT_NEEDED


def test_naming_the_families_imports_none_of_them():
    code = "from ser_lib.upstreams.families import FAMILIES, published_source"
    assert "transformers" not in modules_after(code)


def test_a_family_that_needs_transformers_imports_it():
    code = "from ser_lib.upstreams import HuggingFaceUpstream"
    assert "transformers" in modules_after(code)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_its_class_in_the_package(family):
    upstream = FAMILIES[family].upstream
    assert issubclass(upstream, nn.Module)
    assert upstream.__name__ == FAMILIES[family].class_name
    assert upstream is getattr(upstreams, upstream.__name__)


@pytest.mark.parametrize("name", upstreams.UPSTREAMS)
def test_an_upstream_is_listed_found_and_named_as_in_the_table(name):
    assert name in upstreams.__all__
    assert name in dir(upstreams)
    assert getattr(upstreams, name).__name__ == name
    expected = f"ser_lib.upstreams.{upstreams.UPSTREAMS[name]}"
    assert getattr(upstreams, name).__module__ == expected


def test_a_name_that_is_not_there_is_an_attribute_error():
    assert not hasattr(upstreams, "Wav3VecUpstream")
    with pytest.raises(ImportError, match="Wav3VecUpstream"):
        from ser_lib.upstreams import Wav3VecUpstream  # noqa: F401
