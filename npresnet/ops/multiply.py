"""Multiplication of a map by a gate: by a map, one number per channel (squeeze and excitation), or per position."""

from __future__ import annotations

import numpy as np

from npresnet.network import Array
from npresnet.ops.gates import gated_shape, sees_gate, stretched, with_residual
from npresnet.ops.record import Operation


def multiply(x: Array, gate: Array, residual: Array | None = None) -> Array:
    """The product of two values; the second has one number for every value, channel or position of the first.

    out[n,c,i,j] = x[n,c,i,j] * gate[n,c,i,j]  or  x[n,c,i,j] * gate[n,c]  or  x[n,c,i,j] * gate[n,0,i,j]
                   (+ residual[n,c,i,j])

    x         (N, C, H, W) or (N, C)    any float dtype, also that of the result
    gate      the shape of x, or (N, C, 1, 1) or (N, C), or (N, 1, H, W)
    residual  the shape of x            optional: the shortcut of a block that ends with a gate, see passes.fuse
    returns   the shape of x

    Cost: one multiplication per value, not counted as multiply-adds. Raises ShapeError for other shapes.
    Source: Hu et al. 2018, "Squeeze-and-Excitation Networks", equation 4; Woo et al. 2018, "CBAM", equation 1.
    """
    x, gate = np.asarray(x), np.asarray(gate)
    return with_residual(np.multiply(x, stretched(x, gate)), residual)


MULTIPLY = Operation(
    name="multiply",
    label="multiply",
    title="",
    compute=lambda node, x, gate, residual=None: multiply(x, gate, residual),
    infer_shape=gated_shape,
    sees=sees_gate,
    inputs=(2, 3),
    fuses=True,
)
