"""Pools: one number from each window, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array
from npresnet.ops.windows import check_image, sliding_windows
from npresnet.window import Window


def max_pool2d(
    x: Array,
    kernel_size: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Array:
    """The largest value under each window.

    out[n,c,i,j] = max over u,v of x[n, c, i*s + u*d - p, j*s + v*d - p]

    x          (N, C, H, W)    any float dtype, which the result keeps; outside the image x is -inf, never 0: a border
                               of zeros would win over negative values. NaN under a window gives NaN
    ceil_mode                  round the output's size up, so that the last, partly empty window counts
    returns    (N, C, OH, OW)

    Cost: N * C * OH*OW * KH*KW comparisons. Raises ShapeError where the padded image is smaller than the window, or the
    padding is more than half the kernel_size. Source: PyTorch, torch.nn.MaxPool2d.
    """
    x = np.asarray(x)
    check_image(x)
    window = Window.of(kernel_size, stride, padding, dilation)
    _check_padding(window)
    out_size = window.output_size(x.shape[2:], ceil_mode=ceil_mode)
    windows = sliding_windows(x, window, out_size, fill=-np.inf)  # (N, C, OH, OW, KH, KW)
    return windows.max(axis=(4, 5))  # (N, C, OH, OW)


def avg_pool2d(
    x: Array,
    kernel_size: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """The mean under each window: the sum, then one division.

    out[n,c,i,j] = (sum over u,v of x[n, c, i*s + u - p, j*s + v - p]) / count[i,j]

    x                  (N, C, H, W)    any float dtype, which the result keeps; outside the image x is 0
    ceil_mode                          round the output's size up, so that the last, partly empty window counts
    count_include_pad                  True: count[i,j] is the part of the window inside the padded image (the positions
                                       that only ceil_mode adds never count); False: the part inside the image
    returns            (N, C, OH, OW)

    Cost: N * C * OH*OW * KH*KW additions. Raises ShapeError as max_pool2d. Source: PyTorch, torch.nn.AvgPool2d.
    """
    x = np.asarray(x)
    check_image(x)
    window = Window.of(kernel_size, stride, padding)
    _check_padding(window)
    out_size = window.output_size(x.shape[2:], ceil_mode=ceil_mode)
    sums = sliding_windows(x, window, out_size, fill=0).sum(axis=(4, 5))  # (N, C, OH, OW)
    rows, columns = (
        _counted(window, axis, x.shape[2 + axis], out_size[axis], count_include_pad) for axis in (0, 1)
    )  # (OH,), (OW,)
    return sums / np.outer(rows, columns).astype(x.dtype)


def global_avg_pool(x: Array) -> Array:
    """The mean of each channel over the whole image: the sum, then one division.

    out[n,c,0,0] = (sum over i,j of x[n,c,i,j]) / (H*W)

    x        (N, C, H, W)    any float dtype, which the result keeps
    returns  (N, C, 1, 1)

    Cost: N * C * H*W additions. Raises ShapeError where x has not four axes. Source: Lin et al. 2014, "Network In
    Network", section 3.2; torch.nn.AdaptiveAvgPool2d(1).
    """
    x = np.asarray(x)
    check_image(x)
    H, W = x.shape[2:]
    return x.sum(axis=(2, 3), keepdims=True) / x.dtype.type(H * W)


def _counted(window: Window, axis: int, size: int, out_size: int, include_pad: bool) -> list[int]:
    """For each output position along one axis: the input positions of its window that the mean divides by."""
    border = window.padding[axis] if include_pad else 0
    ranges = (window.input_range(axis, i, i + 1) for i in range(out_size))
    return [min(stop, size + border) - max(first, -border) for first, stop in ranges]


def _check_padding(window: Window) -> None:
    """PyTorch draws the same line: a window that lies in the padding altogether has no maximum and no mean."""
    if any(2 * p > k for p, k in zip(window.padding, window.kernel_size, strict=True)):
        raise ShapeError(
            f"expects padding of at most half the kernel_size, got padding {window.padding} "
            f"and kernel_size {window.kernel_size}"
        )
