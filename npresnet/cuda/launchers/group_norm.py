"""GroupNorm: kernels/group_norm/group_norm.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.activation import NONE, Activation
from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.channel_vectors import map_of, vector
from npresnet.cuda.launchers.lowering import EVERY_ACTIVATION, Bound, Lowering, Place, Request, from_to
from npresnet.cuda.launchers.vectors import form, source_for
from npresnet.errors import ArchitectureError

FILE = "group_norm/group_norm.cu"
THREADS = 256


def launches(
    images: int,
    positions: int,
    channels: int,
    groups: int,
    element: Element,
    *,
    eps: float,
    x: int,
    weight: int,
    bias: int,
    y: int,
    residual: int = 0,
    activation: Activation = NONE,
) -> list[Launch]:
    """y[n,p,c] = activation((x[n,p,c] - mean[n,g]) / sqrt(var[n,g] + eps) * weight[c] + bias[c] + residual[n,p,c])

    g = c // (C/G)

    x, residual, y (N, positions, C)   element's storage; positions = H*W; residual 0 for none
    weight, bias   (C,)                float32

    At most 65,535 images.
    """
    per_group = channels // groups
    name, _ = form(element, channels, per_group)
    numbers = (np.int32(positions), np.int32(channels), np.int32(per_group), np.float32(eps))
    args = (*map(np.uint64, (x, weight, bias, residual, y)), *numbers, activation.struct())
    return [Launch(source_for(FILE, element), f"group_norm_{name}", (groups, images, 1), (THREADS, 1, 1), args)]


class GroupNormLowering(Lowering):
    """Each group of channels by its own mean and variance; the second input is added."""

    fuses = EVERY_ACTIVATION
    keeps_storage = True

    def choose(self, request: Request) -> None:
        """Nothing; but what is added has to lie in one order."""
        x, *residual = (request.stored[name] for name in request.node.inputs)
        if any(added != x for added in residual):
            raise ArchitectureError(f"{request.node.name}: the GPU backend does not add a flattened image to a map")

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        node, value = bound.node, map_of(bound)
        return launches(
            value.images,
            value.stored.positions,
            value.stored.channels,
            node.attrs["groups"],
            bound.element,
            eps=node.attrs["eps"],
            **from_to(bound, place),
            weight=vector(bound, place, "weight", 1),
            bias=vector(bound, place, "bias", 0),
            residual=place.address(node.inputs[1]) if len(node.inputs) > 1 else 0,
            activation=self.fused(node),
        )
