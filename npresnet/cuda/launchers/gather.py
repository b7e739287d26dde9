"""Images of any strides and floating type, already on the GPU, to NCHW float32: kernels/gather/gather.cu."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from npresnet.cuda.launch import Launch, Source
from npresnet.cuda.launchers.vectors import ceil_div

FILE = "gather/gather.cu"
THREADS = 256
DTYPES = ("float16", "float32", "float64")

# kernels/gather/gather.cu, struct Strided: the same fields in the same order
STRIDED = np.dtype([("strides", np.int64, 4), ("size", np.int32, 3)], align=True)


def launches(
    shape: Sequence[int], strides: Sequence[int], dtype: np.dtype[np.generic], *, x: int, y: int
) -> list[Launch]:
    """y[n,c,h,w] = float32(x[n,c,h,w])

    shape    (N, C, H, W), none of them 0
    strides  of x along each, in bytes: multiples of an item, positive or not
    x        address of x[0,0,0,0], of a dtype of DTYPES
    y        (N, C, H, W) float32
    """
    source = np.zeros(1, STRIDED)
    source["strides"] = [stride // dtype.itemsize for stride in strides]
    source["size"] = shape[1:]
    grid = (ceil_div(prod(shape), THREADS), 1, 1)
    args = (np.uint64(x), np.uint64(y), np.uint64(prod(shape)), source)
    return [Launch(Source(FILE), f"gather_{dtype.name}", grid, (THREADS, 1, 1), args)]
