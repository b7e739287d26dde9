"""The mean, or the maximum, of all channels at each position: kernels/channel_reduce/channel_reduce.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.lowering import Bound, Lowering, Place, from_to
from npresnet.cuda.launchers.vectors import ceil_div, form, source_for

FILE = "channel_reduce/channel_reduce.cu"
WARPS = 8


def launches(positions: int, channels: int, element: Element, *, is_max: bool, x: int, y: int) -> list[Launch]:
    """y[p] = (sum over c of x[p,c]) / channels, or max over c of x[p,c]; the order of additions is always the same.

    x   (positions, channels)   element's storage; positions of all images
    y   (positions,)            element's storage
    """
    name, _ = form(element, channels)
    args = (np.uint64(x), np.uint64(y), np.uint64(positions), np.int32(channels))
    kernel = f"channel_{'max' if is_max else 'mean'}_{name}"
    return [Launch(source_for(FILE, element), kernel, (ceil_div(positions, WARPS), 1, 1), (32, WARPS, 1), args)]


class ChannelReduceLowering(Lowering):
    """A warp for each position."""

    def __init__(self, *, is_max: bool):
        self.is_max = is_max

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        value = bound.layout.values[bound.node.inputs[0]]
        sizes = value.images * value.stored.positions, value.stored.channels
        return launches(*sizes, bound.element, is_max=self.is_max, **from_to(bound, place))
