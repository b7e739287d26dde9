"""The sum of two tensors: kernels/add/add.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.vectors import ceil_div, form, source_for

FILE = "add/add.cu"
THREADS = 256


def launches(count: int, element: Element, *, a: int, b: int, y: int, relu: bool = False) -> list[Launch]:
    """y[i] = a[i] + b[i], clamped at 0 with `relu`; `count` numbers each, in the element's storage."""
    name, width = form(element, count)
    grid = (ceil_div(count // width, THREADS), 1, 1)
    args = (np.uint64(a), np.uint64(b), np.uint64(y), np.uint64(count), np.int32(relu))
    return [Launch(source_for(FILE, element), f"add_{name}", grid, (THREADS, 1, 1), args)]
