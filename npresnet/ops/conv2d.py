"""Convolution as one matrix product: copy every window into a column (im2col), then multiply by the filters.

As usual in deep learning, "convolution" is cross-correlation: the filter is not flipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array, Node
from npresnet.ops.add import add, one_shape
from npresnet.ops.record import Operation, Shape, image_shape, sees_window, window_of
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
    _check(x, weight, bias, groups)
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


def _check(x: Array, weight: Array, bias: Array | None, groups: int) -> None:
    check_image(x)
    if weight.ndim != 4:
        raise ShapeError(
            f"expects filters (out_channels, in_channels/groups, kernel_height, kernel_width), got {weight.shape}"
        )
    out_channels, group_channels = weight.shape[:2]
    if x.shape[1] != group_channels * groups:
        raise ShapeError(
            f"expects {group_channels * groups} input channels, got {x.shape[1]}\n"
            f"  input   {x.shape}   N, C, H, W\n"
            f"  weight  {weight.shape}   out_channels, in_channels/groups, kernel_height, kernel_width\n"
            f"  Each filter reads in_channels/groups channels (groups = {groups})."
        )
    if groups < 1 or out_channels % groups:
        raise ShapeError(f"cannot split {out_channels} filters into {groups} groups of equal size")
    if bias is not None and np.shape(bias) != (out_channels,):
        raise ShapeError(f"expects one bias per filter, ({out_channels},), got {np.shape(bias)}")


def folded_weight(node: Node) -> Array:
    """A convolution's filters (O, C/G, KH, KW): weight[o], or weight[o] * scale[o] in float64 with a folded BatchNorm.

    A backend that computes in float32 rounds the product once.
    """
    weight, scale = node.params["weight"], node.params.get("scale")
    if scale is None:
        return weight
    scaled: Array = np.multiply(weight, scale[:, None, None, None], dtype=np.float64)
    return scaled


def compute_conv2d(node: Node, x: Array, residual: Array | None = None) -> Array:
    """`conv(x)`, plus the residual of a fused addition; see passes.fuse."""
    weight, window = folded_weight(node), window_of(node)
    if weight.shape[2:] != window.kernel_size:
        raise ShapeError(f"expects filters of size {window.kernel_size}, got weights of shape {weight.shape}")
    out = conv2d(
        x,
        weight,
        node.params.get("bias"),
        stride=window.stride,
        padding=window.padding,
        dilation=window.dilation,
        groups=node.groups,
    )
    return out if residual is None else add(out, residual)


def infer_conv2d(node: Node, inputs: list[Shape]) -> Shape:
    """(O, OH, OW), also the required shape of a residual. Raises ShapeError."""
    channels, *size = image_shape(inputs[0])
    out_channels, group_channels, kernel_height, kernel_width = node.params["weight"].shape
    if channels != group_channels * node.groups:
        raise ShapeError(
            f"expects {group_channels * node.groups} input channels, got {channels}\n"
            f"  input   {inputs[0]}   C, H, W\n"
            f"  weight  {node.params['weight'].shape}   out_channels, in_channels/groups, kernel_height, kernel_width\n"
            f"  Each filter reads in_channels/groups channels (groups = {node.groups})."
        )
    window, bias = window_of(node), node.params.get("bias")
    if (kernel_height, kernel_width) != window.kernel_size:
        raise ShapeError(f"expects filters of size {window.kernel_size}, got weights {node.params['weight'].shape}")
    if bias is not None and bias.shape != (out_channels,):
        raise ShapeError(f"expects one bias per filter, ({out_channels},), got {bias.shape}")
    shape = (out_channels, *window.output_size(size))
    return shape if len(inputs) == 1 else one_shape(node, [shape, inputs[1]])


def conv2d_macs(node: Node, shape: Shape) -> int:
    """Multiply-adds of a convolution whose result, before a fused pool, has this shape."""
    return prod(shape) * prod(node.params["weight"].shape[1:])


CONV2D = Operation(
    name="conv2d",
    label="convolution",
    title="Conv2d",
    compute=compute_conv2d,
    infer_shape=infer_conv2d,
    count_macs=lambda node, inputs, out: conv2d_macs(node, out),
    sees=sees_window,
    inputs=(1, 2),
    fuses=True,
)
