"""One convolution, written five times: each rung computes the same numbers with one idea more.

    seven_loops        the definition, one multiply-add at a time
    tap_by_tap         NumPy instead of loops: all positions at once, one tap of the filter after the other
    im2col_product     every window as a column, then one matrix product (`npresnet.ops.conv2d`)
    tiled_and_fused    the same product band by band, and bias, residual and ReLU while a band is in the cache

The fifth, npresnet's own backend, is `npresnet.cpu`; on a GPU the ladder goes on in `kernels/`. All take

    x (N, C, H, W), weight (O, C/G, KH, KW), window, groups G -> out (N, O, OH, OW)
    out[n,o,i,j] = sum over c,u,v of weight[o,c,u,v] * x[n, g(o)*C/G + c, i*s + u*d - p, j*s + v*d - p]

in x's dtype, where g(o) = o // (O/G) and x is 0 outside the image. `npresnet ladder` proves them equal and times them.
"""

from __future__ import annotations

import numpy as np

from npresnet.network import Array
from npresnet.ops.conv2d import conv2d, im2col
from npresnet.window import Window


def seven_loops(x: Array, weight: Array, window: Window, groups: int = 1) -> Array:
    """The definition: for each output, for each number that it sees, one multiply-add.

    N*O*OH*OW * C/G*KH*KW of them.
    """
    N, C, H, W = x.shape
    O, group_channels, KH, KW = weight.shape  # noqa: E741  O: output channels
    OH, OW = window.output_size((H, W))
    (stride_h, stride_w), (padding_h, padding_w) = window.stride, window.padding
    dilation_h, dilation_w = window.dilation
    out = np.zeros((N, O, OH, OW), x.dtype)
    for n in range(N):
        for o in range(O):
            first_channel = o // (O // groups) * group_channels
            for i in range(OH):
                for j in range(OW):
                    total = x.dtype.type(0)
                    for c in range(group_channels):
                        for u in range(KH):
                            for v in range(KW):
                                row = i * stride_h + u * dilation_h - padding_h
                                column = j * stride_w + v * dilation_w - padding_w
                                if 0 <= row < H and 0 <= column < W:
                                    total += weight[o, c, u, v] * x[n, first_channel + c, row, column]
                    out[n, o, i, j] = total
    return out


def tap_by_tap(x: Array, weight: Array, window: Window, groups: int = 1) -> Array:
    """For each tap of the filter: shift the image under it, mix its channels by one small matrix, and add."""
    N, C, H, W = x.shape
    O, group_channels, KH, KW = weight.shape  # noqa: E741
    OH, OW = window.output_size((H, W))
    (stride_h, stride_w), (padding_h, padding_w) = window.stride, window.padding
    padded = np.pad(x, [(0, 0), (0, 0), (padding_h, padding_h), (padding_w, padding_w)])
    out = np.zeros((N, groups, O // groups, OH * OW), x.dtype)
    for u in range(KH):
        for v in range(KW):
            top, left = u * window.dilation[0], v * window.dilation[1]
            seen = padded[:, :, top : top + OH * stride_h : stride_h, left : left + OW * stride_w : stride_w]
            seen = seen[:, :, :OH, :OW].reshape(N, groups, group_channels, OH * OW)
            out += weight[:, :, u, v].reshape(groups, O // groups, group_channels) @ seen  # (G, O/G, C/G) @ (.., L)
    return out.reshape(N, O, OH, OW)


def im2col_product(x: Array, weight: Array, window: Window, groups: int = 1) -> Array:
    """All windows as columns of one matrix, the filters as rows of another: their product is the convolution."""
    stride, padding, dilation = window.stride, window.padding, window.dilation
    return conv2d(x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)


def tiled_and_fused(
    x: Array,
    weight: Array,
    window: Window,
    groups: int = 1,
    *,
    bias: Array | None = None,
    residual: Array | None = None,
    relu: bool = False,
    band: int = 8,
) -> Array:
    """im2col and product for `band` rows of output at a time, the last band as ragged as it comes.

    The columns of one band fit the cache, where the whole matrix would go through memory twice; and what follows the
    convolution (+ bias, + residual, ReLU) is done to a band before it leaves the cache.
    """
    N, C, H, W = x.shape
    O = len(weight)  # noqa: E741
    OH, OW = window.output_size((H, W))
    (stride, _), (extent, _), (padding_h, padding_w) = window.stride, window.extent, window.padding
    padded = np.pad(x, [(0, 0), (0, 0), (padding_h, padding_h), (padding_w, padding_w)])
    inside = Window(window.kernel_size, window.stride, (0, 0), window.dilation)  # its border is in `padded` already
    filters = weight.reshape(groups, O // groups, -1)  # (G, O/G, K)
    out = np.empty((N, O, OH, OW), x.dtype)
    for n in range(N):
        for first in range(0, OH, band):
            last = min(first + band, OH)
            rows = padded[n : n + 1, :, first * stride : (last - 1) * stride + extent]
            columns = im2col(rows, inside).reshape(groups, -1, (last - first) * OW)  # (G, K, rows*OW)
            tile = (filters @ columns).reshape(O, last - first, OW)
            if bias is not None:
                tile += bias[:, None, None]
            if residual is not None:
                tile += residual[n, :, first:last]
            out[n, :, first:last] = np.maximum(tile, 0) if relu else tile
    return out
