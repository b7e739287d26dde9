"""A border around a map: kernels/pad2d/pad2d.cu."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.lowering import Bound, Lowering, Place, from_to
from npresnet.cuda.launchers.vectors import ceil_div, form, source_for
from npresnet.ops.pad2d import border_of

FILE = "pad2d/pad2d.cu"
THREADS = 128


def launches(
    images: int,
    height: int,
    width: int,
    channels: int,
    element: Element,
    *,
    padding: Sequence[int],
    reflect: bool,
    x: int,
    y: int,
) -> list[Launch]:
    """y[n,i,j,c] = x[n, i - top, j - left, c], and outside x 0 or the value at the mirrored position

    padding   (left, right, top, bottom)
    x         (N, H, W, C)                                   element's storage
    y         (N, top + H + bottom, left + W + right, C)     element's storage
    """
    left, right, top, bottom = padding
    name, vector = form(element, channels)
    OH, OW = top + height + bottom, left + width + right
    numbers = map(np.int32, (height, width, channels, OH, OW, top, left, int(reflect)))
    grid = (images * OH, ceil_div(OW * channels // vector, THREADS), 1)
    args = (np.uint64(x), np.uint64(y), *numbers)
    return [Launch(source_for(FILE, element), f"pad2d_{name}", grid, (THREADS, 1, 1), args)]


class Pad2dLowering(Lowering):
    """Zeros, or the map in reverse."""

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        value, attrs = bound.layout.values[bound.node.inputs[0]], bound.node.attrs
        return launches(
            value.images,
            *value.stored,
            bound.element,
            padding=border_of(attrs, value.stored[:2]),
            reflect=attrs.get("mode", "zeros") == "reflect",
            **from_to(bound, place),
        )
