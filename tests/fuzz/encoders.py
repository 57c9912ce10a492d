"""Encoders in Hugging Face format that are damaged: refused, naming what is wrong."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from hypothesis import strategies as st

from fuzz.case import OK, USER_ERROR, Case, Common, draw
from fuzz.common import REPOSITORY

_NUMBERS = st.one_of(
    st.none(), st.integers(-2, 3), st.floats(), st.just([]), st.just("x"), st.just({})
)
CONFIG, WEIGHTS = "config.json", "model.safetensors"
_SOURCE = REPOSITORY / "pretrained" / "hubert_tiny"
_OF_ECAPA = ("--stem_channels", "--ecapa", "--embedding_size")


def cases(common: Common, n: int, seed: int) -> Iterator[Case]:
    """What is written down, then at least 6 that are drawn."""
    given = [*_files(common), *_weights(common)]
    yield from given
    keys = sorted(json.loads(_SOURCE.joinpath(CONFIG).read_text()))
    changes = st.tuples(st.sampled_from(keys), _NUMBERS)
    for key, value in draw(changes, max(6, n - len(given)), seed):

        def spoil(encoder: Path, key=key, value=value) -> None:
            config = json.loads((encoder / CONFIG).read_text())
            (encoder / CONFIG).write_text(json.dumps({**config, key: value}))

        yield _case(common, f"{CONFIG} with {key}: {value!r}", spoil, {OK, USER_ERROR})


def _case(
    common: Common, title: str, spoil: Callable[[Path], None], codes: set[int]
) -> Case:
    """Fine-tune a copy of the encoder for an epoch."""

    def prepare(folder: Path) -> list:
        shutil.copytree(_SOURCE, folder / "encoder")
        spoil(folder / "encoder")
        options = ("--hubert_source=encoder",)
        command = common.train(*options, experiment="hubert_finetune")
        return [o for o in command if not str(o).startswith(_OF_ECAPA)]

    return Case(title, prepare, codes)


def _files(common: Common) -> Iterator[Case]:
    def config(text: str) -> Callable[[Path], object]:
        return lambda encoder: (encoder / CONFIG).write_text(text)

    spoilers = {
        "as it is": (lambda encoder: None, {OK}),
        "without config.json": (lambda e: (e / CONFIG).unlink(), {USER_ERROR}),
        "without weights": (lambda e: (e / WEIGHTS).unlink(), {USER_ERROR}),
        "an empty folder": (lambda e: [p.unlink() for p in e.iterdir()], {USER_ERROR}),
        "weights of no byte": (lambda e: (e / WEIGHTS).write_bytes(b""), {USER_ERROR}),
        "config.json is {}": (config("{}"), {USER_ERROR}),
        "config.json is []": (config("[]"), {USER_ERROR}),
        "config.json is no JSON": (config("{"), {USER_ERROR}),
        "code of its own": (
            config(json.dumps({"auto_map": {"AutoModel": "evil--x.Model"}})),
            {USER_ERROR},
        ),
    }
    for title, (spoil, codes) in spoilers.items():
        yield _case(common, f"an encoder: {title}", spoil, codes)


def _weights(common: Common) -> Iterator[Case]:
    changes = {
        "one missing": lambda w, k: {n: v for n, v in w.items() if n != k},
        "one NaN": lambda w, k: {**w, k: w[k] * float("nan")},
        "integers": lambda w, k: {**w, k: w[k].long()},
        "another shape": lambda w, k: {**w, k: w[k][:1].clone()},
        "one more": lambda w, k: {**w, "encoder.more": w[k].clone()},
    }
    for title, change in changes.items():

        def spoil(encoder: Path, change=change) -> None:
            from safetensors.torch import load_file, save_file

            weights = load_file(encoder / WEIGHTS)
            key = next(k for k in sorted(weights) if k.endswith("k_proj.weight"))
            save_file(change(weights, key), encoder / WEIGHTS, {"format": "pt"})

        yield _case(common, f"an encoder's weights: {title}", spoil, {USER_ERROR})
