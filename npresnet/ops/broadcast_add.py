"""Addition of one number per channel, or per position, to a map (global context)."""

from __future__ import annotations

import numpy as np

from npresnet.network import Array
from npresnet.ops.gates import gated_shape, sees_gate, stretched, with_residual
from npresnet.ops.record import Operation


def broadcast_add(x: Array, shift: Array, residual: Array | None = None) -> Array:
    """The sum of a map and a smaller value; `add` is that of two maps, which a convolution can take in.

    out[n,c,i,j] = x[n,c,i,j] + shift[n,c]  or  x[n,c,i,j] + shift[n,0,i,j]  (+ residual[n,c,i,j])

    x         (N, C, H, W)              any float dtype, also that of the result
    shift     (N, C, 1, 1) or (N, C), or (N, 1, H, W); or the shape of x
    residual  the shape of x            optional: the shortcut of a block that ends so, see passes.fuse
    returns   the shape of x

    Cost: one addition per value. Raises ShapeError for other shapes. Source: Cao et al. 2019, "GCNet: Non-local
    Networks Meet Squeeze-Excitation Networks and Beyond", equation 4.
    """
    x, shift = np.asarray(x), np.asarray(shift)
    return with_residual(np.add(x, stretched(x, shift)), residual)


BROADCAST_ADD = Operation(
    name="broadcast_add",
    label="add to every position",
    title="",
    compute=lambda node, x, shift, residual=None: broadcast_add(x, shift, residual),
    infer_shape=gated_shape,
    sees=sees_gate,
    inputs=(2, 3),
    fuses=True,
)
