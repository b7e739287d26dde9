"""BatchNorm that could not be folded: kernels/batch_norm/batch_norm.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.activation import NONE, Activation
from npresnet.cuda.compiler.layout import Stored
from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.lowering import EVERY_ACTIVATION, Bound, Lowering, Place, from_to
from npresnet.cuda.launchers.vectors import ceil_div, form, source_for
from npresnet.errors import DeviceError
from npresnet.network import Array
from npresnet.passes.fold_batch_norm import scale_and_shift

FILE = "batch_norm/batch_norm.cu"
THREADS = 256
MOST_VECTORS = 2**32 - 1  # which the kernel counts in an unsigned int


def launches(
    positions: int,
    channels: int,
    element: Element,
    *,
    x: int,
    scale: int,
    shift: int,
    y: int,
    activation: Activation = NONE,
) -> list[Launch]:
    """y[p,c] = activation(x[p,c] * scale[c] + shift[c])

    x, y           (positions, channels)   element's storage; positions = N*H*W
    scale, shift   (channels,)             float32

    Raises DeviceError for more vectors than the kernel counts.
    """
    name, width = form(element, channels)
    vectors = positions * channels // width
    if vectors > MOST_VECTORS:
        raise DeviceError(
            f"a BatchNorm of {positions} positions with {channels} channels is too large; give fewer images"
        )
    addresses = (np.uint64(x), np.uint64(scale), np.uint64(shift), np.uint64(y))
    args = (*addresses, np.uint32(vectors), np.int32(channels), activation.struct())
    grid = (ceil_div(vectors, THREADS), 1, 1)
    return [Launch(source_for(FILE, element), f"batch_norm_{name}", grid, (THREADS, 1, 1), args)]


class BatchNormLowering(Lowering):
    """A line for each channel; for a flattened image one for each of its numbers, in the order in which they lie."""

    fuses = EVERY_ACTIVATION
    keeps_storage = True

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        node, value = bound.node, bound.layout.values[bound.node.name]
        scale, shift = scale_and_shift(node)  # (C,), or (C*H*W,) where the image was flattened before
        channels = len(scale)
        if channels != value.stored.channels:
            scale, shift = positions_first(scale, value.stored), positions_first(shift, value.stored)
        key = (node.name, "line", channels)
        return launches(
            value.size // channels,
            channels,
            bound.element,
            **from_to(bound, place),
            scale=place.weights.address((*key, "scale"), lambda: scale.astype(np.float32)),
            shift=place.weights.address((*key, "shift"), lambda: shift.astype(np.float32)),
            activation=self.fused(node),
        )


def positions_first(numbers: Array, stored: Stored) -> Array:
    """(C*H*W,) -> (H*W*C,)"""
    reordered: Array = numbers.reshape(stored.channels, stored.positions).T.reshape(-1)
    return reordered
