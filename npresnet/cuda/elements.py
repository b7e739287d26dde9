"""The four kinds of numbers that the GPU backend computes with, and their arrays on the host."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from npresnet.network import Array


class Element(NamedTuple):
    """How tensors are stored and multiplied; sums are float32 always.

    name     what `load(..., dtype=)` is given
    macro    what a source is compiled with: -DELEMENT=macro
    storage  the array's dtype on the host; bfloat16, which NumPy does not have, is kept as its 16 bits
    """

    name: str
    macro: str
    storage: np.dtype[np.generic]

    @property
    def item_bytes(self) -> int:
        """Bytes of one number."""
        return self.storage.itemsize


ELEMENTS = {
    element.name: element
    for element in (
        Element("float32", "FLOAT32", np.dtype(np.float32)),
        Element("tf32", "TF32", np.dtype(np.float32)),
        Element("float16", "FLOAT16", np.dtype(np.float16)),
        Element("bfloat16", "BFLOAT16", np.dtype(np.uint16)),
    )
}


def store(values: Array, element: Element) -> Array:
    """Round to what the element can hold, to the nearest, ties to even: float64 or float32 -> element.storage.

    A tf32 is a float32 with the last 13 bits of its mantissa rounded away. NaN stays NaN, what is too large becomes
    infinite.
    """
    with np.errstate(over="ignore", under="ignore"):
        if element.name == "float16":
            halves: Array = values.astype(np.float16)
            return halves
        rounded = np.ascontiguousarray(values, np.float32)
    if element.name == "float32":
        return rounded
    dropped = 13 if element.name == "tf32" else 16
    bits = rounded.view(np.uint32)
    half = np.uint32((1 << (dropped - 1)) - 1)
    up = np.where(
        np.isnan(rounded), bits | np.uint32(1 << 22), bits + half + ((bits >> np.uint32(dropped)) & np.uint32(1))
    )
    kept = up & np.uint32(0xFFFFFFFF << dropped & 0xFFFFFFFF)
    stored: Array = kept.view(np.float32) if element.name == "tf32" else (kept >> np.uint32(16)).astype(np.uint16)
    return stored


def restore(stored: Array, element: Element) -> Array:
    """element.storage -> float32, exactly."""
    if element.name == "bfloat16":
        values: Array = (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
    else:
        values = stored.astype(np.float32)
    return values
