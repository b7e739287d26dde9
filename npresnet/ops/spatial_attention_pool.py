"""Spatial attention pool: a weighted mean over all positions, the weights a softmax (global context)."""

from __future__ import annotations

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array, Node
from npresnet.ops.record import Operation, Shape, image_shape, sees_all
from npresnet.ops.softmax import softmax
from npresnet.ops.windows import check_image


def spatial_attention_pool(x: Array, logits: Array) -> Array:
    """One number per channel: the mean over all positions, weighted by the softmax of one logit per position.

    a[n,i,j]     = exp(logits[n,0,i,j]) / sum over h,w of exp(logits[n,0,h,w])
    out[n,c,0,0] = sum over i,j of a[n,i,j] * x[n,c,i,j]

    x        (N, C, H, W)    any float dtype, also that of the result
    logits   (N, 1, H, W)
    returns  (N, C, 1, 1)

    Cost: N * C * H*W multiplications and additions, not counted as multiply-adds: no weights of the file. Raises
    ShapeError for other shapes. Source: Cao et al. 2019, "GCNet: Non-local Networks Meet Squeeze-Excitation Networks
    and Beyond", equation 4.
    """
    x, logits = np.asarray(x), np.asarray(logits)
    check_image(x)
    if logits.shape != (len(x), 1, *x.shape[2:]):
        raise ShapeError(
            f"expects one logit per position\n  input   {x.shape}   N, C, H, W\n  logits  {logits.shape}   N, 1, H, W"
        )
    attention = softmax(logits.reshape(len(x), -1)).reshape(logits.shape)  # (N, 1, H, W)
    return (x * attention).sum(axis=(2, 3), keepdims=True)


def _infer_shape(node: Node, inputs: list[Shape]) -> Shape:
    (channels, *size), logits = image_shape(inputs[0]), inputs[1]
    if logits != (1, *size):
        raise ShapeError(f"expects one logit per position of {inputs[0]} (C, H, W): {(1, *size)}, got {logits}")
    return (channels, 1, 1)


SPATIAL_ATTENTION_POOL = Operation(
    name="spatial_attention_pool",
    label="spatial attention pool",
    title="",
    compute=lambda node, x, logits: spatial_attention_pool(x, logits),
    infer_shape=_infer_shape,
    sees=sees_all,
    inputs=(2, 2),
)
