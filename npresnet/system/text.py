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
