"""Model folders from strangers: loaded as exported or refused; nothing of them runs."""

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from hypothesis import strategies as st

from fuzz.case import CANARY, OK, USER_ERROR, Case, Common, draw
from fuzz.json_trees import mutated
from fuzz.rows import sound_rows

MODEL_INFO, WEIGHTS, YAML = "model.json", "fold_1.safetensors", "hyperparams.yaml"
_ATTACKS = (
    "!new:os.system", "!apply:os.system", "os.system", "posix.system", "builtins.eval",
    "<model.__init__>", "<first.cuda>", "<b.__globals__>", "<one> ** 9 ** 9 ** 9",
    "../../../../etc/passwd", "/dev/zero", "/proc/self/mem", "attacker/kernel",
    "torch.hub.load", "torch.load", "subprocess.Popen", "__builtins__", "__class__",
    "ser_lib.predict.main", "ser_lib.upstreams.HuggingFaceUpstream", "EmotionModel",
    "speechbrain.utils.fetching.fetch", "fold_1", "fold_999", "", "\0", "NaN",
    "x" * 9999, "ser_lib.export.export_run", "ser_lib.utils.download.download",
    "logging.config.dictConfig",
)  # fmt: skip
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 2**31, 2**63, 10**400, 1e308, -1e-308]),
    st.floats(),
    st.text(max_size=9),
    st.sampled_from(_ATTACKS),
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=9), inner, max_size=3),
    ),
    max_leaves=5,
)
# A share of all places of the tree, what is done there, and with what.
_MUTATIONS = st.lists(
    st.tuples(
        st.floats(0, 1), st.sampled_from(["replace", "remove", "add", "wrap"]), _VALUES
    ),
    min_size=1,
    max_size=3,
)


def cases(common: Common, n: int, seed: int) -> Iterator[Case]:
    """What is written down, then at least 30 that are drawn."""
    given = [*_files(common), *_weights(common), *_descriptions(common)]
    yield from given
    for mutations in draw(_MUTATIONS, max(30, n - len(given)), seed):

        def spoil(model: Path, mutations=mutations) -> None:
            info = json.loads((model / MODEL_INFO).read_text())
            for place, what, value in mutations:
                info = mutated(info, place, what, value)
            (model / MODEL_INFO).write_text(json.dumps(info))

        yield _case(common, f"model.json {mutations}", spoil, {0, 1, 2})


def _case(
    common: Common, title: str, spoil: Callable[[Path], None], codes: set[int]
) -> Case:
    """Predict with a copy of the model folder that ``spoil`` has changed."""

    def prepare(folder: Path) -> list:
        shutil.copytree(common.model, folder / "model")
        spoil(folder / "model")
        return ["ser_lib.predict", "model", common.wav]

    def check(folder: Path, outcome) -> str:
        return "" if outcome.code == USER_ERROR else sound_rows(folder, outcome)

    return Case(title, prepare, codes, check)


def _reseal(model: Path) -> None:
    """Put the checksums of what is there into model.json, as an attacker would."""
    info = json.loads((model / MODEL_INFO).read_text())
    for name, member in info["members"].items():
        data = (model / f"{name}.safetensors").read_bytes()
        member["sha256"] = hashlib.sha256(data).hexdigest()
    if "hyperparams_sha256" in info and (model / YAML).is_file():
        data = (model / YAML).read_bytes()
        info["hyperparams_sha256"] = hashlib.sha256(data).hexdigest()
    (model / MODEL_INFO).write_text(json.dumps(info))


def _files(common: Common) -> Iterator[Case]:
    """Files that are missing, or of another kind."""
    for name in (MODEL_INFO, WEIGHTS):
        makers = {
            "missing": lambda path: None,
            "no byte": lambda path: path.touch(),
            "a folder": lambda path: path.mkdir(),
            "a link to itself": lambda path: path.symlink_to(path.name),
            "a link to memory": lambda path: path.symlink_to("/proc/self/mem"),
            "random bytes": lambda path: path.write_bytes(bytes(range(256)) * 99),
            "a pickle": _write_pickle,
        }
        for title, make in makers.items():

            def spoil(model: Path, name=name, make=make) -> None:
                (model / name).unlink()
                make(model / name)

            yield _case(common, f"{name}: {title}", spoil, {USER_ERROR})

    texts = {
        "no object": "[]",
        "a number": "1",
        "an empty object": "{}",
        "objects 100,000 deep": '{"a":' * 100_000 + "1" + "}" * 100_000,
        "lists 100,000 deep": "[" * 100_000 + "]" * 100_000,
        "a number of 10,000 digits": '{"format": ' + "9" * 10_000 + "}",
        "a byte order mark": "\ufeff{}",
        "keys twice": '{"format": 1, "format": 2}',
    }
    for title, text in texts.items():

        def spoil_model_json(model: Path, text=text) -> None:
            (model / MODEL_INFO).write_text(text)

        yield _case(common, f"{MODEL_INFO}: {title}", spoil_model_json, {USER_ERROR})


class _Attack:
    """Writes the canary when it is unpickled."""

    def __reduce__(self):
        return open, (CANARY, "w")


def _write_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(_Attack()))


