"""The sum of a map's radix groups (split attention: selective kernels, ResNeSt)."""

from __future__ import annotations

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array, Node
from npresnet.ops.record import Operation, Shape, image_shape
from npresnet.ops.windows import check_image


def radix_sum(x: Array, *, radix: int) -> Array:
    """The sum of `radix` groups of channels, each of C neighbouring channels.

    out[n,c,i,j] = sum over r of x[n, r*C + c, i, j]

    x        (N, R*C, H, W)    R = radix; any float dtype, also that of the result
    returns  (N, C, H, W)

    Cost: N * R*C * H*W additions. Raises ShapeError if the channels cannot be divided by the radix. Source: Zhang et
    al. 2020, "ResNeSt: Split-Attention Networks", section 3.1; Li et al. 2019, "Selective Kernel Networks", equation 1.
    """
    x = np.asarray(x)
    check_image(x)
    channels = channels_of_radix(x.shape[1], radix)
    return x.reshape(len(x), radix, channels, *x.shape[2:]).sum(axis=1)


def channels_of_radix(channels: int, radix: int, cardinality: int = 1) -> int:
    """Channels of each of the radix * cardinality groups. Raises ShapeError if they cannot have the same number."""
    if radix < 1 or cardinality < 1 or channels % (radix * cardinality):
        groups = f"radix {radix}" + (f" and cardinality {cardinality}" if cardinality != 1 else "")
        raise ShapeError(f"cannot divide {channels} channels into groups of equal size for {groups}")
    return channels // (radix * cardinality)


def _infer_shape(node: Node, inputs: list[Shape]) -> Shape:
    channels, *size = image_shape(inputs[0])
    return (channels_of_radix(channels, node.attrs["radix"]), *size)


RADIX_SUM = Operation(
    name="radix_sum",
    label="sum over the radix",
    title="",
    compute=lambda node, x: radix_sum(x, radix=node.attrs["radix"]),
    infer_shape=_infer_shape,
    fuses=True,
)
