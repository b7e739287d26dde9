"""Max pool: kernels/max_pool2d/max_pool2d.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.lowering import Bound, Lowering, Place, from_to
from npresnet.cuda.launchers.vectors import ceil_div, form, source_for
from npresnet.cuda.shapes import PoolShape

FILE = "max_pool2d/max_pool2d.cu"
THREADS = 128


def launches(shape: PoolShape, element: Element, *, x: int, y: int) -> list[Launch]:
    """The largest value under each window; NaN wins. Any window, any number of channels.

    y[n,i,j,c] = max over r,s of x[n, i*s - p + r*d, j*s - p + s*d, c]

    x   (N, H, W, C)      element's storage; outside the image lies -infinity
    y   (N, OH, OW, C)    element's storage
    """
    name, width = form(element, shape.channels)
    unrolled = "_3x3" if name == "vector" and shape.window.kernel_size == (3, 3) else ""
    OH, OW = shape.out_size
    grid = (shape.images * OH, ceil_div(OW * shape.channels // width, THREADS), 1)
    args = (np.uint64(x), np.uint64(y), shape.struct())
    return [Launch(source_for(FILE, element), f"max_pool2d_{name}{unrolled}", grid, (THREADS, 1, 1), args)]


class MaxPool2dLowering(Lowering):
    """A max pool."""

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        shape = PoolShape.of(bound.node, bound.layout.values[bound.node.inputs[0]])
        return launches(shape, bound.element, **from_to(bound, place))
