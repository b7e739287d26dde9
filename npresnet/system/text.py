"""Text of labels, paths and files, made safe to show: no character in it acts on a terminal, a table or a parser."""

from __future__ import annotations

import re

# Control characters of ASCII and Latin-1, Unicode's line ends, marks that reverse the direction of text, and halves of
# surrogate pairs, which no encoding can write (the bytes of a path that is no UTF-8).
_ACTING = "[\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"


def visible(text: str) -> str:
    r"""The text in one line, with such characters as escapes: "\x1b", "\n", "\udce9". Letters of any script stay."""
    return text if text.isprintable() else re.sub(_ACTING, lambda found: ascii(found[0])[1:-1], text)


def visible_lines(text: str) -> str:
    """The same, but line ends and tabs of the text's own stay."""
    return text if text.isprintable() else re.sub(rf"(?![\n\t]){_ACTING}", lambda found: ascii(found[0])[1:-1], text)


def width(text: str) -> int:
    """Columns of a terminal that the text takes: two for a letter of Chinese, Japanese or Korean and for an emoji.

    None for marks that are combined with the letter before (accents, vowel signs, joiners), by Unicode's categories and
    East Asian Width. What a joiner adds to an emoji, and a tone of skin, is drawn in the emoji's own place; an emoji
    that is drawn in colour only behind a selector then takes two.
    """
    if text.isascii():
        return len(text)
    import unicodedata  # not needed to load a model

    columns, before = 0, _JOINER
    for letter in text:
        if (before == _JOINER and columns) or (letter in _SKIN and columns):
            pass
        elif letter == _COLOURED:
            columns += _columns(before) == 1 and (before in _KEYS or unicodedata.category(before) == "So")
        else:
            columns += _columns(letter)
        before = letter
    return columns


def padded(text: str, columns: int) -> str:
    """The text, with spaces behind it up to so many columns of a terminal."""
    return text + " " * (columns - width(text))


_JOINER, _COLOURED, _SKIN = "\u200d", "\ufe0f", "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
_KEYS = "0123456789#*"  # drawn as a key
_SOFT_HYPHEN = "\u00ad"  # of the category of joiners, but drawn by most terminals
_JAMO = range(0x1160, 0x1200)  # vowels and finals of Hangul, drawn into the block of the consonant before


def _columns(letter: str) -> int:
    import unicodedata

    if (letter != _SOFT_HYPHEN and unicodedata.category(letter) in ("Mn", "Me", "Mc", "Cf")) or ord(letter) in _JAMO:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
