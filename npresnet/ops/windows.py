"""Sliding windows as views: the only place in ops that converts a Window to array positions."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from npresnet.errors import ShapeError
from npresnet.network import Array
from npresnet.window import Axes, Window


def sliding_windows(x: Array, window: Window, out_size: Axes, fill: float) -> Array:
    """The inputs at all taps of all window positions, over as many axes as the window has.

    windows[n,c,i,j,u,v] = x[n, c, i*s + u*d - p, j*s + v*d - p], and `fill` outside the image

    x         (N, C, H, W)               or clips (N, C, T, H, W)
    out_size  (OH, OW)                   window.output_size((H, W)); pools may round up
    fill      value of the padding       0 for sums, -inf for maxima
    returns   (N, C, OH, OW, KH, KW)     a read-only view of the padded image, without copying
    """
    padded = _pad(x, window, out_size, fill)
    axes = range(2, x.ndim)
    everywhere = sliding_window_view(padded, window.extent, axis=tuple(axes))  # stride 1, no dilation
    steps = tuple(slice(None, None, step) for step in (*window.stride, *window.dilation))
    return everywhere[(slice(None),) * 2 + steps]


def check_image(x: Array) -> None:
    """Raise ShapeError unless `x` is (N, C, H, W)."""
    if x.ndim != 4:
        raise ShapeError(f"expects a batch of images (N, C, H, W), got an array of shape {x.shape}")


def check_clip(x: Array) -> None:
    """Raise ShapeError unless `x` is (N, C, T, H, W)."""
    if x.ndim != 5:
        raise ShapeError(f"expects a batch of clips (N, C, T, H, W), got an array of shape {x.shape}")


def check_map(x: Array) -> None:
    """Raise ShapeError unless `x` is images (N, C, H, W) or clips (N, C, T, H, W)."""
    if x.ndim != 5:
        check_image(x)


def check_padding(window: Window) -> None:
    """Raise ShapeError if a window could lie entirely in the padding, under the same condition as PyTorch."""
    if any(2 * p > k for p, k in zip(window.padding, window.kernel_size, strict=True)):
        raise ShapeError(
            f"expects padding of at most half the kernel_size, got padding {window.padding} "
            f"and kernel_size {window.kernel_size}"
        )


def _pad(x: Array, window: Window, out_size: Axes, fill: float) -> Array:
    """The map with as much padding as the windows need: (N, C, top + H + bottom, left + W + right) of an image."""
    widths = []
    for axis, (size, count) in enumerate(zip(x.shape[2:], out_size, strict=True)):
        first, stop = window.input_range(axis, 0, count)
        widths.append((-first, max(0, stop - size)))
    return np.pad(x, [(0, 0), (0, 0), *widths], constant_values=fill)
