"""What tests check in a Markdown file: prose, links, anchors and code blocks."""

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    """Return the text without front matter and fenced code blocks."""
    return _FENCED.sub("", re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL))


def links(text: str) -> list[str]:
    """Return the targets of relative links and pictures."""
    return re.findall(r"\]\((?!\w+:)([^)\s]+)\)", prose(text))


def anchors(text: str) -> set[str]:
    """Return the anchor that GitHub gives to each heading."""
    found = Counter()
    names = set()
    for heading in re.findall(r"^#+ +(.*)", prose(text), re.MULTILINE):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        anchor = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        names.add(f"{anchor}-{found[anchor]}" if found[anchor] else anchor)
        found[anchor] += 1
    return names


def commands(text: str, start: Path, root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield the folder and the words of each command in the ``bash`` blocks.

    The first ``cd`` of a block starts in ``root``; a block without one continues in the
    folder of the block before it. ``<CORPUS>`` stands for IEMOCAP.
    """
    folder = start
    for language, block in _FENCED.findall(text.replace("<CORPUS>", "IEMOCAP")):
        if language != "bash":
            continue
        base = root
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["cd"]:
                folder = base = base / words[1]
            elif words:
                yield folder, words
