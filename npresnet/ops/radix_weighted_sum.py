"""The weighted sum of a map's radix groups: the end of split attention (selective kernels, ResNeSt)."""

from __future__ import annotations

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array, Node
from npresnet.ops.radix_sum import channels_of_radix, radix_sum
from npresnet.ops.record import POINT, Operation, Shape, image_shape
from npresnet.ops.windows import check_image
from npresnet.window import Window


def radix_weighted_sum(x: Array, weights: Array, *, radix: int) -> Array:
    """The sum of `radix` groups of channels, each channel times its own weight.

    out[n,c,i,j] = sum over r of weights[n, r*C + c] * x[n, r*C + c, i, j]

    x        (N, R*C, H, W)                   R = radix; any float dtype, also that of the result
    weights  (N, R*C, 1, 1) or (N, R*C)       of `radix_softmax`
    returns  (N, C, H, W)

    Cost: N * R*C * H*W multiplications and additions, not counted as multiply-adds: no weights of the file. Raises
    ShapeError for other shapes. Source: Zhang et al. 2020, "ResNeSt", equation 2; Li et al. 2019, "Selective Kernel
    Networks", equation 6.
    """
    x, weights = np.asarray(x), np.asarray(weights)
    check_image(x)
    if len(x) != len(weights) or not _fits(x.shape[1:], weights.shape[1:]):
        raise ShapeError(
            f"expects one weight per channel\n"
            f"  input    {x.shape}   N, radix*C, H, W\n"
            f"  weights  {weights.shape}   N, radix*C, 1, 1"
        )
    return radix_sum(x * weights.reshape(*x.shape[:2], 1, 1), radix=radix)


def _fits(shape: Shape, weights: Shape) -> bool:
    return weights in ((shape[0], 1, 1), shape[:1])


def _infer_shape(node: Node, inputs: list[Shape]) -> Shape:
    (channels, *size), weights = image_shape(inputs[0]), inputs[1]
    if not _fits(inputs[0], weights):
        raise ShapeError(
            f"expects one weight per channel of {inputs[0]} (radix*C, H, W): {(channels, 1, 1)} or {(channels,)}, "
            f"got {weights}"
        )
    return (channels_of_radix(channels, node.attrs["radix"]), *size)


def _sees(node: Node, index: int, shape: Shape) -> Window | None:
    """Every position depends on all the weights."""
    return POINT if index == 0 else None


RADIX_WEIGHTED_SUM = Operation(
    name="radix_weighted_sum",
    label="weighted sum over the radix",
    title="",
    compute=lambda node, x, weights: radix_weighted_sum(x, weights, radix=node.attrs["radix"]),
    infer_shape=_infer_shape,
    sees=_sees,
    inputs=(2, 2),
    fuses=True,
)
