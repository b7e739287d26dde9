"""GroupNorm: every image's groups of channels are normalised by statistics of their own."""

from __future__ import annotations

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array, Node
from npresnet.ops.channels import groups_of, same_channels, scaled_and_shifted
from npresnet.ops.gates import with_residual
from npresnet.ops.record import POINT, Operation, Shape
from npresnet.window import Window


def group_norm(
    x: Array,
    groups: int,
    weight: Array | None = None,
    bias: Array | None = None,
    residual: Array | None = None,
    *,
    eps: float = 1e-5,
) -> Array:
    """Normalise each group of channels of each image over its channels and positions, then scale and shift.

    out[n,c,i,j] = (x[n,c,i,j] - mean[n,g]) / sqrt(var[n,g] + eps) * weight[c] + bias[c]  (+ residual[n,c,i,j])
    g = c // (C/G)
    mean[n,g], var[n,g]: of all x[n,c,i,j] of the group; var is the mean of the squared distances from the mean

    x             (N, C, ...)   any float dtype, also that of the result; (N, C, H, W), (N, C, 1, 1) and (N, C)
    groups        G, divides C. With G = C this is instance norm; with G = 1 it is the layer norm of whole images
    weight, bias  (C,)          optional; default 1 and 0
    residual      as x          optional: the shortcut of a block that ends with a GroupNorm, see passes.fuse
    eps                         keeps the root away from 0; not stored in checkpoints

    Cost: about 6 operations per value, no multiply-adds. Raises ShapeError if C differs, if G does not divide it, or
    if the residual has another shape than x.
    Source: Wu and He 2018, "Group Normalization", equations 2 to 4; torch.nn.GroupNorm.
    """
    x = np.asarray(x)
    grouped = x.reshape(len(x), groups_of(x.shape[1], groups), -1)  # (N, G, C/G * H*W)
    centred = grouped - grouped.mean(axis=2, keepdims=True)
    variance = np.square(centred).mean(axis=2, keepdims=True)
    normal = (centred / np.sqrt(variance + x.dtype.type(eps))).reshape(x.shape)
    return with_residual(scaled_and_shifted(normal, weight, bias), residual)


def _infer_shape(node: Node, inputs: list[Shape]) -> Shape:
    shape = same_channels(node, inputs)
    groups_of(shape[0], node.attrs["groups"])
    if inputs[1:] and inputs[1] != inputs[0]:
        raise ShapeError(f"adds a residual of shape {inputs[1]} (C, H, W), but expects {inputs[0]}")
    return shape


def _sees(node: Node, index: int, shape: Shape) -> Window | None:
    """The whole of what it normalises, and the same place of the residual."""
    return POINT if index else None


GROUP_NORM = Operation(
    name="group_norm",
    label="GroupNorm",
    title="GroupNorm",
    compute=lambda node, x, residual=None: group_norm(
        x, node.attrs["groups"], **node.params, residual=residual, eps=node.attrs["eps"]
    ),
    infer_shape=_infer_shape,
    sees=_sees,
    inputs=(1, 2),
    fuses=True,
)
