"""JSON from an untrusted source, read in bounded time.

Python's reader accepts duplicate keys, NaN and numbers of any size. These functions
refuse them, and files that are too long or too deeply nested.
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
MAX_CHARACTERS = 200
MAX_NUMBER = 16_384


def read_json(path: str | Path) -> Any:
    """Read a JSON file of up to ``MAX_BYTES``.

    Raises
    ------
    ValueError
        If it is larger, or as in :func:`parse_json`.
    """
    with named_in_errors(path), open(path, "rb") as f:
        content = f.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path} is damaged: it has more than {MAX_BYTES} bytes.")
    return parse_json(content, path)


def parse_json(text: str | bytes, name: str | Path) -> Any:
    """Parse JSON text.

    Arguments
    ---------
    text : str | bytes
        Bytes are decoded as UTF-8.
    name : str | Path
        Source of the text, for the message.

    Raises
    ------
    ValueError
        If it is not JSON, a mapping has a key twice, a number is not finite, or it is
        nested too deeply.

    Example
    -------
    >>> parse_json('{"seed": 1, "seed": 2}', "model.json")
    Traceback (most recent call last):
    ...
    ValueError: model.json is damaged: it is not valid JSON ('seed' occurs twice).
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
    raise ValueError(f"{name} is damaged: it is not valid JSON ({problem}).")


def check_plain(
    value: Any,
    where: str,
    max_numbers: Mapping[str, float],
    key: str = "it",
    depth: int = MAX_DEPTH,
) -> None:
    """Check that a value is made of plain Python values and is small.

    The limits are the constants of this module.

    Arguments
    ---------
    value : Any
        A tree of mappings, lists, strings, numbers, booleans and None.
    where : str
        What the value describes; the message begins with it.
    max_numbers : Mapping[str, float]
        The largest number under a key, if it is not ``MAX_NUMBER``.
    key : str
        The key of the value.
    depth : int
        Number of levels that it may have.

    Raises
    ------
    ValueError
        If the value holds something else or exceeds a limit.

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
    """Return what was expected instead of a value; empty if the value is fine."""
    if isinstance(value, dict | list):
        is_fine = len(value) <= MAX_ENTRIES and depth > 0
        limit = f"at most {MAX_ENTRIES} entries and {MAX_DEPTH} levels"
        return "" if is_fine else limit
    if isinstance(value, str):
        is_fine = len(value) <= MAX_CHARACTERS
        return "" if is_fine else f"at most {MAX_CHARACTERS} characters"
    if isinstance(value, int | float):  # NaN is not below any limit
        return "" if abs(value) <= max_number else f"up to {max_number}"
    return "" if value is None else "a plain value"


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        ((key, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"{key[:MAX_CHARACTERS]!r} occurs twice")
    return content


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is not a finite number")
    return number
