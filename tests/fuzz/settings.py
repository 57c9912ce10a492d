"""Settings: values of the wrong kind or out of range, and files that are none."""

import json
from collections.abc import Iterator
from pathlib import Path

from hypothesis import strategies as st

from fuzz.case import OK, USER_ERROR, Case, Common, draw

# Each number of base.yaml, and what is just outside of its range.
_NUMBERS = {
    "batch_size": ("0", "-3", "1.5"),
    "max_batch_s": ("0", "-1"),
    "crop_s": ("0", "-1"),
    "trim_silence_db": ("-.inf",),
    "frozen_cache_gb": ("-1",),
    "num_workers": ("-1", "0.5"),
    "number_of_epochs": ("0", "-1", "1.5"),
    "patience": ("-1",),
    "lr_upstream": ("-1",),
    "lr_downstream": ("-1",),
    "warmup_fraction": ("-0.1", "1.5"),
    "final_lr_fraction": ("-0.1",),
    "label_smoothing": ("-0.1", "1.5"),
    "averaged_checkpoints": ("0", "-1", "1.5"),
    "kept_checkpoints": ("0", "-1"),
    "average_after": ("-0.1", "1.5"),
    "sample_rate_hz": ("0", "-1"),
    "n_folds": ("0", "-1", "1.5"),
    "n_mels": ("0", "-1"),
    "fbank_hop_ms": ("0", "-1"),
    "fbank_window_ms": ("0", "-1"),
    "embedding_size": ("0", "-1"),
    "stem_channels": ("-1",),
    "ecapa_attention_channels": ("0", "-1"),
}
_NO_NUMBERS = ("abc", "[1, 2]", "{a: 1}", "true", ".nan", ".inf", "1 2", "0x", "''")
_SWITCHES = ("prepare_only", "show_hparams", "keep_audio_in_memory", "list_errors")
_NO_SWITCHES = ("2", "maybe", "[]", "{}", ".nan")
_TEXTS = ("experiment", "results_folder", "output_folder", "cache_folder", "folds")
_MORE_TEXTS = (
    "note",
    "tensorboard",
    "export_to",
    "labels",
    "fold_by",
    "corpus",
    "seed",
)
_ODD_VALUES = (
    "''", "null", "[]", "{}", "0", "-1", ".nan", "[[[[]]]]", "{a: {b: c}}", "1e999",
    "99999999999999999999999999", "../../x", "a/b", "x" * 300, "'a\\0b'", "~", "<seed>",
    "!ref <nothing>", "!ref <seed>", "!apply:os.getcwd []", "!new:torch.nn.ReLU",
    "!new:no.such.Class", "!name:os.getcwd", "!nothing a", "!!python/object:os.x {}",
    "*a", "&a [*a]", "[", "{", "'", "\t", "a: b: c", "😡", "- a", "? a", "%", "@", "!!",
    "!apply:time.nothing", "!apply:os.path.join 1", "!tuple (1", "!copy <seed>",
    "'<seed> ** 9'", "/dev/full/x", "/proc/nothing",
)  # fmt: skip
_VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=5), inner, max_size=3),
    ),
    max_leaves=6,
)
_BLOCKS = st.sampled_from(
    ["corpus", "labels", "finetuned", "paper", "folds", "wav_augment", "frame_augment"]
    + ["optimizer", "model", "branches", "read_corpus", "make_folds", "speeds_percent"]
)
_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n"
    for a, b in zip("abcdefghijkl", "bcdefghijklm", strict=True)
)


