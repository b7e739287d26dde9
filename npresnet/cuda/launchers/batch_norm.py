"""BatchNorm that could not be folded: kernels/batch_norm/batch_norm.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.vectors import ceil_div, form, source_for
from npresnet.network import Array

FILE = "batch_norm/batch_norm.cu"
THREADS = 256


def scale_and_shift(
    running_mean: Array, running_var: Array, weight: Array | None = None, bias: Array | None = None, *, eps: float
) -> tuple[Array, Array]:
    """The line that BatchNorm is at inference, (C,) float32 each, worked out in float64.

    scale = weight / sqrt(running_var + eps), shift = bias - running_mean * scale; weight 1 and bias 0 where absent
    """
    scale = 1 / np.sqrt(np.asarray(running_var, np.float64) + eps)
    if weight is not None:
        scale = scale * weight
    shift = -np.asarray(running_mean, np.float64) * scale
    if bias is not None:
        shift = shift + bias
    return scale.astype(np.float32), shift.astype(np.float32)


def launches(
    positions: int, channels: int, element: Element, *, x: int, scale: int, shift: int, y: int, relu: bool = False
) -> list[Launch]:
    """y[p,c] = x[p,c] * scale[c] + shift[c], clamped at 0 with `relu`.

    x, y           (positions, channels)   element's storage; positions = N*H*W
    scale, shift   (channels,)             float32
    """
    name, width = form(element, channels)
    vectors = positions * channels // width
    addresses = (np.uint64(x), np.uint64(scale), np.uint64(shift), np.uint64(y))
    args = (*addresses, np.uint32(vectors), np.int32(channels), np.int32(relu))
    grid = (ceil_div(vectors, THREADS), 1, 1)
    return [Launch(source_for(FILE, element), f"batch_norm_{name}", grid, (THREADS, 1, 1), args)]
