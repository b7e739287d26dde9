"""BatchNorm at inference: an affine function per channel, because the statistics are constants."""

from __future__ import annotations

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array, Node
from npresnet.ops.channels import per_channel, scaled_and_shifted
from npresnet.ops.record import Operation, Shape


def batch_norm(
    x: Array,
    running_mean: Array,
    running_var: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
) -> Array:
    """Normalise each channel by the statistics of training, then apply the learned scale and shift.

    out[n,c,i,j] = (x[n,c,i,j] - running_mean[c]) / sqrt(running_var[c] + eps) * weight[c] + bias[c]

    x                           (N, C, ...)   any float dtype, also that of the result
    running_mean, running_var   (C,)
    weight, bias                (C,)          optional; default 1 and 0
    eps                                       keeps the root away from 0; not stored in checkpoints

    Cost: 2 operations per value, no multiply-adds. Raises ShapeError if C differs.
    Source: Ioffe and Szegedy 2015, "Batch Normalization", algorithm 2.
    """
    x = np.asarray(x)
    mean, variance = per_channel(x, running_mean), per_channel(x, running_var)  # (C, 1, 1) each
    return scaled_and_shifted((x - mean) / np.sqrt(variance + x.dtype.type(eps)), weight, bias)


def _infer_shape(node: Node, inputs: list[Shape]) -> Shape:
    channels = node.params["running_mean"].shape[0]
    if inputs[0][0] != channels:
        raise ShapeError(f"expects {channels} channels, got {inputs[0]} (C, H, W)")
    return inputs[0]


BATCH_NORM = Operation(
    name="batch_norm",
    label="BatchNorm",
    title="BatchNorm2d",
    compute=lambda node, x: batch_norm(x, **node.params, eps=node.attrs["eps"]),
    infer_shape=_infer_shape,
    fuses=True,
)