def cases(common: Common, n: int, seed: int) -> Iterator[Case]:
    """What is written down, then at least 40 that are drawn."""
    given = [*_out_of_range(common), *_files(common), *_ways_out(common)]
    yield from given
    n_drawn = max(40, n - len(given))
    numbers = st.tuples(st.sampled_from(sorted(_NUMBERS)), st.sampled_from(_NO_NUMBERS))
    switches = st.tuples(st.sampled_from(_SWITCHES), st.sampled_from(_NO_SWITCHES))
    for key, value in draw(numbers | switches, n_drawn // 2, seed):
        yield _given(common, key, value, {USER_ERROR})
    texts = st.tuples(
        st.sampled_from(_TEXTS + _MORE_TEXTS), st.sampled_from(_ODD_VALUES)
    )
    for key, value in draw(texts, n_drawn // 4, seed):
        yield _prepared(common, key, value)
    blocks = st.tuples(_BLOCKS, _VALUES)
    for key, value in draw(blocks, n_drawn - n_drawn // 2 - n_drawn // 4, seed):
        yield _prepared(common, key, json.dumps(value))


def _given(common: Common, key: str, value: str, codes: set[int]) -> Case:
    """Train with one setting changed."""
    option = f"--{key}={value}"
    return Case(option, lambda folder: common.train(option), codes)


def _prepared(common: Common, key: str, value: str) -> Case:
    """Prepare with one setting changed; it may be one that makes sense."""
    option = f"--{key}={value}"
    return Case(
        f"{option} --prepare_only=True",
        lambda folder: common.train(option, "--prepare_only=True"),
        {OK, USER_ERROR},
    )


def _out_of_range(common: Common) -> Iterator[Case]:
    for key, values in _NUMBERS.items():
        for value in values:
            yield _given(common, key, value, {USER_ERROR})
    for key, value in {
        "no_such_setting": "1",
        "number_of_epoch": "1",
        "folds": "7",
        "labels": "[sad]",
        "fold_by": "day",
        "corpus": "{no_such_fact: 1}",
        "read_corpus": "null",
        "model": "null",
        "upstream": "!new:no.such.Class",
        "aggregator": "!name:os.path.nothing",
        "optimizer": "!name:torch.optim.AdamW {no_such_argument: 1}",
        "device": "no_such_device",
        "precision": "fp7",
        "csv": "nothing.csv",
    }.items():
        yield _given(common, key, value, {USER_ERROR})


def _ways_out(common: Common) -> Iterator[Case]:
    """Nothing is written outside of the folder that results are to be in."""
    for name in ("../../x", "..", "/tmp/../x", "a/../../../x", ".", "a\0b"):
        option = f"--experiment={json.dumps(name)}"
        yield Case(
            option,
            lambda folder, option=option: common.train(option, "--prepare_only=True"),
            {USER_ERROR},
        )


def _files(common: Common) -> Iterator[Case]:
    """Settings files; their user wrote them, so they may build objects."""
    good = f"extends: {common.recipes}/Custom/hparams/fbank_ecapa.yaml\n"
    files = {
        "no byte": (b"", {USER_ERROR}),
        "a sound file": (good, {OK}),
        "a byte order mark": ("\ufeff" + good, {OK, USER_ERROR}),
        "random bytes": (bytes(range(256)), {USER_ERROR}),
        "UTF-16": (good.encode("utf-16"), {USER_ERROR}),
        "a list": ("- a\n- b\n", {USER_ERROR}),
        "a word": ("word", {USER_ERROR}),
        "an open bracket": (good + "note: [", {USER_ERROR}),
        "tabs": (good + "note:\n\t- a", {USER_ERROR}),
        "two documents": (good + "---\n" + good, {USER_ERROR}),
        "a key twice": (good + "seed: 1\nseed: 2\n", {USER_ERROR}),
        "a key that is a list": (good + "? [a]\n: 1\n", {USER_ERROR}),
        "a misspelt key": (good + "number_of_epoch: 1\n", {USER_ERROR}),
        "itself extended": ("extends: my.yaml\n", {USER_ERROR}),
        "nothing extended": ("extends: nothing.yaml\n", {USER_ERROR}),
        "a folder extended": ("extends: .\n", {USER_ERROR}),
        "numbers extended": ("extends: [1, 2]\n", {USER_ERROR}),
        "an empty list extended": ("extends: []\n", {USER_ERROR}),
        "a map extended": ("extends: {a: b}\n", {USER_ERROR}),
        "an unknown reference": (good + "note: !ref <nothing>\n", {USER_ERROR}),
        "a reference to itself": (good + "note: !ref <note>\n", {USER_ERROR}),
        "references in a circle": (
            good + "note: !ref <paper>\npaper: !ref <note>\n",
            {USER_ERROR},
        ),
        "an unknown anchor": (good + "note: *nothing\n", {USER_ERROR}),
        "an unknown class": (good + "model: !new:a.b.C\n", {OK, USER_ERROR}),
        "an unknown tag": (good + "note: !nothing a\n", {OK, USER_ERROR}),
        "a Python object": (good + "note: !!python/name:os.x\n", {OK, USER_ERROR}),
        "an object in a note": (good + "note: !new:torch.nn.ReLU\n", {OK, USER_ERROR}),
        "aliases that explode": (_BOMB, {USER_ERROR}),
        "aliases that explode in a note": (
            good + "note:\n  " + _BOMB.replace("\n", "\n  ").rstrip() + "\n",
            {USER_ERROR},
        ),
        "lists 10,000 deep": (
            good + "note: " + "[" * 10_000 + "]" * 10_000,
            {USER_ERROR},
        ),
        "a class for a number": (
            good + "batch_size: !new:torch.nn.ReLU\n",
            {OK, USER_ERROR},
        ),
    }
    for title, (content, codes) in files.items():
        yield Case(f"a settings file: {title}", _writer(common, content), codes)


def _writer(common: Common, content: str | bytes):
    def prepare(folder: Path) -> list:
        path = folder / "my.yaml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        script, _, *options = common.train("--prepare_only=True")
        return [script, path, *options]

    return prepare
