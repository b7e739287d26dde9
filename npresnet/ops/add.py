"""Addition: where the shortcut joins the main path."""

from __future__ import annotations

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array, Node
from npresnet.ops.record import Operation, Shape


def add(a: Array, b: Array) -> Array:
    """The sum of two values of the same shape: where the shortcut joins the main path.

    out = a + b

    a, b     any shape, the same for both, for nothing is broadcast here

    Cost: one addition a value. Raises ShapeError where the shapes differ. Source: He et al. 2016, "Deep Residual
    Learning", equation 1.
    """
    if np.shape(a) != np.shape(b):
        raise ShapeError(
            f"expects two values of one shape to add\n"
            f"  main path  {np.shape(a)}\n"
            f"  shortcut   {np.shape(b)}   N, C, H, W\n"
            f"  Where a block changes channels or size, its shortcut has to change them too."
        )
    return np.add(a, b)


def one_shape(node: Node, inputs: list[Shape]) -> Shape:
    """The shape that all inputs have. Raises ShapeError where they differ."""
    if len(set(inputs)) > 1:
        raise ShapeError(f"adds values of different shapes (C, H, W): {' and '.join(map(str, inputs))}")
    return inputs[0]


ADD = Operation(
    name="add",
    label="add",
    title="",
    compute=lambda node, a, b: add(a, b),
    infer_shape=one_shape,
    inputs=(2, 2),
    fuses=True,
)
