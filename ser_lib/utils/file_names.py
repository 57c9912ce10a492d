"""Names of files as text: Linux allows any bytes in them but a slash and NUL."""

import hashlib
import os
import re

# What Python makes of bytes that are not UTF-8, and what looks like that escaped.
_TO_ESCAPE = re.compile(r"[\ud800-\udfff]|\\ud[89a-f][0-9a-f]{2}")
# File systems allow 255 bytes; this leaves room for a suffix.
_MOST_BYTES = 235


def printable(text: str) -> str:
    r"""Escape what no file in UTF-8 can hold.

    Arguments
    ---------
    text : str
        A name, or a message that holds it.

    Returns
    -------
    str
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
    r"""Escape line breaks and what else a terminal would act on.

    Arguments
    ---------
    text : str
        A message that may hold the name of a file.

    Returns
    -------
    str
        Letters of all scripts stay.

    Example
    -------
    >>> print(on_one_line("Größe\r\n.wav"))
    Größe\r\n.wav
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def shortened(name: str) -> str:
    """Cut a name that leaves no room for a suffix.

    Arguments
    ---------
    name : str
        The name of a file, without folders.

    Returns
    -------
    str
        A cut name ends with a checksum of the whole, so different names stay different.

    Example
    -------
    >>> shortened("a.wav"), len(shortened("a" * 254))
    ('a.wav', 235)
    """
    encoded = os.fsencode(name)
    if len(encoded) <= _MOST_BYTES:
        return name
    checksum = hashlib.sha256(encoded).hexdigest()[:8]
    start = encoded[: _MOST_BYTES - 9].decode("utf-8", "ignore")
    return f"{start}~{checksum}"
