"""Concatenation: the channels of several maps, one after another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array, Node
from npresnet.ops.record import Operation, Shape, flat_shape

MOST_INPUTS = 1000


def concat(values: Sequence[Array]) -> Array:
    """The channels of all values in their order.

    out[n, C_1 + .. + C_(k-1) + c, i, j] = values[k][n,c,i,j]

    values   2 or more (N, C_k, ...)    one float dtype, also that of the result; C_k may differ
    returns  (N, sum over k of C_k, ...)

    Cost: a copy. Raises ShapeError if anything but the channels differs. Source: torch.cat(values, dim=1).
    """
    arrays = [np.asarray(value) for value in values]
    if len({array.shape[:1] + array.shape[2:] for array in arrays}) != 1 or len({array.ndim for array in arrays}) != 1:
        shapes = "\n".join(f"  {array.shape}" for array in arrays)
        raise ShapeError(f"expects values that differ in their channels only (N, C, H, W)\n{shapes}")
    return np.concatenate(arrays, axis=1)


def _infer_shape(node: Node, inputs: list[Shape]) -> Shape:
    if len({shape[1:] for shape in inputs}) != 1:
        raise ShapeError(f"concatenates values of different sizes (C, H, W): {' and '.join(map(str, inputs))}")
    return (sum(shape[0] for shape in inputs), *flat_shape(inputs[0])[1:])


CONCAT = Operation(
    name="concat",
    label="concatenation",
    title="",
    compute=lambda node, *values: concat(values),
    infer_shape=_infer_shape,
    inputs=(2, MOST_INPUTS),
    fuses=True,
)
