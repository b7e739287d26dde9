"""EvoNorm-S0: kernels/evo_norm_s0/evo_norm_s0.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.channel_vectors import map_of, vector
from npresnet.cuda.launchers.lowering import Bound, Lowering, Place, from_to
from npresnet.cuda.launchers.vectors import form, source_for

FILE = "evo_norm_s0/evo_norm_s0.cu"
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
    v: int,
    weight: int,
    bias: int,
    y: int,
) -> list[Launch]:
    """y[n,p,c] = x * sigmoid(v[c] * x) / sqrt(var[n,g] + eps) * weight[c] + bias[c]    x = x[n,p,c]

    x, y              (N, positions, C)   element's storage; positions = H*W
    v, weight, bias   (C,)                float32

    At most 65,535 images.
    """
    per_group = channels // groups
    name, _ = form(element, channels, per_group)
    addresses = (np.uint64(x), np.uint64(v), np.uint64(weight), np.uint64(bias), np.uint64(y))
    numbers = (np.int32(positions), np.int32(channels), np.int32(per_group), np.float32(eps))
    args = (*addresses, *numbers)
    return [Launch(source_for(FILE, element), f"evo_norm_s0_{name}", (groups, images, 1), (THREADS, 1, 1), args)]


class EvoNormS0Lowering(Lowering):
    """A swish divided by the deviation of each group of channels: a further activation is a pass of its own."""

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
            v=vector(bound, place, "v"),
            weight=vector(bound, place, "weight", 1),
            bias=vector(bound, place, "bias", 0),
        )
