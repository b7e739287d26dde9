"""PReLU: a leaky ReLU whose slope is learned, one for each channel or one for all."""

from __future__ import annotations

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array, Node
from npresnet.ops.record import Operation, Shape, flat_shape


def prelu(x: Array, weight: Array) -> Array:
    """Multiply negative values by a learned slope.

    out[n,c,i,j] = x[n,c,i,j] if x[n,c,i,j] >= 0 else weight[c] * x[n,c,i,j]

    x       (N, C, ...)    any float dtype, also that of the result
    weight  (C,) or (1,)   the slopes; one number applies to all channels

    Cost: 2 operations per value, no multiply-adds. Raises ShapeError for another number of slopes.
    Source: He et al. 2015, "Delving Deep into Rectifiers", equation 1; torch.nn.PReLU.
    """
    x = np.asarray(x)
    slopes = np.asarray(weight, x.dtype)
    _check(slopes, x.shape[1:])
    return np.where(x < 0, x * slopes.reshape(-1, *[1] * (x.ndim - 2)), x)


def _check(weight: Array, shape: Shape) -> None:
    if weight.shape not in (shape[:1], (1,)):
        raise ShapeError(
            f"expects one slope, or one for each channel, got {weight.shape} for a value of shape {shape} (C, H, W)"
        )


def _infer_shape(node: Node, inputs: list[Shape]) -> Shape:
    _check(node.params["weight"], flat_shape(inputs[0]))
    return inputs[0]


PRELU = Operation(
    name="prelu",
    label="PReLU",
    title="PReLU",
    compute=lambda node, x: prelu(x, node.params["weight"]),
    infer_shape=_infer_shape,
    fuses=True,
)
