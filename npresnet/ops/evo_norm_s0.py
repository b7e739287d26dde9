"""EvoNorm-S0: normalisation and activation in one formula, found by a search."""

from __future__ import annotations

import numpy as np

from npresnet.network import Array, Node
from npresnet.ops.activations import sigmoid
from npresnet.ops.channels import groups_of, per_channel, same_channels, scaled_and_shifted
from npresnet.ops.record import Operation, Shape, image_shape, sees_all
from npresnet.ops.windows import check_image


def evo_norm_s0(
    x: Array,
    groups: int,
    v: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
) -> Array:
    """A swish with a learned slope, divided by the standard deviation of the channel's group in this image.

    out[n,c,i,j] = x[n,c,i,j] * sigmoid(v[c] * x[n,c,i,j]) / sqrt(var[n,g] + eps) * weight[c] + bias[c]
    var[n,g]: of all x[n,c,i,j] of the group g = c // (C/G), about their mean

    x                (N, C, H, W)   any float dtype, also that of the result
    groups           G, divides C
    v, weight, bias  (C,)           weight and bias are optional; default 1 and 0

    Cost: about 8 operations per value, no multiply-adds. Raises ShapeError if C differs or G does not divide it.
    Source: Liu et al. 2020, "Evolving Normalization-Activation Layers", table 2. Without v, timm's layer is a
    scale and a shift per channel: a BatchNorm whose statistics are 0 and 1.
    """
    x = np.asarray(x)
    check_image(x)
    grouped = x.reshape(len(x), groups_of(x.shape[1], groups), -1)  # (N, G, C/G * H*W)
    centred = grouped - grouped.mean(axis=2, keepdims=True)
    deviation = np.sqrt(np.square(centred).mean(axis=2) + x.dtype.type(eps))  # (N, G)
    deviation = np.repeat(deviation, x.shape[1] // groups, axis=1)[:, :, None, None]  # (N, C, 1, 1)
    return scaled_and_shifted(x * sigmoid(x * per_channel(x, v)) / deviation, weight, bias)


def _infer_shape(node: Node, inputs: list[Shape]) -> Shape:
    shape = image_shape(same_channels(node, inputs))
    groups_of(shape[0], node.attrs["groups"])
    return shape


EVO_NORM_S0 = Operation(
    name="evo_norm_s0",
    label="EvoNorm-S0",
    title="EvoNorm2dS0",
    compute=lambda node, x: evo_norm_s0(x, node.attrs["groups"], **node.params, eps=node.attrs["eps"]),
    infer_shape=_infer_shape,
    sees=sees_all,
    fuses=True,
)
