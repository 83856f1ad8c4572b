"""What the vendored fonts can show; typst leaves out a missing character without a word."""

import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from fontTools.ttLib import TTFont

FONTS = Path(__file__).parent / "fonts"
REGULAR = FONTS / "NotoSansSC-Regular.ttf"
BOLD = FONTS / "NotoSansSC-Bold.ttf"
INVISIBLE = {"Cc", "Cf", "Cn", "Co", "Cs"}  # control and format characters can hide or turn text round


class MissingGlyphs(ValueError):
    """Text that the fonts cannot show; `characters` lists what is missing."""

    code = "missing_glyphs"

    def __init__(self, characters: Iterable[str]) -> None:
        self.characters = tuple(sorted(set(characters)))
        super().__init__("no glyph for " + ", ".join(f"{c!r} (U+{ord(c):04X})" for c in self.characters))


@cache
def covered(font: Path) -> frozenset[int]:
    """The code points of a font, read once a process."""
    with TTFont(font, lazy=True) as opened:
        return frozenset(opened.getBestCmap())


def refuse_missing(texts: Iterable[str], font: Path = REGULAR) -> None:
    """:raises MissingGlyphs: listing every character that the font lacks, or that has no visible form."""
    points = covered(font)
    used = {character for text in texts for character in text}
    if missing := [c for c in used if ord(c) not in points or unicodedata.category(c) in INVISIBLE]:
        raise MissingGlyphs(missing)
