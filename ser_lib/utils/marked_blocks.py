"""Blocks of a README that a command writes, between two lines that mark them."""

from pathlib import Path

from ser_lib.utils.files import atomic_path


def with_block(text: str, begin: str, end: str, block: str, name: str) -> str:
    r"""Return a text with the block between two lines replaced.

    Arguments
    ---------
    begin, end : str
        The lines, without line breaks.
    name : str
        What the text is, for the message.

    Raises
    ------
    ValueError
        If the text does not have each line once, the first before the second.

    Example
    -------
    >>> with_block("a\n<b>\nold\n<e>\n", "<b>", "<e>", "new", "README.md")
    'a\n<b>\n\nnew\n\n<e>\n'
    """
    lines = text.split("\n")
    if lines.count(begin) != 1 or lines.count(end) != 1:
        raise ValueError(
            f"{name} needs the line {begin} and below it {end}, once each."
        )
    first, last = lines.index(begin), lines.index(end)
    if last < first:
        raise ValueError(f"{name} has the line {end} above {begin}; expected it below.")
    return "\n".join([*lines[: first + 1], "", block, "", *lines[last:]])


def write_block(path: Path, begin: str, end: str, block: str) -> None:
    """Replace the block of a file; see :func:`with_block`."""
    text = with_block(path.read_text(encoding="utf-8"), begin, end, block, str(path))
    with atomic_path(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
