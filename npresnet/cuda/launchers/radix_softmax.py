"""Softmax over the radix: kernels/radix_softmax/radix_softmax.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.activation import Activation, Code
from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers import activation
from npresnet.cuda.launchers.lowering import Bound, Lowering, Place, Request, from_to, refuse_flattened
from npresnet.cuda.launchers.vectors import ceil_div, source_for

FILE = "radix_softmax/radix_softmax.cu"
THREADS = 256


def launches(
    images: int, radix: int, cardinality: int, depth: int, element: Element, *, x: int, y: int
) -> list[Launch]:
    """y[n,r,g,d] = exp(x[n,g,r,d]) / sum over s of exp(x[n,g,s,d]); for radix 1 a sigmoid

    x   (N, cardinality, radix, depth)   element's storage
    y   (N, radix, cardinality, depth)   element's storage

    At most 65,535 images.
    """
    if radix == 1:
        return activation.launches(images * cardinality * depth, element, Activation(Code.SIGMOID), x=x, y=y)
    args = (np.uint64(x), np.uint64(y), *map(np.int32, (radix, cardinality, depth)))
    grid = (ceil_div(cardinality * depth, THREADS), images, 1)
    return [Launch(source_for(FILE, element), "radix_softmax", grid, (THREADS, 1, 1), args)]


class RadixSoftmaxLowering(Lowering):
    """The weights of split attention."""

    def choose(self, request: Request) -> None:
        refuse_flattened(request, "take the softmax of")

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        node, value = bound.node, bound.layout.values[bound.node.name]
        radix, cardinality = node.attrs["radix"], node.attrs.get("cardinality", 1)
        depth = value.stored.channels // (radix * cardinality)
        return launches(value.images, radix, cardinality, depth, bound.element, **from_to(bound, place))
