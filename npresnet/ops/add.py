"""Addition of the shortcut to the main path."""

from __future__ import annotations

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array, Node
from npresnet.ops.record import Operation, Shape


def add(a: Array, b: Array) -> Array:
    """The sum of two values of the same shape, for example main path and shortcut.

    out = a + b

    a, b     any shape, the same for both (no broadcasting)

    Cost: one addition per value. Raises ShapeError if the shapes differ. Source: He et al. 2016, "Deep Residual
    Learning", equation 1.
    """
    if np.shape(a) != np.shape(b):
        raise ShapeError(
            f"expects two values of the same shape\n"
            f"  main path  {np.shape(a)}\n"
            f"  shortcut   {np.shape(b)}   N, C, H, W\n"
            f"  If a block changes channels or size, its shortcut must change them as well."
        )
    return np.add(a, b)


def one_shape(node: Node, inputs: list[Shape]) -> Shape:
    """The common shape of all inputs. Raises ShapeError if they differ."""
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
