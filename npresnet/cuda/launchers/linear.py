"""Fully connected: which of its kernels to take, and its weight as they want it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from npresnet.cuda.compiler.cost import FMA, MMA, Phase, Work, products
from npresnet.cuda.compiler.layout import FLOAT_BYTES, Value
from npresnet.cuda.elements import Element, store
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers import layout, linear_mma, linear_tile, linear_warp
from npresnet.cuda.launchers.lowering import EVERY_ACTIVATION, Bound, Lowering, Place
from npresnet.cuda.launchers.vectors import ceil_div
from npresnet.cuda.shapes import LinearShape
from npresnet.network import Array, Node

FEW_IMAGES = 8  # up to here every image may as well read the weights from L2 again


def launches(
    shape: LinearShape, element: Element, capability: int, *, x: int, weight: int, bias: int, y: int
) -> list[Launch]:
    """Multiply by a matrix, add the bias, apply the activation.

    y[n,o] = activation(bias[o] + sum over c of weight[o,c] * x[n,c])

    x        (N, C)    element's storage
    weight   (O, C)    element's storage, as `npresnet.cuda.elements.store` rounds it
    bias     (O,)      float32, never absent
    y        (N, O)    float32, whatever the element: logits are not rounded again

    Any N up to 65,535, any C and O. Each begins on 16 bytes.
    """
    buffers = {"x": x, "weight": weight, "bias": bias, "y": y}
    if shape.images <= FEW_IMAGES:
        return linear_warp.launches(shape, element, **buffers)
    if linear_mma.supports(shape, element, capability):
        return linear_mma.launches(shape, element, **buffers)
    return linear_tile.launches(shape, element, **buffers)


def work(shape: LinearShape, element: Element, capability: int) -> Work:
    """Of the launch that `launches` gives: each block reads its rows of x and of the weights."""
    images, in_features, out_features = shape[:3]
    rows, columns, unit = linear_mma.TILE, linear_mma.TILE, MMA
    if images <= FEW_IMAGES:
        rows, columns, unit = 1, linear_warp.WARPS, FMA
    elif not linear_mma.supports(shape, element, capability):
        rows, columns, unit = linear_tile.TILE, linear_tile.TILE, FMA
    blocks = ceil_div(images, rows) * ceil_div(out_features, columns)
    phase = Phase((rows + columns) * in_features * element.item_bytes, flops=2 * rows * columns * in_features)
    x_and_weight = (images + out_features) * in_features * element.item_bytes
    y_and_bias = FLOAT_BYTES * (images + 1) * out_features
    return Work(x_and_weight + y_and_bias, blocks, (phase,), products(unit, element))


class LinearLowering(Lowering):
    """A fully connected layer: its result float32 where it is asked for, a copy in the element's storage for nodes."""

    fuses = EVERY_ACTIVATION
    writes_result = True

    def scratch(self, bound: Bound) -> Mapping[str, int]:
        """Where the result is not asked for: the result, on its way to a node that reads it."""
        node, layout = bound.node, bound.layout
        if node.name in layout.result_offsets:
            return {}
        return {"result": FLOAT_BYTES * layout.images * len(node.params["weight"])}

    def work(self, bound: Bound) -> list[Work]:
        y = bound.layout.values[bound.node.name]
        found = [work(self._shape(bound), bound.element, bound.gpu.capability)]
        if y.offset_bytes != bound.layout.result_offsets.get(bound.node.name):  # the copy for nodes
            found.append(Work(y.size * FLOAT_BYTES + y.size_bytes))
        return found

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        node, source, y = bound.node, bound.layout.values[bound.node.inputs[0]], bound.layout.values[bound.node.name]
        is_asked = node.name in bound.layout.result_offsets
        result = place.result(node.name) if is_asked else place.workspace
        found = launches(
            self._shape(bound),
            bound.element,
            bound.gpu.capability,
            x=place.address(node.inputs[0]),
            weight=place.weights.address(
                (node.name, "weight", source.stored), lambda: store(_in_order_of(source, node), bound.element)
            ),
            bias=place.weights.address((node.name, "bias"), lambda: bias_of(node)),
            y=result,
        )
        if place.address(node.name) != result:
            sizes = y.images, len(node.params["weight"]), 1, len(node.params["weight"])
            found += layout.nchw_to_nhwc(*sizes, bound.element, x=result, y=place.address(node.name))
        return found

    def _shape(self, bound: Bound) -> LinearShape:
        out_features, in_features = bound.node.params["weight"].shape
        return LinearShape(bound.layout.images, in_features, out_features, self.fused(bound.node))


def bias_of(node: Node) -> Array:
    """(O,) float32; zeros where the node has none."""
    bias = node.params.get("bias")
    return np.zeros(len(node.params["weight"]), np.float32) if bias is None else np.asarray(bias, np.float32)


def _in_order_of(source: Value, node: Node) -> Array:
    """The (O, C*H*W) weight with its columns as the features lie: H, W, C."""
    weight, stored = node.params["weight"], source.stored
    rows = weight.reshape(len(weight), stored.channels, stored.positions)
    columns: Array = rows.transpose(0, 2, 1).reshape(weight.shape)
    return columns
