"""Global max pool: the largest value of each channel."""

from __future__ import annotations

import numpy as np

from npresnet.network import Array
from npresnet.ops.record import Operation, image_shape, sees_all
from npresnet.ops.windows import check_image


def global_max_pool(x: Array) -> Array:
    """The maximum of each channel over the whole image.

    out[n,c,0,0] = max over i,j of x[n,c,i,j]; NaN anywhere in a channel gives NaN

    x        (N, C, H, W)    any float dtype, also that of the result
    returns  (N, C, 1, 1)

    Cost: N * C * H*W comparisons. Raises ShapeError unless x has four axes. Source: Woo et al. 2018, "CBAM", section
    3.1; torch.nn.AdaptiveMaxPool2d(1).
    """
    x = np.asarray(x)
    check_image(x)
    return x.max(axis=(2, 3), keepdims=True)


GLOBAL_MAX_POOL = Operation(
    name="global_max_pool",
    label="global max pool",
    title="AdaptiveMaxPool2d",
    compute=lambda node, x: global_max_pool(x),
    infer_shape=lambda node, inputs: (image_shape(inputs[0])[0], 1, 1),
    sees=sees_all,
)
