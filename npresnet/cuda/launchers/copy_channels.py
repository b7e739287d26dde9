"""Slices of channels, and concatenations: kernels/copy_channels/copy_channels.cu."""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from npresnet.cuda.activation import NONE, Activation
from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.lowering import EVERY_ACTIVATION, Bound, Lowering, Place, Request, refuse_flattened
from npresnet.cuda.launchers.vectors import ceil_div, form, source_for

FILE = "copy_channels/copy_channels.cu"
THREADS = 256

# kernels/copy_channels/copy_channels.cu, struct Channels: the same fields in the same order
CHANNELS = np.dtype([(name, np.int32) for name in ("C", "start", "O", "to", "count")])


def launches(
    positions: int,
    channels: int,
    out_channels: int,
    element: Element,
    *,
    start: int,
    to: int,
    count: int,
    x: int,
    y: int,
    activation: Activation = NONE,
) -> list[Launch]:
    """y[p, to + c] = activation(x[p, start + c]) for c = 0 .. count-1

    x   (positions, channels)       element's storage; positions of all images
    y   (positions, out_channels)   element's storage
    """
    name, width = form(element, channels, out_channels, start, to, count)
    vectors = positions * count // width
    numbers = np.array([(channels, start, out_channels, to, count)], CHANNELS)
    args = (np.uint64(x), np.uint64(y), np.uint64(vectors), numbers, activation.struct())
    grid = (ceil_div(vectors, THREADS), 1, 1)
    return [Launch(source_for(FILE, element), f"copy_channels_{name}", grid, (THREADS, 1, 1), args)]


class SliceChannelsLowering(Lowering):
    """One copy."""

    fuses = EVERY_ACTIVATION

    def choose(self, request: Request) -> None:
        refuse_flattened(request, "slice")

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        node, start, stop = bound.node, bound.node.attrs["start"], bound.node.attrs["stop"]
        source = bound.layout.values[node.inputs[0]]
        return launches(
            source.images * source.stored.positions,
            source.stored.channels,
            stop - start,
            bound.element,
            **{"start": start, "to": 0, "count": stop - start},
            x=place.address(node.inputs[0]),
            y=place.address(node.name),
            activation=self.fused(node),
        )


class ConcatLowering(Lowering):
    """A copy for each input."""

    fuses = EVERY_ACTIVATION

    def choose(self, request: Request) -> None:
        refuse_flattened(request, "concatenate")

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        node, values = bound.node, bound.layout.values
        counts = [values[name].stored.channels for name in node.inputs]
        found: list[Launch] = []
        for name, count, end in zip(node.inputs, counts, accumulate(counts), strict=True):
            found += launches(
                values[name].images * values[name].stored.positions,
                count,
                sum(counts),
                bound.element,
                **{"start": 0, "to": end - count, "count": count},
                x=place.address(name),
                y=place.address(node.name),
                activation=self.fused(node),
            )
        return found
