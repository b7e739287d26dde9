"""Filter response normalisation: each channel of each image is divided by its root mean square."""

from __future__ import annotations

import numpy as np

from npresnet.network import Array, Node
from npresnet.ops.channels import per_channel, same_channels, scaled_and_shifted
from npresnet.ops.record import Operation, Shape, image_shape, sees_all
from npresnet.ops.windows import check_image


def filter_response_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    tau: Array | None = None,
    *,
    eps: float = 1e-5,
) -> Array:
    """Divide each channel by its root mean square over the positions, scale and shift it, and clamp it at tau.

    out[n,c,i,j] = max(x[n,c,i,j] / sqrt(nu[n,c] + eps) * weight[c] + bias[c], tau[c])
    nu[n,c] = (sum over i,j of x[n,c,i,j]^2) / (H*W)

    x             (N, C, H, W)   any float dtype, also that of the result
    weight, bias  (C,)           optional; default 1 and 0
    tau           (C,)           optional: the thresholded linear unit's threshold; without it nothing is clamped

    Cost: about 5 operations per value, no multiply-adds. Raises ShapeError if C differs or x has other axes.
    Source: Singh and Krishnan 2020, "Filter Response Normalization Layer", equations 1 to 3.
    """
    x = np.asarray(x)
    check_image(x)
    power = np.square(x).mean(axis=(2, 3), keepdims=True)  # (N, C, 1, 1)
    out = scaled_and_shifted(x / np.sqrt(power + x.dtype.type(eps)), weight, bias)
    return out if tau is None else np.maximum(out, per_channel(x, tau))


def _infer_shape(node: Node, inputs: list[Shape]) -> Shape:
    return image_shape(same_channels(node, inputs))


FILTER_RESPONSE_NORM = Operation(
    name="filter_response_norm",
    label="filter response norm",
    title="FilterResponseNorm2d",
    compute=lambda node, x: filter_response_norm(x, **node.params, eps=node.attrs["eps"]),
    infer_shape=_infer_shape,
    sees=sees_all,
    fuses=True,
)
