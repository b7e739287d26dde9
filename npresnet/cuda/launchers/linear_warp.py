"""Fully connected, a warp for each output: kernels/linear/warp.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.vectors import ceil_div, form, source_for
from npresnet.cuda.shapes import LinearShape

FILE = "linear/warp.cu"
WARPS = 4


def launches(shape: LinearShape, element: Element, *, x: int, weight: int, bias: int, y: int) -> list[Launch]:
    """Any C and O; at most 65,535 images, each reads the weights again. Arrays as `linear.launches` has them."""
    name, _ = form(element, shape.in_features)
    grid = (ceil_div(shape.out_features, WARPS), shape.images, 1)
    args = (*map(np.uint64, (x, weight, bias, y)), *shape.args()[1:])  # the grid has the images
    return [Launch(source_for(FILE, element), f"linear_warp_{name}", grid, (32, WARPS, 1), args)]
