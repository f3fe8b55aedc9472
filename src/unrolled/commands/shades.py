"""Background shades for surprisal, on terminals and pages alike."""

from functools import cache

# Few enough for a page's style sheet, and more than an eye tells apart in running text.
LEVELS = 16


def level(bits: float, full: float) -> int:
    """Which of the ``LEVELS`` + 1 shades; the last from ``full`` bits on."""
    return round(LEVELS * min(1.0, bits / full))


@cache
def shade(place: int) -> tuple[str, str]:
    """Background and ink of a level, as ``#rrggbb``.

    ColorBrewer's OrRd, whose lightness falls evenly, so that twice the surprisal looks twice as
    strong, and in print or to a colour-blind eye too.
    """
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    red, green, blue, _ = colormaps["OrRd"](place / LEVELS)
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return to_hex((red, green, blue)), "#000000" if light > 0.4 else "#ffffff"
