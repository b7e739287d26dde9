"""Average pool: kernels/avg_pool2d/avg_pool2d.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.lowering import Bound, Lowering, Place, from_to
from npresnet.cuda.launchers.vectors import ceil_div, form, source_for
from npresnet.cuda.shapes import PoolShape

FILE = "avg_pool2d/avg_pool2d.cu"
THREADS = 128


def launches(shape: PoolShape, element: Element, *, x: int, y: int) -> list[Launch]:
    """The float32 sum under each window, then one division. Any window without dilation, any number of channels.

    y[n,i,j,c] = (sum over r,s of x[n, i*s - p + r, j*s - p + s, c]) / count[i,j]

    x   (N, H, W, C)      element's storage; outside the image lies 0
    y   (N, OH, OW, C)    element's storage

    What count[i,j] counts, and what ceil_mode does: `npresnet.ops.avg_pool2d`.
    """
    name, width = form(element, shape.channels)
    OH, OW = shape.out_size
    grid = (shape.images * OH, ceil_div(OW * shape.channels // width, THREADS), 1)
    args = (np.uint64(x), np.uint64(y), shape.struct())
    return [Launch(source_for(FILE, element), f"avg_pool2d_{name}", grid, (THREADS, 1, 1), args)]


class AvgPool2dLowering(Lowering):
    """An average pool."""

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        shape = PoolShape.of(bound.node, bound.layout.values[bound.node.inputs[0]])
        return launches(shape, bound.element, **from_to(bound, place))
