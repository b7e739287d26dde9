"""From uint8 pictures to the network's input: kernels/preprocess/preprocess.cu."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.vectors import ceil_div, source_for
from npresnet.network import Array

FILE = "preprocess/preprocess.cu"
THREADS = 256
PADDED_CHANNELS = (1, 2, 3, 4, 8)  # what y may have

# kernels/preprocess/preprocess.cu, struct Normalisation: the same fields in the same order
NORMALISATION = np.dtype([("mean", np.float32, 4), ("std", np.float32, 4), ("channels", np.int32)])


def launches(
    pixels: int,
    mean: Sequence[float],
    std: Sequence[float],
    padded_channels: int,
    element: Element,
    *,
    x: int,
    y: int,
) -> list[Launch]:
    """Normalise pictures that are resized and cropped already; the channels that are missing become zeros.

    y[p,c] = (x[p,c] / 255 - mean[c]) / std[c], each step rounded to float32: in float32 the CPU's very bits

    pixels     of all images together: N*H*W
    mean, std  one number a channel, 1 to 4 of them: as `npresnet.images.Preprocess` holds them
    x          (N, H, W, channels)          uint8
    y          (N, H, W, padded_channels)   element's storage; 8, 4, or as many as x has
    """
    grid = (ceil_div(pixels, THREADS), 1, 1)
    args = (np.uint64(x), np.uint64(y), np.uint32(pixels), struct(mean, std))
    return [Launch(source_for(FILE, element), f"preprocess_{padded_channels}", grid, (THREADS, 1, 1), args)]


def struct(mean: Sequence[float], std: Sequence[float]) -> Array:
    """The kernels' `Normalisation` argument: a structured array of one item, passed by value."""
    how = np.zeros(1, NORMALISATION)
    how["mean"][0, : len(mean)] = mean
    how["std"][0, : len(std)] = std
    how["channels"] = len(mean)
    return how
