"""GroupNorm: every image's groups of channels are normalised by statistics of their own."""

from __future__ import annotations

import numpy as np

from npresnet.network import Array, Node
from npresnet.ops.channels import groups_of, same_channels, scaled_and_shifted
from npresnet.ops.record import Operation, Shape, sees_all


def group_norm(
    x: Array, groups: int, weight: Array | None = None, bias: Array | None = None, *, eps: float = 1e-5
) -> Array:
    """Normalise each group of channels of each image over its channels and positions, then scale and shift.

    out[n,c,i,j] = (x[n,c,i,j] - mean[n,g]) / sqrt(var[n,g] + eps) * weight[c] + bias[c]        g = c // (C/G)
    mean[n,g], var[n,g]: of all x[n,c,i,j] of the group; var is the mean of the squared distances from the mean

    x             (N, C, ...)   any float dtype, also that of the result; (N, C, H, W), (N, C, 1, 1) and (N, C)
    groups        G, divides C. With G = C this is instance norm; with G = 1 it is the layer norm of whole images
    weight, bias  (C,)          optional; default 1 and 0
    eps                         keeps the root away from 0; not stored in checkpoints

    Cost: about 6 operations per value, no multiply-adds. Raises ShapeError if C differs or G does not divide it.
    Source: Wu and He 2018, "Group Normalization", equations 2 to 4; torch.nn.GroupNorm.
    """
    x = np.asarray(x)
    grouped = x.reshape(len(x), groups_of(x.shape[1], groups), -1)  # (N, G, C/G * H*W)
    centred = grouped - grouped.mean(axis=2, keepdims=True)
    variance = np.square(centred).mean(axis=2, keepdims=True)
    normal = (centred / np.sqrt(variance + x.dtype.type(eps))).reshape(x.shape)
    return scaled_and_shifted(normal, weight, bias)


def _infer_shape(node: Node, inputs: list[Shape]) -> Shape:
    shape = same_channels(node, inputs)
    groups_of(shape[0], node.attrs["groups"])
    return shape


GROUP_NORM = Operation(
    name="group_norm",
    label="GroupNorm",
    title="GroupNorm",
    compute=lambda node, x: group_norm(x, node.attrs["groups"], **node.params, eps=node.attrs["eps"]),
    infer_shape=_infer_shape,
    sees=sees_all,
    inputs=(1, 2),
    fuses=True,
)
