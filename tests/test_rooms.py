"""The rooms of ser_lib: what a package exports is what others import of it.

The order of the rooms is a contract in pyproject.toml, which tests/run.sh checks.
"""

import ast
from importlib import import_module
from pathlib import Path

import pytest

SER_LIB = Path(__file__).resolve().parents[1] / "ser_lib"
ROOMS = sorted(path.parent.name for path in SER_LIB.glob("*/__init__.py"))
# Their modules are imported by name: utils belongs to no step; pretraining trains the
# networks behind the upstreams; an ONNX graph copies one of them.
BY_NAME = {("*", "utils"), ("pretraining", "upstreams"), ("export", "upstreams")}


def room_of(module: str) -> str:
    return (module.split(".") + [""])[1]


def imports_of(path: Path) -> list[str]:
    """The modules of ser_lib that a file imports from."""
    tree = ast.parse(path.read_text())
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return [n.module for n in nodes if n.module and n.module.startswith("ser_lib.")]


def test_there_are_at_most_a_dozen_modules_above_the_rooms():
    assert 1 <= len(list(SER_LIB.glob("*.py"))) <= 12
    assert {"audio", "corpora", "evaluation", "training", "upstreams"} <= {*ROOMS}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_of_another_what_that_exports(room):
    for path in (SER_LIB / room).rglob("*.py"):
        for module in imports_of(path):
            other = room_of(module)
            is_inside = other == room or other not in ROOMS
            if is_inside or {("*", other), (room, other)} & BY_NAME:
                continue
            assert module == f"ser_lib.{other}", f"{path} imports {module}"


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "utils"])
def test_every_export_can_be_imported(room):
    package = import_module(f"ser_lib.{room}")
    assert package.__doc__
    for name in getattr(package, "__all__", []):
        assert getattr(package, name) is not None
