"""Global average pool: one value per channel."""

from __future__ import annotations

from math import prod

import numpy as np

from npresnet.network import Array, Node
from npresnet.ops.record import Operation, Shape, map_shape, sees_all
from npresnet.ops.windows import check_map


def global_avg_pool(x: Array) -> Array:
    """The mean of each channel over the whole image: the sum, then one division.

    out[n,c,0,0] = (sum over i,j of x[n,c,i,j]) / (H*W)

    x        (N, C, H, W)    any float dtype, also that of the result; or clips (N, C, T, H, W), averaged over T too
    returns  (N, C, 1, 1)    or (N, C, 1, 1, 1)

    Cost: N * C * H*W additions. Raises ShapeError unless x has four or five axes. Source: Lin et al. 2014, "Network In
    Network", section 3.2; torch.nn.AdaptiveAvgPool2d(1).
    """
    x = np.asarray(x)
    check_map(x)
    positions = tuple(range(2, x.ndim))
    return x.sum(axis=positions, keepdims=True) / x.dtype.type(prod(x.shape[2:]))


def pooled_to_one(node: Node, inputs: list[Shape]) -> Shape:
    """(C, 1, 1), or (C, 1, 1, 1) of a clip. Raises ShapeError for a vector."""
    channels, *size = map_shape(inputs[0])
    return (channels, *(1 for _ in size))


GLOBAL_AVG_POOL = Operation(
    name="global_avg_pool",
    label="global average pool",
    title="AdaptiveAvgPool2d",
    compute=lambda node, x: global_avg_pool(x),
    infer_shape=pooled_to_one,
    sees=sees_all,
)
