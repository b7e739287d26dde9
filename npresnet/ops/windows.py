"""What a sliding window sees, as a view: the one place where ops turns a Window into array positions."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from npresnet.errors import ShapeError
from npresnet.network import Array
from npresnet.window import Axes, Window


def sliding_windows(x: Array, window: Window, out_size: Axes, fill: float) -> Array:
    """Every position of the window over the image, and every tap in it.

    windows[n,c,i,j,u,v] = x[n, c, i*s + u*d - p, j*s + v*d - p], and `fill` outside the image

    x         (N, C, H, W)
    out_size  (OH, OW)                   window.output_size((H, W)); pools may round up
    fill      what the padding holds     0 for sums, -inf for maxima
    returns   (N, C, OH, OW, KH, KW)     a read-only view of the padded image: KH*KW times larger, but no new memory
    """
    padded = _pad(x, window, out_size, fill)
    stride_height, stride_width = window.stride
    dilation_height, dilation_width = window.dilation
    everywhere = sliding_window_view(padded, window.extent, axis=(2, 3))  # stride 1, no dilation
    return everywhere[:, :, ::stride_height, ::stride_width, ::dilation_height, ::dilation_width]


def check_image(x: Array) -> None:
    """Raise ShapeError where `x` is no (N, C, H, W)."""
    if x.ndim != 4:
        raise ShapeError(f"expects a batch of images (N, C, H, W), got an array of shape {x.shape}")


def check_padding(window: Window) -> None:
    """PyTorch draws the same line: a window that lies in the padding altogether has no maximum and no mean."""
    if any(2 * p > k for p, k in zip(window.padding, window.kernel_size, strict=True)):
        raise ShapeError(
            f"expects padding of at most half the kernel_size, got padding {window.padding} "
            f"and kernel_size {window.kernel_size}"
        )


def _pad(x: Array, window: Window, out_size: Axes, fill: float) -> Array:
    """The image with just the border that the windows reach into: (N, C, H + top + bottom, W + left + right)."""
    borders = []
    for axis, (size, count) in enumerate(zip(x.shape[2:], out_size, strict=True)):
        first, stop = window.input_range(axis, 0, count)
        borders.append((-first, max(0, stop - size)))
    return np.pad(x, [(0, 0), (0, 0), *borders], constant_values=fill)
