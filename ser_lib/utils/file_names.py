"""File names as text: Linux allows any bytes in them except a slash and NUL."""

import hashlib
import os
import re

# The surrogates that Python decodes invalid UTF-8 to, and text that looks like an
# escaped surrogate.
_TO_ESCAPE = re.compile(r"[\ud800-\udfff]|\\ud[89a-f][0-9a-f]{2}")
# File systems allow 255 bytes; this leaves room for a suffix.
_MAX_BYTES = 235


def printable(text: str) -> str:
    r"""Escape characters that cannot be encoded in UTF-8.

    Different texts stay different.

    Example
    -------
    >>> print(printable("\udcff.wav"))
    \udcff.wav
    """
    if not _TO_ESCAPE.search(text):
        return text
    escaped = text.replace("\\", "\\\\").encode("utf-8", "backslashreplace")
    return escaped.decode("utf-8")


def on_one_line(text: str) -> str:
    r"""Escape line breaks and other control characters; letters of all scripts stay.

    Example
    -------
    >>> print(on_one_line("Größe\r\n.wav"))
    Größe\r\n.wav
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def shortened(name: str) -> str:
    """Shorten a file name that leaves no room for a suffix.

    A shortened name ends with a checksum of the whole, so different names stay
    different.

    Example
    -------
    >>> shortened("a.wav"), len(shortened("a" * 254))
    ('a.wav', 235)
    """
    encoded = os.fsencode(name)
    if len(encoded) <= _MAX_BYTES:
        return name
    checksum = hashlib.sha256(encoded).hexdigest()[:8]
    start = encoded[: _MAX_BYTES - 9].decode("utf-8", "ignore")
    return f"{start}~{checksum}"
