"""Digests: short names for content, which identify results that can be reused."""

import hashlib
import json
from typing import Any


def digest(content: Any) -> str:
    """Hash a JSON-serializable tree of values.

    Returns
    -------
    str
        12 hexadecimal digits of SHA-256; the order of mappings does not matter.

    Example
    -------
    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
