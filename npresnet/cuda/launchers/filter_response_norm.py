"""Filter response norm: kernels/filter_response_norm/filter_response_norm.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.activation import NONE, Activation
from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.channel_vectors import map_of, vector
from npresnet.cuda.launchers.lowering import EVERY_ACTIVATION, Bound, Lowering, Place, from_to
from npresnet.cuda.launchers.vectors import ceil_div, form, source_for

FILE = "filter_response_norm/filter_response_norm.cu"
LANES = ROWS = 16


def launches(
    images: int,
    positions: int,
    channels: int,
    element: Element,
    *,
    eps: float,
    x: int,
    weight: int,
    bias: int,
    tau: int,
    y: int,
    activation: Activation = NONE,
) -> list[Launch]:
    """y[n,p,c] = activation(max(x[n,p,c] / sqrt(nu[n,c] + eps) * weight[c] + bias[c], tau[c])), nu the mean of x^2

    x, y                (N, positions, C)   element's storage; positions = H*W
    weight, bias, tau   (C,)                float32; tau may be 0, a null pointer, for no maximum

    At most 65,535 images.
    """
    name, width = form(element, channels)
    addresses = (np.uint64(x), np.uint64(weight), np.uint64(bias), np.uint64(tau), np.uint64(y))
    args = (*addresses, np.int32(positions), np.int32(channels), np.float32(eps), activation.struct())
    grid = (ceil_div(channels // width, LANES), images, 1)
    return [Launch(source_for(FILE, element), f"filter_response_norm_{name}", grid, (LANES, ROWS, 1), args)]


class FilterResponseNormLowering(Lowering):
    """Each channel by its root mean square."""

    fuses = EVERY_ACTIVATION

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        node, value = bound.node, map_of(bound)
        return launches(
            value.images,
            value.stored.positions,
            value.stored.channels,
            bound.element,
            eps=node.attrs["eps"],
            **from_to(bound, place),
            weight=vector(bound, place, "weight", 1),
            bias=vector(bound, place, "bias", 0),
            tau=vector(bound, place, "tau"),
            activation=self.fused(node),
        )
