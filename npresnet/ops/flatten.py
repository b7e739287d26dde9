"""Flatten: from a map to the classifier's input vector."""

from __future__ import annotations

from math import prod

import numpy as np

from npresnet.network import Array
from npresnet.ops.record import Operation, sees_all


def flatten(x: Array) -> Array:
    """All values of an image in one row.

    out[n, (c*H + i)*W + j] = x[n,c,i,j]

    x        (N, C, H, W), or any shape that starts with N
    returns  (N, C*H*W)

    Cost: none; a view if the memory layout allows it. Source: torch.flatten(x, 1).
    """
    x = np.asarray(x)
    return x.reshape(len(x), int(np.prod(x.shape[1:])))


FLATTEN = Operation(
    name="flatten",
    label="flatten",
    title="",
    compute=lambda node, x: flatten(x),
    infer_shape=lambda node, inputs: (prod(inputs[0]),),
    sees=sees_all,
)