def _weights(common: Common) -> Iterator[Case]:
    """Weights that were changed and sealed again."""
    changes = {
        "one NaN": lambda w: {**w, _first(w): w[_first(w)] * float("nan")},
        "infinity": lambda w: {**w, _first(w): w[_first(w)] + float("inf")},
        "one missing": lambda w: {k: v for k, v in w.items() if k != _first(w)},
        "one more": lambda w: {**w, "more": next(iter(w.values())).clone()},
        "none": lambda w: {},
        "another shape": lambda w: {**w, _first(w): w[_first(w)][:1].clone()},
        "integers": lambda w: {**w, _first(w): w[_first(w)].long()},
        "switches": lambda w: {**w, _first(w): w[_first(w)] > 0},
        "complex": lambda w: {**w, _first(w): w[_first(w)].to(dtype=_complex())},
        "other names": lambda w: {f"x.{key}": value for key, value in w.items()},
    }
    for title, change in changes.items():

        def spoil(model: Path, change=change) -> None:
            from safetensors import safe_open
            from safetensors.torch import load_file, save_file

            path = model / WEIGHTS
            with safe_open(path, "pt") as f:
                metadata = f.metadata()
            weights = load_file(path)
            path.unlink()
            save_file(change(weights), path, metadata)
            _reseal(model)

        yield _case(common, f"weights: {title}", spoil, {USER_ERROR})
    yield from _weight_files(common)


def _complex():
    import torch

    return torch.complex64


def _first(weights: dict) -> str:
    """The name of the first weight of several floats."""
    return next(k for k in sorted(weights) if weights[k].is_floating_point())


def _weight_files(common: Common) -> Iterator[Case]:
    """Files of weights that are none, and sealed."""

    def header(length: int, text: bytes = b"") -> Callable[[bytes], bytes]:
        return lambda data: length.to_bytes(8, "little") + text

    def entry(**changes: object) -> Callable[[bytes], bytes]:
        given = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **changes}
        text = json.dumps({"a": given}).encode()
        return header(len(text), text + bytes(4))

    def without_repeated(data: bytes) -> bytes:
        n = int.from_bytes(data[:8], "little")
        head = json.loads(data[8 : 8 + n])
        head.pop("__metadata__")
        text = json.dumps(head).encode()
        return len(text).to_bytes(8, "little") + text + data[8 + n :]

    changes = {
        "a header of 2 ** 60 bytes": header(2**60),
        "a header of 2 ** 64 - 1 bytes": header(2**64 - 1),
        "a header of no byte": header(0),
        "a header that is no JSON": header(4, b"{{{{"),
        "a header 50,000 deep": header(100_000, b"[" * 50_000 + b"]" * 50_000),
        "a shape of 2 ** 60": entry(shape=[2**60]),
        "a negative shape": entry(shape=[-1]),
        "offsets far out": entry(data_offsets=[2**40, 2**41]),
        "offsets that cross": entry(data_offsets=[4, 0]),
        "an unknown dtype": entry(dtype="F7"),
        "cut off": lambda data: data[: len(data) // 2],
        "bytes behind the end": lambda data: data + b"more",
        "no model info": without_repeated,
        "zeros": lambda data: bytes(len(data)),
    }
    for title, change in changes.items():

        def spoil(model: Path, change=change) -> None:
            path = model / WEIGHTS
            data = path.read_bytes()
            path.unlink()
            path.write_bytes(change(data))
            _reseal(model)

        yield _case(common, f"weights: {title}", spoil, {USER_ERROR})


def _descriptions(common: Common) -> Iterator[Case]:
    """What builds the network: attacks on it may be refused or not be read at all."""
    touch = f"touch {CANARY}"
    lines = {
        "a call": f"x: !apply:os.system ['{touch}']",
        "an object": f"x: !new:subprocess.Popen [[touch, {CANARY}]]",
        "a module": "x: !module:os",
        "Python": f"x: !!python/object/apply:os.system ['{touch}']",
        "attributes": 'a: "<model.__init__>"\nb: "<a.__globals__>"\nc: "<b.os.getcwd>"',
        "a reference with attributes": "x: !ref <model.__class__.__init__.__globals__>",
        "a method": 'x: "<model.cuda>"\ny: "<model.train>"',
        "a power": "one: 9\nx: !ref <one> ** 9 ** 9 ** 9",
        "a power in a string": 'one: 9\nx: "<one> ** 9 ** 9 ** 9"',
        "a kernel": "x: {_attn_implementation: attacker/kernel}",
        "aliases that explode": "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "\n".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in _PAIRS),
        "lists 10,000 deep": "x: " + "[" * 10_000 + "]" * 10_000,
        "a loop": "x: &x [*x]",
        "an include": "x: !include:/etc/passwd",
        "a name": "x: !name:os.system",
        "a list of classes": "x: !applyref:os.system ['touch canary']",
        "no YAML": "x: [",
    }
    for title, text in lines.items():

        def spoil(model: Path, text=text) -> None:
            path = model / YAML
            path.write_text(f"{path.read_text()}\n{text}\n")
            _reseal(model)

        yield _case(common, f"{YAML}: {title}", spoil, {OK, USER_ERROR})
    for attack in _ATTACKS:
        yield _case(
            common, f"every text is {attack[:50]!r}", _texts_to(attack), {0, 1, 2}
        )
    yield _case(common, f"{YAML} is missing", _without_yaml, {OK, USER_ERROR})


_PAIRS = list(zip("abcdefghijk", "bcdefghijkl", strict=True))


def _without_yaml(model: Path) -> None:
    (model / YAML).unlink()


def _texts_to(attack: str) -> Callable[[Path], None]:
    """Replace each text below the first level of model.json, and seal it."""

    def replaced(node: object, depth: int = 0) -> object:
        if isinstance(node, dict):
            return {key: replaced(value, depth + 1) for key, value in node.items()}
        if isinstance(node, list):
            return [replaced(value, depth + 1) for value in node]
        return attack if isinstance(node, str) and depth > 1 else node

    def spoil(model: Path) -> None:
        info = json.loads((model / MODEL_INFO).read_text())
        info = {k: v if k == "labels" else replaced(v, 1) for k, v in info.items()}
        (model / MODEL_INFO).write_text(json.dumps(info))
        _reseal(model)

    return spoil
