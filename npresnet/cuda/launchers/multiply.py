"""A map times a gate, or plus one, and a residual: kernels/multiply/multiply.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.activation import NONE, Activation
from npresnet.cuda.compiler.layout import Stored
from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.lowering import EVERY_ACTIVATION, Bound, Lowering, Place, Request
from npresnet.cuda.launchers.vectors import ceil_div, form, source_for
from npresnet.errors import ArchitectureError

FILE = "multiply/multiply.cu"
THREADS = 256

# kernels/multiply/multiply.cu, struct Gate: the same fields in the same order
GATE = np.dtype([("vectors", np.uint32), ("C", np.uint32), ("is_sum", np.int32), ("per_position", np.int32)])


def launches(
    images: int,
    positions: int,
    channels: int,
    element: Element,
    *,
    a: int,
    b: int,
    y: int,
    residual: int = 0,
    is_sum: bool = False,
    per_position: bool = False,
    activation: Activation = NONE,
) -> list[Launch]:
    """y[n,p,c] = activation(a[n,p,c] * b[n,c] + residual[n,p,c]); with `is_sum` a + b

    a, y, residual   (N, positions, C)                           element's storage; residual 0 for none
    b                (N, C), or (N, positions) with per_position   element's storage

    Two maps are images of one position that has all their numbers for channels.
    At most 65,535 images.
    """
    name, width = form(element, channels)
    vectors = positions * channels // width
    gate = np.array([(vectors, channels, is_sum, per_position)], GATE)
    args = (*map(np.uint64, (a, b, residual, y)), gate, activation.struct())
    grid = (ceil_div(vectors, THREADS), images, 1)
    return [Launch(source_for(FILE, element), f"multiply_{name}", grid, (THREADS, 1, 1), args)]


class GateLowering(Lowering):
    """The first input is a map; the second one too, or one number a channel or a position; the third is added."""

    fuses = EVERY_ACTIVATION
    keeps_storage = True

    def __init__(self, verb: str, *, is_sum: bool):
        self.verb, self.is_sum = verb, is_sum

    def choose(self, request: Request) -> None:
        """Nothing; but what is combined has to lie in one order."""
        a, b, *residual = (request.stored[name] for name in request.node.inputs)
        if b not in (a, *_gates(a)) or any(added != a for added in residual):
            raise ArchitectureError(
                f"{request.node.name}: the GPU backend does not {self.verb} a flattened image by another vector"
            )

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        node, values = bound.node, bound.layout.values
        a, b = (values[name].stored for name in node.inputs[:2])
        sizes = (1, a.positions * a.channels) if a == b else (a.positions, a.channels)
        addresses = {key: place.address(name) for key, name in zip("aby", (*node.inputs[:2], node.name), strict=True)}
        return launches(
            bound.layout.images,
            *sizes,
            bound.element,
            **addresses,
            residual=place.address(node.inputs[2]) if len(node.inputs) > 2 else 0,
            is_sum=self.is_sum,
            per_position=a != b and b != _gates(a)[0],
            activation=self.fused(node),
        )


def _gates(a: Stored) -> tuple[Stored, Stored]:
    """How one number a channel, and one a position, lie beside a map."""
    return a._replace(height=1, width=1), a._replace(channels=1)
