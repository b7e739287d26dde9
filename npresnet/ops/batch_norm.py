"""BatchNorm at inference: an affine function per channel, because the statistics are constants."""

from __future__ import annotations

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array, Node
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
    mean, variance = _per_channel(x, running_mean), _per_channel(x, running_var)  # (C, 1, 1) each
    out = (x - mean) / np.sqrt(variance + x.dtype.type(eps))
    if weight is not None:
        out = out * _per_channel(x, weight)
    if bias is not None:
        out = out + _per_channel(x, bias)
    return out


def _per_channel(x: Array, numbers: Array) -> Array:
    """(C,) -> (C, 1, 1), which broadcasts with (N, C, H, W), in x's dtype."""
    numbers = np.asarray(numbers, x.dtype)
    if x.ndim < 2 or numbers.shape != (x.shape[1],):
        raise ShapeError(
            f"expects {len(numbers)} channels, got {x.shape[1] if x.ndim > 1 else 'none'}\n"
            f"  input       {x.shape}   N, C, ...\n"
            f"  parameters  {numbers.shape}   C"
        )
    return numbers.reshape(-1, *[1] * (x.ndim - 2))


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
