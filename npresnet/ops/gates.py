"""Gates: which shapes a map's second operand may have, and how it is stretched over the map.

    the map's shape     one number for every value
    (C, 1, 1) or (C,)   one number per channel, the same at every position
    (1, H, W)           one number per position, the same in every channel

Shared by `multiply` and `broadcast_add`.
"""

from __future__ import annotations

from enum import Enum

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array, Node
from npresnet.ops.record import POINT, Shape, flat_shape
from npresnet.window import Window


class Gate(Enum):
    """What a gate has one number for."""

    VALUE = "value"
    CHANNEL = "channel"
    POSITION = "position"


def gate_of(shape: Shape, gate: Shape) -> Gate | None:
    """What a gate of shape `gate` has one number for, on a value of `shape` (both of one image); None: it fits not."""
    if gate == shape:
        return Gate.VALUE
    if len(shape) != 3:
        return None
    if gate in ((shape[0], 1, 1), shape[:1]):
        return Gate.CHANNEL
    return Gate.POSITION if gate == (1, *shape[1:]) else None


def stretched(x: Array, gate: Array) -> Array:
    """`gate` as a view that broadcasts with x (N, C, H, W) or (N, C). Raises ShapeError unless it is a gate of x."""
    kind = gate_of(x.shape[1:], gate.shape[1:]) if len(x) == len(gate) else None
    if kind is None:
        raise ShapeError(
            f"expects a second operand of the first one's shape, or one number per channel, or per position\n"
            f"  first   {x.shape}   N, C, H, W\n"
            f"  second  {gate.shape}\n"
            f"  A gate has the shape (N, C, 1, 1) or (N, C), with the channels of the first operand, or (N, 1, H, W)."
        )
    return gate.reshape(*gate.shape[:2], 1, 1) if kind is Gate.CHANNEL else gate


def gated_shape(node: Node, inputs: list[Shape]) -> Shape:
    """The shape of the first input, also that of a residual, the third. Raises ShapeError unless the gate fits."""
    shape, gate, *residual = inputs
    flat_shape(shape)
    if gate_of(shape, gate) is None:
        raise ShapeError(
            f"combines {shape} (C, H, W) with {gate}, but expects the same shape, one number per channel: "
            f"{(shape[0], 1, 1)} or {shape[:1]}, or one per position: {(1, *shape[1:])}"
        )
    if residual and residual[0] != shape:
        raise ShapeError(f"adds a residual of shape {residual[0]} (C, H, W), but expects {shape}")
    return shape


def sees_gate(node: Node, index: int, shape: Shape) -> Window | None:
    """Every position depends on the whole gate if that has one number per channel."""
    is_per_channel = index == 1 and shape[1:] in ((), (1, 1))
    return None if is_per_channel else POINT


def with_residual(x: Array, residual: Array | None) -> Array:
    """x, or x + residual. Raises ShapeError if their shapes differ."""
    if residual is None:
        return x
    if np.shape(residual) != x.shape:
        raise ShapeError(f"expects a residual of shape {x.shape}, got {np.shape(residual)}")
    return x + residual
