"""An activation alone: kernels/activation/activation.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.activation import Activation
from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.lowering import Bound, Lowering, Place, from_to
from npresnet.cuda.launchers.vectors import ceil_div, form, source_for

FILE = "activation/activation.cu"
THREADS = 256


def launches(count: int, element: Element, activation: Activation, *, x: int, y: int) -> list[Launch]:
    """y[i] = activation(x[i]), NaN stays NaN; `count` numbers each, in the element's storage. y may be x."""
    name, width = form(element, count)
    grid = (ceil_div(count // width, THREADS), 1, 1)
    args = (np.uint64(x), np.uint64(y), np.uint64(count), activation.struct())
    return [Launch(source_for(FILE, element), f"activation_{name}", grid, (THREADS, 1, 1), args)]


class ActivationLowering(Lowering):
    """An activation as a node of its own."""

    keeps_storage = True

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        node, count = bound.node, bound.layout.values[bound.node.name].size
        return launches(count, bound.element, Activation.of(node.op, node.attrs), **from_to(bound, place))


def in_place(bound: Bound, place: Place) -> list[Launch]:
    """The node's activation, applied to its result."""
    node, count = bound.node, bound.layout.values[bound.node.name].size
    y = place.address(node.name)
    return launches(count, bound.element, Activation.of(node.activation, node.attrs), x=y, y=y)
