"""Global average pool: one value per channel, or, of a map in radix groups, per channel of their sum."""

from __future__ import annotations

from math import prod

import numpy as np

from npresnet.network import Array, Node
from npresnet.ops.radix_sum import channels_of_radix, radix_sum
from npresnet.ops.record import Operation, Shape, map_shape, sees_all
from npresnet.ops.windows import check_map


def global_avg_pool(x: Array, *, radix: int = 1) -> Array:
    """The mean of each channel over the whole image: the sum, then one division.

    out[n,c,0,0] = (sum over r,i,j of x[n, r*C + c, i, j]) / (H*W)

    x        (N, R*C, H, W)    any float dtype, also that of the result; R = radix
                               of clips (N, C, T, H, W), averaged over T too
    radix                      1, or that of a `radix_sum` before the pool, which passes.fuse merges into it: sums may
                               be taken in any order, and so no map of sums is needed
    returns  (N, C, 1, 1)      of clips (N, C, 1, 1, 1)

    Cost: N * R*C * H*W additions. Raises ShapeError unless x has four or five axes. Source: Lin et al. 2014, "Network
    In Network", section 3.2; torch.nn.AdaptiveAvgPool2d(1).
    """
    x = np.asarray(x)
    check_map(x)
    sums = x.sum(axis=tuple(range(2, x.ndim)), keepdims=True)
    return (sums if radix == 1 else radix_sum(sums, radix=radix)) / x.dtype.type(prod(x.shape[2:]))


def radix_of(node: Node) -> int:
    """The radix of the sum that was merged into the pool; 1 for none."""
    radix: int = node.attrs.get("radix", 1)
    return radix


def _infer_shape(node: Node, inputs: list[Shape]) -> Shape:
    channels, *size = map_shape(inputs[0])
    return (channels_of_radix(channels, radix_of(node)), *(1 for _ in size))


GLOBAL_AVG_POOL = Operation(
    name="global_avg_pool",
    label="global average pool",
    title="AdaptiveAvgPool2d",
    compute=lambda node, x: global_avg_pool(x, radix=radix_of(node)),
    infer_shape=_infer_shape,
    sees=sees_all,
)
