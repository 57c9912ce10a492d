"""Players for recordings: linked, or inside the page."""

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

LINK, EMBED, NONE = CHOICES = "link", "embed", "none"
_TYPES = {".wav": "wav", ".flac": "flac", ".mp3": "mpeg", ".ogg": "ogg", ".opus": "ogg"}


class Players:
    """Makes a player for each recording of a page.

    Arguments
    ---------
    choice : str
        ``link``, relative to the page; ``embed``, inside the page; or ``none``.
    data_folder : Path
        What the paths of the recordings are relative to.
    page : Path
        The file of the page.
    most_bytes : int
        Embedded recordings have at most this size together; the others have no player.
    """

    def __init__(
        self, choice: str, data_folder: Path, page: Path, most_bytes: int
    ) -> None:
        self.choice, self.data_folder, self.page = choice, data_folder, page
        self._left = most_bytes
        self.counts = dict.fromkeys(("played", "missing", "too much"), 0)

    def player(self, path: str) -> Markup:
        """Return the player of a recording, or why there is none."""
        file = self.data_folder / path
        if not file.is_file():
            return self._count("missing", Markup('<span class="none">no file</span>'))
        if self.choice == LINK:
            relative = os.path.relpath(file.resolve(), self.page.resolve().parent)
            return self._count("played", _audio(quote(Path(relative).as_posix())))
        size = file.stat().st_size
        if size > self._left:
            return self._count("too much", Markup('<span class="none">left out</span>'))
        self._left -= size
        kind = _TYPES.get(file.suffix.lower(), "*")
        data = base64.b64encode(file.read_bytes()).decode("ascii")
        return self._count("played", _audio(f"data:audio/{kind};base64,{data}"))

    def _count(self, what: str, markup: Markup) -> Markup:
        self.counts[what] += 1
        return markup

    @property
    def sentence(self) -> str:
        """Say what can be played."""
        told: Mapping[str, str] = {
            "played": "can be played"
            + (
                " as long as the recordings stay where they are"
                if self.choice == LINK
                else ", since they are inside this file"
            ),
            "missing": f"are not in {self.data_folder}",
            "too much": "were left out to keep this file small",
        }
        counts = {what: n for what, n in self.counts.items() if n}
        return "; ".join(f"{n} {told[what]}" for what, n in counts.items())


def _audio(source: str) -> Markup:
    return Markup('<audio controls preload="none" src="{}"></audio>').format(source)
