"""Some of the channels of a map."""

from __future__ import annotations

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array, Node
from npresnet.ops.record import Operation, Shape, flat_shape


def slice_channels(x: Array, *, start: int, stop: int) -> Array:
    """Neighbouring channels, all positions.

    out[n,c,i,j] = x[n, start + c, i, j]    for c = 0 .. stop - start - 1

    x        (N, C, ...)              any float dtype, also that of the result
    returns  (N, stop - start, ...)   a view

    Cost: none, or a copy. Raises ShapeError unless 0 <= start < stop <= C. Source: torch.split, torch.chunk.
    """
    x = np.asarray(x)
    _check(x.shape[1], start, stop)
    return x[:, start:stop]


def _check(channels: int, start: int, stop: int) -> None:
    if not 0 <= start < stop <= channels:
        raise ShapeError(f"takes channels {start} to {stop - 1}, but its input has {channels} channels")


def _infer_shape(node: Node, inputs: list[Shape]) -> Shape:
    start, stop = node.attrs["start"], node.attrs["stop"]
    _check(flat_shape(inputs[0])[0], start, stop)
    return (stop - start, *inputs[0][1:])


SLICE_CHANNELS = Operation(
    name="slice_channels",
    label="slice of channels",
    title="",
    compute=lambda node, x: slice_channels(x, start=node.attrs["start"], stop=node.attrs["stop"]),
    infer_shape=_infer_shape,
    fuses=True,
)
