"""The product of a map with another, or with one number a channel: kernels/multiply/multiply.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.activation import NONE, Activation
from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.lowering import EVERY_ACTIVATION, Bound, Lowering, Place, Request
from npresnet.cuda.launchers.vectors import ceil_div, form, source_for
from npresnet.errors import ArchitectureError

FILE = "multiply/multiply.cu"
THREADS = 256


def launches(
    images: int,
    positions: int,
    channels: int,
    element: Element,
    *,
    a: int,
    b: int,
    y: int,
    activation: Activation = NONE,
) -> list[Launch]:
    """y[n,p,c] = activation(a[n,p,c] * b[n,c])

    a, y   (N, positions, C)   element's storage
    b      (N, C)              element's storage

    Two maps are one image of one position that has all their numbers for channels.
    At most 65,535 images.
    """
    name, width = form(element, channels)
    vectors = positions * channels // width
    args = (*map(np.uint64, (a, b, y)), np.uint32(vectors), np.uint32(channels), activation.struct())
    grid = (ceil_div(vectors, THREADS), images, 1)
    return [Launch(source_for(FILE, element), f"multiply_{name}", grid, (THREADS, 1, 1), args)]


class MultiplyLowering(Lowering):
    """The first input is a map, the second one too, or one number a channel."""

    fuses = EVERY_ACTIVATION
    keeps_storage = True

    def choose(self, request: Request) -> None:
        """Nothing; but what is multiplied has to lie in one order."""
        a, b = (request.stored[name] for name in request.node.inputs)
        if a != b and b != a._replace(height=1, width=1):
            raise ArchitectureError(
                f"{request.node.name}: the GPU backend does not multiply a flattened image by another vector"
            )

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        node, values = bound.node, bound.layout.values
        a, b = (values[name] for name in node.inputs)
        sizes = (1, 1, a.size) if a.stored == b.stored else (a.images, a.stored.positions, a.stored.channels)
        addresses = {key: place.address(name) for key, name in zip("aby", (*node.inputs, node.name), strict=True)}
        return launches(*sizes, bound.element, **addresses, activation=self.fused(node))
