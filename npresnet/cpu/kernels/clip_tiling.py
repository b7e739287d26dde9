"""Common to the convolutions over clips: areas of their output, views of their input, the epilogue of a tile.

See `plan.layout` for how a clip is stored; here a value is seen with its frames as an axis, (N, H, W, T, C).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels.activations import activate
from npresnet.cpu.kernels.clip_filters import ClipFilters
from npresnet.cpu.kernels.tiling import Conv, Range
from npresnet.cpu.runtime.memory import Floats, Memory
from npresnet.plan.steps import Call


class ClipArea(NamedTuple):
    """A tile's part of one clip's output: (start, stop) of rows (of pixels or of Winograd tiles), frames, channels."""

    clip: int
    rows: Range
    frames: Range
    channels: Range


def filters_of(conv: Conv) -> ClipFilters:
    """The layer's weights."""
    assert isinstance(conv.filters, ClipFilters)
    return conv.filters


def part(memory: Memory, name: str, area: ClipArea) -> Floats:
    """The area (of pixels) of a value: (h, W, T, o)."""
    (top, bottom), (start, stop), (first, last) = area[1:]
    return memory.clips(name)[area.clip, top:bottom, :, start:stop, first:last]


def origin_bytes(memory: Memory, conv: Conv, area: ClipArea, first_row: int, first_column: int) -> int:
    """Where the channels of the first frame that the area reads are, at this row and column of the input.

    Counted from the start of the input's storage; row and column may be in its halo.
    """
    (before, _), (top, _), (left, _) = conv.source.halo
    first_frame = filters_of(conv).time.input_range(0, *area.frames)[0] + before
    strides = memory.storage(conv.source.name).strides
    position = (area.clip, first_row + top, first_column + left, first_frame * conv.source.shape[0])
    return sum(index * stride for index, stride in zip(position, strides, strict=True))


def view(memory: Memory, conv: Conv, shape: tuple[int, ...], offset: int, strides: tuple[int, ...]) -> Floats:
    """A view of the input's storage."""
    found: Floats = np.ndarray(shape, np.float32, memory.storage(conv.source.name), offset, strides)
    return found


def clip_epilogue(
    conv: Conv, memory: Memory, area: ClipArea, product: Floats, target: Floats, *, bias: bool
) -> list[Call]:
    """target = activation(product + bias + residual), each where present, for (h, OW, T, o)."""
    (first, last), (_, width, frames, channels) = area.channels, product.shape
    calls: list[Call] = []
    if bias and conv.filters.bias is not None:
        row = memory.rows_of(conv.filters.bias[first:last], width * frames).reshape(width, frames, channels)
        calls.append((kernels.add, (product, row, product)))
    if len(conv.node.inputs) > 1:
        calls.append((kernels.add, (product, part(memory, conv.node.inputs[1], area), product)))
    return [*calls, *activate(conv.node, memory, product, target)]
