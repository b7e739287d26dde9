"""LayerNorm of a map: kernels/layer_norm2d/layer_norm2d.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.activation import NONE, Activation
from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.channel_vectors import map_of, vector
from npresnet.cuda.launchers.lowering import EVERY_ACTIVATION, Bound, Lowering, Place, from_to
from npresnet.cuda.launchers.vectors import ceil_div, form, source_for

FILE = "layer_norm2d/layer_norm2d.cu"
WARP, PIXELS = 32, 8


def launches(
    pixels: int,
    channels: int,
    element: Element,
    *,
    eps: float,
    x: int,
    weight: int,
    bias: int,
    y: int,
    activation: Activation = NONE,
) -> list[Launch]:
    """y[p,c] = activation((x[p,c] - mean[p]) / sqrt(var[p] + eps) * weight[c] + bias[c])

    x, y           (pixels, C)   element's storage; pixels = N*H*W
    weight, bias   (C,)          float32
    """
    name, _ = form(element, channels)
    addresses = (np.uint64(x), np.uint64(weight), np.uint64(bias), np.uint64(y))
    args = (*addresses, np.uint32(pixels), np.int32(channels), np.float32(eps), activation.struct())
    grid = (ceil_div(pixels, PIXELS), 1, 1)
    return [Launch(source_for(FILE, element), f"layer_norm2d_{name}", grid, (WARP, PIXELS, 1), args)]


class LayerNorm2dLowering(Lowering):
    """Every pixel over its channels."""

    fuses = EVERY_ACTIVATION
    keeps_storage = True

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        node, value = bound.node, map_of(bound)
        return launches(
            value.images * value.stored.positions,
            value.stored.channels,
            bound.element,
            eps=node.attrs["eps"],
            **from_to(bound, place),
            weight=vector(bound, place, "weight", 1),
            bias=vector(bound, place, "bias", 0),
            activation=self.fused(node),
        )
