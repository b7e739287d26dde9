"""The two forms of the kernels that walk along channels: 16 bytes a thread, or one number."""

from __future__ import annotations

from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Source


def form(element: Element, *counts: int) -> tuple[str, int]:
    """("vector", numbers in 16 bytes) where all of `counts` are multiples of that, else ("scalar", 1).

    A tensor begins on 16 bytes; so does every pixel then, if `counts` holds its channels.
    """
    width = 16 // element.item_bytes
    return ("scalar", 1) if any(count % width for count in counts) else ("vector", width)


def source_for(file: str, element: Element) -> Source:
    """`file`, compiled for `element`."""
    return Source(file, (("ELEMENT", element.macro),))


def ceil_div(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)
