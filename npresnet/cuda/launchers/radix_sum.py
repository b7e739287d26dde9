"""The sum of a map's groups of channels, weighted or not: kernels/radix_sum/radix_sum.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.activation import NONE, Activation
from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.lowering import EVERY_ACTIVATION, Bound, Lowering, Place, from_to
from npresnet.cuda.launchers.vectors import ceil_div, form, source_for

FILE = "radix_sum/radix_sum.cu"
THREADS = 256


def launches(
    images: int,
    positions: int,
    channels: int,
    radix: int,
    element: Element,
    *,
    x: int,
    y: int,
    weights: int = 0,
    activation: Activation = NONE,
) -> list[Launch]:
    """y[n,p,c] = activation(sum over r of weights[n, r*C + c] * x[n,p, r*C + c])

    x         (N, positions, R*C)   element's storage; positions = H*W, R = radix
    weights   (N, R*C)              element's storage; 0: the sum without weights
    y         (N, positions, C)     element's storage

    At most 65,535 images.
    """
    name, width = form(element, channels)
    vectors = positions * channels // width
    addresses = map(np.uint64, (x, weights, y))
    args = (*addresses, np.uint32(vectors), np.int32(channels), np.int32(radix), activation.struct())
    grid = (ceil_div(vectors, THREADS), images, 1)
    return [Launch(source_for(FILE, element), f"radix_sum_{name}", grid, (THREADS, 1, 1), args)]


class RadixSumLowering(Lowering):
    """The second input, where there is one, holds the weights."""

    fuses = EVERY_ACTIVATION

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        node, value = bound.node, bound.layout.values[bound.node.name]
        return launches(
            value.images,
            value.stored.positions,
            value.stored.channels,
            node.attrs["radix"],
            bound.element,
            **from_to(bound, place),
            weights=place.address(node.inputs[1]) if len(node.inputs) > 1 else 0,
            activation=self.fused(node),
        )
