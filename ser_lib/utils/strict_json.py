"""JSON from a stranger: read in bounded time, and without surprises.

Python's reader takes a key twice, NaN and numbers of any size. Here each is refused,
and so is a text that is too long or nested too deeply.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ser_lib.utils.files import named_in_errors

MAX_BYTES = 1_000_000
MAX_DEPTH = 10
MAX_ENTRIES = 128
MAX_LETTERS = 200
MAX_NUMBER = 16_384


def read_json(path: str | Path) -> Any:
    """Read a file.

    Arguments
    ---------
    path : str | Path
        A JSON file of up to ``MAX_BYTES``.

    Returns
    -------
    Any
        Its content.

    Raises
    ------
    ValueError
        If it is larger, or as for :func:`parse_json`.
    """
    with named_in_errors(path), open(path, "rb") as f:
        content = f.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path} is damaged: it has more than {MAX_BYTES} bytes.")
    return parse_json(content, path)


def parse_json(text: str | bytes, name: str | Path) -> Any:
    """Parse a text.

    Arguments
    ---------
    text : str | bytes
        JSON; bytes are UTF-8.
    name : str | Path
        Where it stands, for the message.

    Returns
    -------
    Any
        Plain Python values.

    Raises
    ------
    ValueError
        If it is not JSON, a key stands twice in a mapping, a number is not finite, or
        it is nested too deeply.

    Example
    -------
    >>> parse_json('{"seed": 1, "seed": 2}', "model.json")
    Traceback (most recent call last):
    ...
    ValueError: model.json is damaged, it is not JSON as expected: 'seed' stands twice
    """
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        return json.loads(
            text,
            object_pairs_hook=_unique,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except ValueError as error:
        problem = error
    except RecursionError:
        problem = "it is nested too deeply"
    raise ValueError(f"{name} is damaged, it is not JSON as expected: {problem}")


def check_plain(
    value: Any,
    where: str,
    max_numbers: Mapping[str, float],
    key: str = "it",
    depth: int = MAX_DEPTH,
) -> None:
    """Check that a value is plain and small.

    Arguments
    ---------
    value : Any
        A tree of mappings, lists, words, numbers, truth values and None.
    where : str
        What it describes, for the message.
    max_numbers : Mapping[str, float]
        The largest number under a key, where that is not ``MAX_NUMBER``.
    key : str
        What the value stands under.
    depth : int
        Levels that it may have.

    Raises
    ------
    ValueError
        If something else is in it, or one of the limits at the head of this file is
        passed.

    Example
    -------
    >>> check_plain({"n_mels": 80, "channels": [8, 1e9]}, "The network", {})
    Traceback (most recent call last):
    ...
    ValueError: The network is not described as expected: channels is 1000000000.0. \
Expected up to 16384.
    """
    expected = _expectation(value, depth, max_numbers.get(key, MAX_NUMBER))
    if expected:
        raise ValueError(
            f"{where} is not described as expected: {key} is {str(value)[:20]}. "
            f"Expected {expected}."
        )
    if isinstance(value, dict):
        for name, part in value.items():
            check_plain(name, where, max_numbers, "a name", depth)
            check_plain(part, where, max_numbers, name, depth - 1)
    elif isinstance(value, list):
        for part in value:
            check_plain(part, where, max_numbers, key, depth - 1)


def _expectation(value: Any, depth: int, max_number: float) -> str:
    """Say what was expected in place of a value; nothing if it is fine."""
    if isinstance(value, dict | list):
        is_fine = len(value) <= MAX_ENTRIES and depth > 0
        return "" if is_fine else f"{MAX_ENTRIES} entries, {MAX_DEPTH} levels at most"
    if isinstance(value, str):
        return "" if len(value) <= MAX_LETTERS else f"{MAX_LETTERS} letters at most"
    if isinstance(value, int | float):  # NaN is not below any limit
        return "" if abs(value) <= max_number else f"up to {max_number}"
    return "" if value is None else "a plain value"


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"{twice[:MAX_LETTERS]!r} stands twice")
    return content


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is not a finite number")
    return number
