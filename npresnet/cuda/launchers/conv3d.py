"""Convolution over clips: kernels/conv3d/conv3d.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.clips import THREADS, ClipShape
from npresnet.cuda.elements import Element, store
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.linear import bias_of
from npresnet.cuda.launchers.lowering import Bound, Lowering, Place
from npresnet.cuda.launchers.vectors import source_for
from npresnet.network import Array
from npresnet.ops.convolution import folded_weight

FILE = "conv3d/conv3d.cu"


def pack(weight: Array, element: Element) -> Array:
    """(O, C/groups, KT, KH, KW) float -> (O, KT, KH, KW, C/groups) contiguous, in the element's storage."""
    return np.ascontiguousarray(store(weight, element).transpose(0, 2, 3, 4, 1))


def launches(
    shape: ClipShape, element: Element, *, x: int, weight: int, bias: int, residual: int, y: int
) -> list[Launch]:
    """One thread for each number of y.

    x         (N, T, H, W, C)       element's storage
    weight    as `pack` makes it; bias (O,) float32
    residual  the shape of y, or 0
    y         (N, OT, OH, OW, O)    element's storage
    """
    addresses = tuple(np.uint64(address) for address in (x, weight, bias, residual, y))
    args = (*addresses, shape.struct())
    return [Launch(source_for(FILE, element), "conv3d", (shape.blocks, 1, 1), (THREADS, 1, 1), args)]


class Conv3dLowering(Lowering):
    """A convolution over clips, by its definition. Its epilogue adds the residual and applies ReLU."""

    fuses = frozenset({"relu"})

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        node, is_folded = bound.node, "scale" in bound.node.params
        x, *residual = (place.address(name) for name in node.inputs)
        shape = ClipShape.of(
            node, bound.layout.values[node.inputs[0]], len(node.params["weight"]), self.fused(node).code
        )
        return launches(
            shape,
            bound.element,
            x=x,
            weight=place.weights.address(
                (node.name, is_folded, "conv3d"), lambda: pack(folded_weight(node), bound.element)
            ),
            bias=place.weights.address((node.name, is_folded, "bias"), lambda: bias_of(node)),
            residual=residual[0] if residual else 0,
            y=place.address(node.name),
        )
