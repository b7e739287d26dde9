"""Convolution as one matrix product: copy every window into a column (im2col), then multiply by the filters.

As usual in deep learning, "convolution" is cross-correlation: the filter is not flipped.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from npresnet.network import Array, Node
from npresnet.ops.convolution import (
    check_convolution,
    compute_convolution,
    convolution_macs,
    convolved_shape,
    with_residual,
)
from npresnet.ops.record import Operation, Shape, image_shape, sees_window
from npresnet.ops.windows import check_image, sliding_windows
from npresnet.window import Window


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Array:
    """Convolve images with filters; each output is one dot product.

    out[n,o,i,j] = bias[o] + sum over c,u,v of weight[o,c,u,v] * x[n, g(o)*C/G + c, i*s + u*d - p, j*s + v*d - p]

    x        (N, C, H, W)        any float dtype, also that of the result; outside the image x is 0
    weight   (O, C/G, KH, KW)    G = groups, g(o) = o // (O/G): each group of filters reads only its own channels
    bias     (O,)                optional
    stride, padding, dilation    one number, or (height, width); dilation 1 means none
    returns  (N, O, OH, OW)      OH, OW = Window.output_size((H, W))

    Cost: N * O*OH*OW * C/G*KH*KW multiply-adds, and memory for N * C*KH*KW * OH*OW numbers (the columns).
    Raises ShapeError if the channels differ or the padded image is smaller than the window.
    Source: PyTorch, torch.nn.Conv2d.
    """
    x, weight = np.asarray(x), np.asarray(weight)
    check_image(x)
    check_convolution("N, C, H, W", x.shape, weight, bias, groups)
    window = Window.of(weight.shape[2:], stride, padding, dilation)
    N, out_channels, G = len(x), len(weight), groups

    columns = im2col(x, window)  # (N, C*KH*KW, L)
    columns = columns.reshape(N, G, columns.shape[1] // G, columns.shape[2])  # (N, G, C/G*KH*KW, L)
    filters = weight.astype(x.dtype, copy=False).reshape(G, out_channels // G, -1)  # (G, O/G, C/G*KH*KW)
    out = filters @ columns  # (G, O/G, K) @ (N, G, K, L) -> (N, G, O/G, L) where K = C/G*KH*KW
    out = out.reshape(N, out_channels, *window.output_size(x.shape[2:]))  # (N, O, OH, OW)
    return out if bias is None else out + np.asarray(bias, x.dtype)[:, None, None]


def im2col(x: Array, window: Window) -> Array:
    """The image as a matrix: one column per position of the window, one row per channel and tap.

    columns[n, (c*KH + u)*KW + v, i*OW + j] = x[n, c, i*s + u*d - p, j*s + v*d - p], and 0 outside the image

    A column holds the inputs of one output, in the memory order of a filter weight[o], so
    weight.reshape(O, C*KH*KW) @ columns is the convolution: each entry of the product is one filter on one window.
    Example: a 1x3x3 image and a 2x2 window have L = 4 positions, each a column of 4 taps (rows: the taps):

        1 2 3      positions:  1 2   2 3   4 5   5 6      columns:  1 2 4 5
        4 5 6                  4 5   5 6   7 8   8 9                2 3 5 6
        7 8 9                                                       4 5 7 8
                                                                    5 6 8 9

    x        (N, C, H, W)
    returns  (N, C*KH*KW, L)    L = OH*OW; a copy: overlapping windows repeat a pixel up to KH*KW times
    """
    out_size = window.output_size(x.shape[2:])
    windows = sliding_windows(x, window, out_size, fill=0)  # (N, C, OH, OW, KH, KW), no copy yet
    rows_first = windows.transpose(0, 1, 4, 5, 2, 3)  # (N, C, KH, KW, OH, OW), no copy yet
    N, C, KH, KW, OH, OW = rows_first.shape
    return rows_first.reshape(N, C * KH * KW, OH * OW)  # the copy


def compute_conv2d(node: Node, x: Array, residual: Array | None = None) -> Array:
    """`conv2d` with a node's folded filters, plus a residual."""
    return compute_convolution(conv2d, node, x, residual)


def infer_conv2d(node: Node, inputs: list[Shape]) -> Shape:
    """(O, OH, OW), also the required shape of a residual. Raises ShapeError."""
    return with_residual(node, convolved_shape("C, H, W", node, image_shape(inputs[0])), inputs)


CONV2D = Operation(
    name="conv2d",
    label="convolution",
    title="Conv2d",
    compute=compute_conv2d,
    infer_shape=infer_conv2d,
    count_macs=lambda node, inputs, out: convolution_macs(node, out),
    sees=sees_window,
    inputs=(1, 2),
    fuses=True,
)
