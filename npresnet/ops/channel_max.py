"""The maximum of all channels at each position (the spatial attention of CBAM)."""

from __future__ import annotations

import numpy as np

from npresnet.network import Array
from npresnet.ops.record import Operation, image_shape
from npresnet.ops.windows import check_image


def channel_max(x: Array) -> Array:
    """One map: at every position the largest value of all channels.

    out[n,0,i,j] = max over c of x[n,c,i,j]; NaN in any channel gives NaN

    x        (N, C, H, W)    any float dtype, also that of the result
    returns  (N, 1, H, W)

    Cost: N * C * H*W comparisons. Raises ShapeError unless x has four axes. Source: Woo et al. 2018, "CBAM", section
    3.2; torch.amax(x, dim=1, keepdim=True).
    """
    x = np.asarray(x)
    check_image(x)
    return x.max(axis=1, keepdims=True)


CHANNEL_MAX = Operation(
    name="channel_max",
    label="maximum of the channels",
    title="",
    compute=lambda node, x: channel_max(x),
    infer_shape=lambda node, inputs: (1, *image_shape(inputs[0])[1:]),
)
