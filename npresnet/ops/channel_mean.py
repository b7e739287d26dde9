"""The mean of all channels at each position (the spatial attention of CBAM)."""

from __future__ import annotations

import numpy as np

from npresnet.network import Array
from npresnet.ops.record import Operation, image_shape
from npresnet.ops.windows import check_image


def channel_mean(x: Array) -> Array:
    """One map: at every position the mean over the channels; the sum, then one division.

    out[n,0,i,j] = (sum over c of x[n,c,i,j]) / C

    x        (N, C, H, W)    any float dtype, also that of the result
    returns  (N, 1, H, W)

    Cost: N * C * H*W additions. Raises ShapeError unless x has four axes. Source: Woo et al. 2018, "CBAM: Convolutional
    Block Attention Module", section 3.2; torch.mean(x, dim=1, keepdim=True).
    """
    x = np.asarray(x)
    check_image(x)
    return x.sum(axis=1, keepdims=True) / x.dtype.type(x.shape[1])


CHANNEL_MEAN = Operation(
    name="channel_mean",
    label="mean of the channels",
    title="",
    compute=lambda node, x: channel_mean(x),
    infer_shape=lambda node, inputs: (1, *image_shape(inputs[0])[1:]),
)
