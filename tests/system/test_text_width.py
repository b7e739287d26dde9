"""Columns of a terminal that a text takes."""

from __future__ import annotations

import pytest

from npresnet.system.text import padded, width

WIDTHS = {
    "": 0,
    "dog.jpg": 7,
    "größe": 5,
    "猫": 2,
    "ねこ.png": 8,
    "고양이": 6,
    "ﾈｺ": 2,  # half-width katakana
    "ＡＢ": 4,  # full-width Latin
    "e\u0301": 1,
    "\u1112\u1161\u11ab": 2,  # one syllable of three jamo
    "ไทย": 3,
    "กี่": 1,
    "قطة": 3,
    "🐱": 2,
    "👩\u200d👩\u200d👧": 2,
    "👍🏽": 2,
    "❤\ufe0f": 2,
    "❤": 1,
    "1\ufe0f\u20e3": 2,
    "🇩🇪": 2,
    "a\u200bb": 2,
    "a\u00adb": 3,
}


@pytest.mark.parametrize(("text", "columns"), WIDTHS.items(), ids=map(ascii, WIDTHS))
def test_width(text, columns):
    """The figures are those of terminals, as the package wcwidth 0.9.4 has them."""
    assert width(text) == columns
    assert width(f"x{text}y") == columns + 2
    assert padded(text, 10) == text + " " * (10 - columns)
    assert padded(text, 0) == text
