"""The filters' layout that most kernels read: KRSC, each filter in the order of a window's pixels in an NHWC image."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.elements import Element, store
from npresnet.network import Array


def krsc(weight: Array, element: Element) -> Array:
    """(O, C/groups, KH, KW) float -> (O, KH, KW, C/groups) contiguous, in the element's storage."""
    return np.ascontiguousarray(store(weight, element).transpose(0, 2, 3, 1))
