"""Linear layer: every output is a dot product with all features."""

from __future__ import annotations

from math import prod

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array, Node
from npresnet.ops.record import Operation, Shape, sees_all


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Multiply by a matrix and add the bias.

    out[n,o] = bias[o] + sum over c of weight[o,c] * x[n,c]

    x        (N, C)    any float dtype, also that of the result
    weight   (O, C)
    bias     (O,)      optional
    returns  (N, O)

    Cost: N * O * C multiply-adds. Raises ShapeError if the number of features differs. Source: torch.nn.Linear.
    """
    x, weight = np.asarray(x), np.asarray(weight)
    if x.ndim != 2 or x.shape[1] != weight.shape[1]:
        raise ShapeError(
            f"expects {weight.shape[1]} features, got {x.shape[1] if x.ndim == 2 else f'an array of {x.ndim} axes'}\n"
            f"  input   {x.shape}   N, in_features\n"
            f"  weight  {weight.shape}   out_features, in_features"
        )
    out = x @ weight.astype(x.dtype, copy=False).T  # (N, C) @ (C, O) -> (N, O)
    return out if bias is None else out + np.asarray(bias, x.dtype)


def _infer_shape(node: Node, inputs: list[Shape]) -> Shape:
    out_features, in_features = node.params["weight"].shape
    if inputs[0] != (in_features,):
        raise ShapeError(
            f"expects {in_features} features, got {inputs[0]}\n"
            f"  weight  {(out_features, in_features)}   out_features, in_features"
        )
    return (out_features,)


LINEAR = Operation(
    name="linear",
    label="linear layer",
    title="Linear",
    compute=lambda node, x: linear(x, node.params["weight"], node.params.get("bias")),
    infer_shape=_infer_shape,
    count_macs=lambda node, inputs, out: prod(node.params["weight"].shape),
    sees=sees_all,
    fuses=True,
)
