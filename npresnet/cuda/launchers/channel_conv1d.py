"""A convolution along the channels: kernels/channel_conv1d/channel_conv1d.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.activation import NONE, Activation
from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.lowering import (
    EVERY_ACTIVATION,
    Bound,
    Lowering,
    Place,
    Request,
    from_to,
    refuse_flattened,
)
from npresnet.cuda.launchers.vectors import ceil_div, source_for
from npresnet.ops.channel_conv1d import padding_mode_of

FILE = "channel_conv1d/channel_conv1d.cu"
THREADS = 256


def launches(
    images: int,
    channels: int,
    taps: int,
    element: Element,
    *,
    circular: bool,
    x: int,
    weight: int,
    bias: int,
    y: int,
    activation: Activation = NONE,
) -> list[Launch]:
    """y[n,c] = activation(bias + sum over j of weight[j] * x[n, c + j - taps/2])

    x, y     (N, C)    element's storage; beside its ends zeros, or, with `circular`, its other end
    weight   (taps,)   float32
    bias     (1,)      float32, never absent

    At most 65,535 images.
    """
    numbers = map(np.int32, (channels, taps, circular))
    args = (*map(np.uint64, (x, weight, bias, y)), *numbers, activation.struct())
    grid = (ceil_div(channels, THREADS), images, 1)
    return [Launch(source_for(FILE, element), "channel_conv1d", grid, (THREADS, 1, 1), args)]


class ChannelConv1dLowering(Lowering):
    """Efficient channel attention's, on one number a channel."""

    fuses = EVERY_ACTIVATION

    def choose(self, request: Request) -> None:
        refuse_flattened(request, "convolve along")

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        node, value = bound.node, bound.layout.values[bound.node.name]
        weight, bias = node.params["weight"].reshape(-1), node.params.get("bias", np.zeros(1))
        return launches(
            value.images,
            value.stored.channels,
            len(weight),
            bound.element,
            circular=padding_mode_of(node) == "circular",
            **from_to(bound, place),
            weight=place.weights.address((node.name, "taps"), lambda: weight.astype(np.float32)),
            bias=place.weights.address((node.name, "bias"), lambda: bias.astype(np.float32)),
            activation=self.fused(node),
        )
