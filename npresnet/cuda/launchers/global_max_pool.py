"""Global max pool: kernels/global_max_pool/global_max_pool.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.lowering import Bound, Lowering, Place, from_to
from npresnet.cuda.launchers.vectors import ceil_div, form, source_for

FILE = "global_max_pool/global_max_pool.cu"
LANES = ROWS = 16


def launches(images: int, positions: int, channels: int, element: Element, *, x: int, y: int) -> list[Launch]:
    """The largest number of each channel over the image; NaN wins.

    y[n,c] = max over p of x[n,p,c]

    x   (N, positions, C)   element's storage; positions = H*W
    y   (N, C)              element's storage

    At most 65,535 images; any number of channels.
    """
    name, width = form(element, channels)
    grid = (ceil_div(channels // width, LANES), images, 1)
    args = (np.uint64(x), np.uint64(y), np.int32(positions), np.int32(channels))
    return [Launch(source_for(FILE, element), f"global_max_pool_{name}", grid, (LANES, ROWS, 1), args)]


class GlobalMaxPoolLowering(Lowering):
    """The maximum of each channel."""

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        value = bound.layout.values[bound.node.inputs[0]]
        sizes = value.images, value.stored.positions, value.stored.channels
        return launches(*sizes, bound.element, **from_to(bound, place))
