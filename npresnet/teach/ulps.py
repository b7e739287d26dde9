"""How far apart two float32 numbers are, counted in the float32 numbers between them."""

from __future__ import annotations

import numpy as np


def ulps(a: float | np.floating, b: float | np.floating) -> int:
    """Steps from a to b along all float32 numbers, 0 where they are the same (+0 and -0 too).

    ulps(x, nextafter(x, inf)) = 1. ULP: unit in the last place. Raises ValueError for NaN, which lies on no line.
    """
    if np.isnan(a) or np.isnan(b):
        raise ValueError("NaN is not a number and has no distance from one")
    return abs(_rank(np.float32(b)) - _rank(np.float32(a)))


def bits(value: float | np.floating) -> str:
    """The 32 bits of a float32 as eight hexadecimal digits."""
    return f"{np.float32(value).view(np.uint32):08x}"


def _rank(value: np.float32) -> int:
    """The place of a float32 among all of them in order; the bits of positive ones are already in order."""
    pattern = int(value.view(np.int32))
    return pattern if pattern >= 0 else -(pattern & 0x7FFFFFFF)
