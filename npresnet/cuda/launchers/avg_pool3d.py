"""Average pool over clips: kernels/avg_pool3d/avg_pool3d.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.clips import THREADS, ClipShape
from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.lowering import Bound, Lowering, Place, from_to
from npresnet.cuda.launchers.vectors import source_for

FILE = "avg_pool3d/avg_pool3d.cu"


def launches(shape: ClipShape, element: Element, *, x: int, y: int) -> list[Launch]:
    """One thread for each number of y: see `npresnet.ops.avg_pool3d`.

    x   (N, T, H, W, C)       element's storage
    y   (N, OT, OH, OW, C)    element's storage
    """
    args = (np.uint64(x), np.uint64(y), shape.struct())
    return [Launch(source_for(FILE, element), "avg_pool3d", (shape.blocks, 1, 1), (THREADS, 1, 1), args)]


class AvgPool3dLowering(Lowering):
    """A pool over clips."""

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        value = bound.layout.values[bound.node.inputs[0]]
        return launches(ClipShape.of(bound.node, value, value.shape[0]), bound.element, **from_to(bound, place))
