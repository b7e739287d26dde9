"""ReLU alone: kernels/relu/relu.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.vectors import ceil_div, form, source_for

FILE = "relu/relu.cu"
THREADS = 256


def launches(count: int, element: Element, *, x: int, y: int) -> list[Launch]:
    """y[i] = max(x[i], 0), NaN stays NaN; `count` numbers each, in the element's storage. y may be x."""
    name, width = form(element, count)
    grid = (ceil_div(count // width, THREADS), 1, 1)
    args = (np.uint64(x), np.uint64(y), np.uint64(count))
    return [Launch(source_for(FILE, element), f"relu_{name}", grid, (THREADS, 1, 1), args)]
