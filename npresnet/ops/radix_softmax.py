"""Softmax over the radix: how much of each group of channels goes into their weighted sum (split attention)."""

from __future__ import annotations

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array, Node
from npresnet.ops.activations import sigmoid
from npresnet.ops.radix_sum import channels_of_radix
from npresnet.ops.record import Operation, Shape
from npresnet.ops.softmax import softmax


def radix_softmax(x: Array, *, radix: int, cardinality: int = 1) -> Array:
    """A softmax over the `radix` numbers of every channel, or a sigmoid where there is one; the order changes, too.

    out[n, (r*G + g)*D + d] = softmax over r of x[n, (g*R + r)*D + d]

    x            (N, G*R*D, 1, 1) or (N, G*R*D)    any float dtype, also that of the result; logits
    radix, R                                       1: a sigmoid of every number
    cardinality, G                                 groups of the convolution that computed x; D = channels / (G*R)
    returns      the shape of x                    radix before cardinality, as `radix_weighted_sum` reads it

    Cost: one exponential per value. Raises ShapeError for other shapes. Source: Zhang et al. 2020, "ResNeSt", equation
    3; timm, layers/split_attn.py, RadixSoftmax. With G = 1: Li et al. 2019, "Selective Kernel Networks", equation 5.
    """
    x = np.asarray(x)
    channels = _channels(x.shape[1:], radix, cardinality)
    if radix == 1:
        return sigmoid(x)
    logits = x.reshape(len(x), cardinality, radix, channels).swapaxes(1, 2)  # (N, R, G, D)
    return softmax(logits, axis=1).reshape(x.shape)


def _channels(shape: Shape, radix: int, cardinality: int) -> int:
    if len(shape) not in (1, 3) or any(size != 1 for size in shape[1:]):
        raise ShapeError(f"expects one number per channel, (C, 1, 1) or (C,), got {shape}")
    return channels_of_radix(shape[0], radix, cardinality)


def _infer_shape(node: Node, inputs: list[Shape]) -> Shape:
    _channels(inputs[0], node.attrs["radix"], node.attrs.get("cardinality", 1))
    return inputs[0]


RADIX_SOFTMAX = Operation(
    name="radix_softmax",
    label="softmax over the radix",
    title="RadixSoftmax",
    compute=lambda node, x: radix_softmax(x, radix=node.attrs["radix"], cardinality=node.attrs.get("cardinality", 1)),
    infer_shape=_infer_shape,
)
