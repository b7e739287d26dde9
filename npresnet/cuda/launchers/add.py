"""The sum of two tensors: kernels/add/add.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.activation import NONE, Activation
from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.lowering import EVERY_ACTIVATION, Bound, Lowering, Place, Request
from npresnet.cuda.launchers.vectors import ceil_div, form, source_for
from npresnet.errors import ArchitectureError

FILE = "add/add.cu"
THREADS = 256


def launches(count: int, element: Element, *, a: int, b: int, y: int, activation: Activation = NONE) -> list[Launch]:
    """y[i] = activation(a[i] + b[i]); `count` numbers each, in the element's storage."""
    name, width = form(element, count)
    grid = (ceil_div(count // width, THREADS), 1, 1)
    args = (np.uint64(a), np.uint64(b), np.uint64(y), np.uint64(count), activation.struct())
    return [Launch(source_for(FILE, element), f"add_{name}", grid, (THREADS, 1, 1), args)]


class AddLowering(Lowering):
    """Where the shortcut joins the main path, if no convolution could take it in."""

    fuses = EVERY_ACTIVATION
    keeps_storage = True

    def choose(self, request: Request) -> None:
        """Nothing; but what is added has to lie in one order."""
        a, b = (request.stored[name] for name in request.node.inputs)
        if a != b:
            raise ArchitectureError(
                f"{request.node.name}: the GPU backend does not add a flattened image to another vector"
            )

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        node = bound.node
        a, b, y = (place.address(name) for name in (*node.inputs, node.name))
        count = bound.layout.values[node.name].size
        return launches(count, bound.element, a=a, b=b, y=y, activation=self.fused(node))
