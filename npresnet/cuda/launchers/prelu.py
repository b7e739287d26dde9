"""PReLU: kernels/prelu/prelu.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.activation import NONE, Activation
from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.batch_norm import MOST_VECTORS, positions_first
from npresnet.cuda.launchers.lowering import EVERY_ACTIVATION, Bound, Lowering, Place, from_to
from npresnet.cuda.launchers.vectors import ceil_div, form, source_for
from npresnet.errors import DeviceError
from npresnet.network import Array

FILE = "prelu/prelu.cu"
THREADS = 256


def launches(
    positions: int, channels: int, element: Element, *, x: int, slopes: int, y: int, activation: Activation = NONE
) -> list[Launch]:
    """y[p,c] = activation(x[p,c] < 0 ? x[p,c] * slopes[c] : x[p,c])

    x, y     (positions, channels)   element's storage; positions = N*H*W
    slopes   (channels,)             float32

    Raises DeviceError for more vectors than the kernel counts.
    """
    name, width = form(element, channels)
    vectors = positions * channels // width
    if vectors > MOST_VECTORS:
        raise DeviceError(f"a PReLU of {positions} positions with {channels} channels is too large; give fewer images")
    addresses = (np.uint64(x), np.uint64(slopes), np.uint64(y))
    args = (*addresses, np.uint32(vectors), np.int32(channels), activation.struct())
    grid = (ceil_div(vectors, THREADS), 1, 1)
    return [Launch(source_for(FILE, element), f"prelu_{name}", grid, (THREADS, 1, 1), args)]


class PReLULowering(Lowering):
    """A slope for each channel; for a flattened image one for each of its numbers, in the order in which they lie."""

    fuses = EVERY_ACTIVATION
    keeps_storage = True

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        node, value = bound.node, bound.layout.values[bound.node.name]
        weight = np.asarray(node.params["weight"], np.float32)
        channels = value.stored.channels if len(weight) == 1 else len(weight)

        def made() -> Array:
            if channels == value.stored.channels:
                return np.ascontiguousarray(np.broadcast_to(weight, channels))
            return positions_first(weight, value.stored)

        return launches(
            value.size // channels,
            channels,
            bound.element,
            **from_to(bound, place),
            slopes=place.weights.address((node.name, "slopes", channels), made),
            activation=self.fused(node),
        )
