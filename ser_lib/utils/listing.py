"""Short lists in messages."""

from collections.abc import Iterable


def first_few(items: Iterable[object], separator: str = ", ", n: int = 5) -> str:
    """Join the first items of a list; dots stand for the rest.

    Example
    -------
    >>> first_few("abcdefg"), first_few([1, 2])
    ('a, b, c, d, e, ...', '1, 2')
    """
    items = [str(item) for item in items]
    shown = items[:n] + ["..."] * (len(items) > n)
    return separator.join(shown)
