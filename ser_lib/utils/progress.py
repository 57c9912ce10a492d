"""Show the progress of long work, in one style: what, how far, and the time left.

Only a terminal shows it: nothing is written if standard error is a file or a pipe.
This is the only module that imports ``tqdm``.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

_STYLE = "{desc}: {percentage:3.0f} %|{bar:24}| {n_fmt}/{total_fmt} {unit}{postfix}, "
_TIMES = "{elapsed} so far, {remaining} left"
_UNKNOWN_TOTAL = "{desc}: {n_fmt} {unit}{postfix}, {elapsed} so far"


class Progress(tqdm):
    """The progress of some work, as a line on a terminal.

    Arguments
    ---------
    what : str
        What is being done.
    total : int | None
        How much there is to do, if this is known.
    unit : str
        What is counted, in the plural; ``B`` for bytes.
    n_before : int
        How much of it has been done before.
    show : bool
        Whether to show it, if there is a terminal.

    Example
    -------
    >>> with Progress("classifying", total=2, unit="files") as progress:
    ...     _ = progress.update()
    """

    def __init__(
        self,
        what: str,
        total: int | None,
        unit: str,
        n_before: int = 0,
        show: bool = True,
    ) -> None:
        is_bytes = unit == "B"
        super().__init__(
            desc=what,
            total=total,
            initial=n_before,
            unit=unit,
            unit_scale=is_bytes,
            ascii=True,
            dynamic_ncols=True,
            mininterval=0.2,
            smoothing=0.1,
            disable=not (show and on_terminal()),
            bar_format=_STYLE + _TIMES if total is not None else _UNKNOWN_TOTAL,
        )

    def start_at(self, n: int) -> None:
        """Say how much was done before, for the estimate of the time left."""
        self.initial = self.n = n
        self.refresh()

    def say(self, line: str) -> None:
        """Write a line to standard error, above the progress."""
        self.write(line, file=sys.stderr)


def on_terminal() -> bool:
    """Return whether standard error is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def no_bars_of_transformers() -> Iterator[None]:
    """Turn off the bars of transformers, which loads weights in a moment."""
    from transformers.utils import logging

    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            logging.enable_progress_bar()


def with_progress(
    items: Iterable[Item], what: str, unit: str, **options: Any
) -> Iterator[Item]:
    """Yield items and show how many have been used; see :class:`Progress`.

    Example
    -------
    >>> sum(with_progress([1, 2, 3], "adding", "numbers"))
    6
    """
    if "total" not in options:
        options["total"] = len(items) if hasattr(items, "__len__") else None
    with Progress(what, unit=unit, **options) as progress:
        for item in items:
            yield item
            progress.update()
