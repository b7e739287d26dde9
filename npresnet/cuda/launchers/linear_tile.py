"""Fully connected, 32 images x 32 outputs a block: kernels/linear/tile.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.vectors import ceil_div, source_for
from npresnet.cuda.shapes import LinearShape

FILE = "linear/tile.cu"
TILE = 32


def launches(shape: LinearShape, element: Element, *, x: int, weight: int, bias: int, y: int) -> list[Launch]:
    """Any N, C and O. Arrays as `linear.launches` has them."""
    grid = (ceil_div(shape.out_features, TILE), ceil_div(shape.images, TILE), 1)
    args = (*map(np.uint64, (x, weight, bias, y)), *shape.args())
    return [Launch(source_for(FILE, element), "linear_tile", grid, (8, 8, 1), args)]
