"""Global average pool: one value per channel."""

from __future__ import annotations

import numpy as np

from npresnet.network import Array
from npresnet.ops.record import Operation, image_shape, sees_all
from npresnet.ops.windows import check_image


def global_avg_pool(x: Array) -> Array:
    """The mean of each channel over the whole image: the sum, then one division.

    out[n,c,0,0] = (sum over i,j of x[n,c,i,j]) / (H*W)

    x        (N, C, H, W)    any float dtype, also that of the result
    returns  (N, C, 1, 1)

    Cost: N * C * H*W additions. Raises ShapeError unless x has four axes. Source: Lin et al. 2014, "Network In
    Network", section 3.2; torch.nn.AdaptiveAvgPool2d(1).
    """
    x = np.asarray(x)
    check_image(x)
    H, W = x.shape[2:]
    return x.sum(axis=(2, 3), keepdims=True) / x.dtype.type(H * W)


GLOBAL_AVG_POOL = Operation(
    name="global_avg_pool",
    label="global average pool",
    title="AdaptiveAvgPool2d",
    compute=lambda node, x: global_avg_pool(x),
    infer_shape=lambda node, inputs: (image_shape(inputs[0])[0], 1, 1),
    sees=sees_all,
)
