"""A mean over all positions, weighted by a softmax: kernels/spatial_attention_pool/spatial_attention_pool.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.lowering import Bound, Lowering, Place, from_to
from npresnet.cuda.launchers.vectors import ceil_div, form, source_for

FILE = "spatial_attention_pool/spatial_attention_pool.cu"
LANES = ROWS = 16


def launches(
    images: int, positions: int, channels: int, element: Element, *, x: int, logits: int, y: int
) -> list[Launch]:
    """y[n,c] = sum over p of softmax(logits[n])[p] * x[n,p,c]; the order of additions is always the same.

    x        (N, positions, C)   element's storage; positions = H*W
    logits   (N, positions)      element's storage
    y        (N, C)              element's storage

    At most 65,535 images.
    """
    name, width = form(element, channels)
    grid = (ceil_div(channels // width, LANES), images, 1)
    args = (*map(np.uint64, (x, logits, y)), np.int32(positions), np.int32(channels))
    return [Launch(source_for(FILE, element), f"spatial_attention_pool_{name}", grid, (LANES, ROWS, 1), args)]


class SpatialAttentionPoolLowering(Lowering):
    """Global context's pool."""

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        value, logits = bound.layout.values[bound.node.inputs[0]], place.address(bound.node.inputs[1])
        sizes = value.images, value.stored.positions, value.stored.channels
        return launches(*sizes, bound.element, **from_to(bound, place), logits=logits)
