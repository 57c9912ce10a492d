"""The colours of labels, in figures and on the page."""

# Distinguishable for the colour-blind: Okabe and Ito, Color Universal Design (2008),
# https://jfly.uni-koeln.de/color/. Yellow, faint on white, comes last.
COLOURS = (
    "#0072B2",  # blue
    "#E69F00",  # orange
    "#009E73",  # bluish green
    "#D55E00",  # vermilion
    "#56B4E9",  # sky blue
    "#CC79A7",  # reddish purple
    "#000000",  # black
    "#F0E442",  # yellow
)
UNKNOWN_COLOUR = "#606060"  # darker than silence


def text_colour(background: str) -> str:
    """Return black or white by luminance (ITU-R BT.601), for contrast.

    Example
    -------
    >>> text_colour("#0072B2"), text_colour("#F0E442")
    ('white', 'black')
    """
    red, green, blue = (int(background[i : i + 2], 16) for i in (1, 3, 5))
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 100 else "white"
