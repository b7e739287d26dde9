"""Global average pool: kernels/global_avg_pool/global_avg_pool.cu."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers import radix_sum
from npresnet.cuda.launchers.lowering import Bound, Lowering, Place, from_to
from npresnet.cuda.launchers.vectors import ceil_div, form, source_for
from npresnet.ops.global_avg_pool import radix_of

FILE = "global_avg_pool/global_avg_pool.cu"
LANES = ROWS = 16


def launches(images: int, positions: int, channels: int, element: Element, *, x: int, y: int) -> list[Launch]:
    """The float32 sum of each channel over the image, then one division; the order of additions is always the same.

    y[n,c] = (sum over p of x[n,p,c]) / positions

    x   (N, positions, C)   element's storage; positions = H*W
    y   (N, C)              element's storage

    At most 65,535 images; any number of channels.
    """
    name, width = form(element, channels)
    grid = (ceil_div(channels // width, LANES), images, 1)
    args = (np.uint64(x), np.uint64(y), np.int32(positions), np.int32(channels))
    return [Launch(source_for(FILE, element), f"global_avg_pool_{name}", grid, (LANES, ROWS, 1), args)]


class GlobalAvgPoolLowering(Lowering):
    """The mean of each channel; where a sum over the radix was merged into it, then the sum of the groups' means."""

    def scratch(self, bound: Bound) -> Mapping[str, int]:
        value = bound.layout.values[bound.node.inputs[0]]
        means = value.images * value.stored.channels * value.item_bytes
        return {"means": means} if radix_of(bound.node) > 1 else {}

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        value, radix, addresses = bound.layout.values[bound.node.inputs[0]], radix_of(bound.node), from_to(bound, place)
        images, positions, channels = value.images, value.stored.positions, value.stored.channels
        if radix == 1:
            return launches(images, positions, channels, bound.element, **addresses)
        means = place.workspace
        total = radix_sum.launches(images, 1, channels // radix, radix, bound.element, x=means, y=addresses["y"])
        return [*launches(images, positions, channels, bound.element, x=addresses["x"], y=means), *total]
