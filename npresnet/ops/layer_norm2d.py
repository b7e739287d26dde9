"""LayerNorm of a map: every position is normalised over its channels."""

from __future__ import annotations

import numpy as np

from npresnet.network import Array
from npresnet.ops.channels import same_channels, scaled_and_shifted
from npresnet.ops.record import Operation


def layer_norm2d(x: Array, weight: Array | None = None, bias: Array | None = None, *, eps: float = 1e-5) -> Array:
    """Normalise each position over its channels, then scale and shift each channel.

    out[n,c,i,j] = (x[n,c,i,j] - mean[n,i,j]) / sqrt(var[n,i,j] + eps) * weight[c] + bias[c]
    mean[n,i,j], var[n,i,j]: of x[n,:,i,j]; var is the mean of the squared distances from the mean

    x             (N, C, ...)   any float dtype, also that of the result
    weight, bias  (C,)          optional; default 1 and 0

    Cost: about 6 operations per value, no multiply-adds. Raises ShapeError if C differs.
    Source: Ba et al. 2016, "Layer Normalization", equation 4; torch.nn.LayerNorm over the last axis of NHWC.
    """
    x = np.asarray(x)
    centred = x - x.mean(axis=1, keepdims=True)
    variance = np.square(centred).mean(axis=1, keepdims=True)
    return scaled_and_shifted(centred / np.sqrt(variance + x.dtype.type(eps)), weight, bias)


LAYER_NORM2D = Operation(
    name="layer_norm2d",
    label="LayerNorm",
    title="LayerNorm2d",
    compute=lambda node, x: layer_norm2d(x, **node.params, eps=node.attrs["eps"]),
    infer_shape=same_channels,
    fuses=True,
)
