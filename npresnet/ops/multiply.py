"""Multiplication of a map by a map or by one number per channel (the gate of squeeze and excitation)."""

from __future__ import annotations

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array, Node
from npresnet.ops.record import POINT, Operation, Shape
from npresnet.window import Window


def multiply(x: Array, gate: Array) -> Array:
    """The elementwise product of two values, or the product with one number per channel.

    out[n,c,i,j] = x[n,c,i,j] * gate[n,c,i,j]    or    x[n,c,i,j] * gate[n,c]

    x        (N, C, H, W) or (N, C)                any float dtype, also that of the result
    gate     the shape of x, or (N, C, 1, 1) or (N, C)
    returns  the shape of x

    Cost: one multiplication per value, not counted as multiply-adds. Raises ShapeError for other shapes.
    Source: Hu et al. 2018, "Squeeze-and-Excitation Networks", equation 4.
    """
    x, gate = np.asarray(x), np.asarray(gate)
    if len(x) != len(gate) or not _fits(x.shape[1:], gate.shape[1:]):
        raise ShapeError(
            f"expects a second factor of the first one's shape, or one number per channel\n"
            f"  first   {x.shape}   N, C, H, W\n"
            f"  second  {gate.shape}\n"
            f"  A gate has the shape (N, C, 1, 1) or (N, C), with the channels of the first factor."
        )
    return np.multiply(x, gate.reshape(gate.shape[:2] + (1,) * (x.ndim - 2)) if gate.shape != x.shape else gate)


def _fits(shape: Shape, gate: Shape) -> bool:
    return gate == shape or (len(shape) == 3 and gate in ((shape[0], 1, 1), shape[:1]))


def _infer_shape(node: Node, inputs: list[Shape]) -> Shape:
    shape, gate = inputs
    if not _fits(shape, gate):
        raise ShapeError(
            f"multiplies {shape} (C, H, W) by {gate}, but expects the same shape, or one number per channel: "
            f"{(shape[0], 1, 1)} or {shape[:1]}"
        )
    return shape


def _sees(node: Node, index: int, shape: Shape) -> Window | None:
    """Every position depends on the whole gate if that has one number per channel."""
    is_gate = index == 1 and shape[1:] in ((), (1, 1))
    return None if is_gate else POINT


MULTIPLY = Operation(
    name="multiply",
    label="multiply",
    title="",
    compute=lambda node, x, gate: multiply(x, gate),
    infer_shape=_infer_shape,
    sees=_sees,
    inputs=(2, 2),
    fuses=True,
)
