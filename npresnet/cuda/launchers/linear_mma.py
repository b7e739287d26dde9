"""Fully connected on tensor cores: kernels/linear/mma.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.vectors import ceil_div, form, source_for
from npresnet.cuda.shapes import LinearShape

FILE = "linear/mma.cu"
TILE = 32
THREADS = 256


def supports(shape: LinearShape, element: Element, capability: int) -> bool:
    """Rows of whole 16 bytes; float16 from sm_75 on, bfloat16 and tf32 from sm_80 on."""
    if element.name == "float32" or form(element, shape.in_features)[0] == "scalar":
        return False
    return capability >= (75 if element.name == "float16" else 80)


def launches(shape: LinearShape, element: Element, *, x: int, weight: int, bias: int, y: int) -> list[Launch]:
    """As `supports` says; any N and O. Arrays as `linear.launches` has them."""
    grid = (ceil_div(shape.out_features, TILE), ceil_div(shape.images, TILE), 1)
    args = (*map(np.uint64, (x, weight, bias, y)), *shape.args())
    return [Launch(source_for(FILE, element), "linear_mma", grid, (THREADS, 1, 1), args)]
