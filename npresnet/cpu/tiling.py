"""What every convolution algorithm shares: the layer as they see it, areas of its output, and the end of a tile.

out = relu(product + bias + residual)       in place, while the product is in the cache
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np

from npresnet.cpu import gemm, kernels
from npresnet.cpu.choices import Choice
from npresnet.cpu.filters import Filters
from npresnet.cpu.memory import Floats, Memory, split
from npresnet.network import Node
from npresnet.plan import Value
from npresnet.plan.steps import Call

MIN_TILES = 2  # deep layers have too few rows for two tiles: their output channels are split instead
MIN_PART_CHANNELS = 128

Range = tuple[int, int]


class Area(NamedTuple):
    """A tile's part of the output: images, rows (of pixels, or of Winograd tiles), channels; each start and stop."""

    images: Range
    rows: Range
    channels: Range


@dataclass(frozen=True)
class Conv:
    """One convolution bound to a layout.

    exact   images keep their bits: their rows go through BLAS together only where that changes nothing
    """

    node: Node
    filters: Filters
    choice: Choice
    source: Value
    out: Value
    lanes: int
    exact: bool

    @property
    def size(self) -> tuple[int, int]:
        """OH, OW."""
        _, height, width = self.out.shape
        return height, width

    @property
    def channels(self) -> int:
        """Output channels."""
        return self.out.shape[0]

    def merges(self, images: int, rows: int, depth: int, columns: int) -> bool:
        """Whether the rows of several images go through BLAS in one call."""
        if images == 1 or not self.exact:
            return True
        return gemm.keeps_bits(self.choice.form, images, rows, depth, columns)


def grid(conv: Conv, rows: int, bands: int, together: int) -> list[Area]:
    """Cut an output into `bands` bands of rows; of images that are one band, `together` are a tile.

    Bands depend on the layer's shape alone. Only the channels are cut by the number of lanes, which changes no bits:
    BLAS is called part by part either way (`column_parts`).
    """
    groups = split(conv.out.images, ceil(conv.out.images / together) if bands == 1 else conv.out.images)
    parts = column_parts(conv, bands) if conv.lanes > 1 else [(0, conv.channels)]
    return [Area(images, band, part) for images in groups for band in split(rows, bands) for part in parts]


def even_bands(rows: int, wanted: float) -> int:
    """How many bands: about as many as wanted, and where there are more than two a multiple of 4 for even shares."""
    bands = max(1, round(wanted))
    return min(rows, bands if bands <= 2 else ceil(bands / 4) * 4)


def column_parts(conv: Conv, bands: int, channels: Range | None = None) -> list[Range]:
    """The output channels (of an area) in the parts in which BLAS is called; threads share a layer of few rows so.

    With several lanes an area's channels are one part. With one they are all channels: panels, whose calls have a width
    of their own, then need no parts; a packed call keeps to them, for other columns would be other bits.
    """
    is_wide = conv.filters.blocks == 1 and bands < MIN_TILES
    is_packed = conv.choice.form == "packed"
    unit = MIN_PART_CHANNELS if is_packed else gemm.PANEL
    most = MIN_TILES if is_packed else max(MIN_TILES, conv.lanes)
    parts = max(1, min(most, conv.channels // unit)) if is_wide else 1
    if conv.channels % gemm.PANEL:
        every = split(conv.channels, parts)
    else:
        every = [(a * gemm.PANEL, b * gemm.PANEL) for a, b in split(conv.channels // gemm.PANEL, parts)]
    if channels is None:
        return every
    if conv.choice.form != "packed":
        return [channels]
    return [part for part in every if channels[0] <= part[0] and part[1] <= channels[1]]


def epilogue(conv: Conv, memory: Memory, area: Area, product: Floats, target: Floats, *, bias: bool) -> list[Call]:
    """target = relu(product + bias + residual), each where there is one, for a band (n, h, OW, o) of output rows.

    Where biases are carried along there is no bias, and the ReLU clamps at the filters' floor (`passes.carry_biases`).
    """
    (first, last), width = area.channels, product.shape[2]
    calls: list[Call] = []
    if bias and conv.filters.bias is not None:
        row = memory.rows_of(conv.filters.bias[first:last], width)
        calls.append((kernels.add, (product, row, product)))
    if len(conv.node.inputs) > 1:
        residual = band(memory.images(conv.node.inputs[1]), area)
        calls.append((kernels.add, (product, residual, product)))
    if conv.node.relu:
        floor = conv.filters.floor
        rows = memory.zeros(product.shape[2:]) if floor is None else memory.rows_of(floor[first:last], width)
        calls.append((kernels.maximum, (product, rows, target)))
    elif target is not product:
        calls.append((kernels.copy, (product, target)))
    return calls


def band(images: Floats, area: Area) -> Floats:
    """(N, H, W, C) -> the area's (n, h, W, c)."""
    (start, stop), (top, bottom), (first, last) = area
    return images[start:stop, top:bottom, :, first:last]


def window_view(memory: Memory, conv: Conv, area: Area) -> Floats:
    """What an area's outputs look at, as a view (n, h, OW, KH, KW, C) that repeats the input's bytes."""
    window, name = conv.filters.window, conv.source.name
    storage = memory.storage(name)
    (top, _), (left, _) = conv.source.halo
    (start, stop), rows, _ = area
    first_row = window.input_range(0, *rows)[0] + top
    first_column = window.input_range(1, 0, conv.size[1])[0] + left
    image_bytes, row_bytes, column_bytes, item_bytes = storage.strides
    (stride_h, stride_w), (dilation_h, dilation_w) = window.stride, window.dilation
    shape = (stop - start, rows[1] - rows[0], conv.size[1], *window.kernel_size, storage.shape[3])
    strides = (
        image_bytes,
        row_bytes * stride_h,
        column_bytes * stride_w,
        row_bytes * dilation_h,
        column_bytes * dilation_w,
        item_bytes,
    )
    offset = start * image_bytes + first_row * row_bytes + first_column * column_bytes
    return np.ndarray(shape, np.float32, storage, offset, strides)


def is_plain(view: Floats) -> bool:
    """Whether the view's elements lie one after another, so that reshape copies nothing."""
    return bool(view.flags.c_contiguous)


def split_last(view: Floats, parts: int) -> Floats:
    """(..., C) -> (..., parts, C/parts), always a view: no axes are joined."""
    return view.reshape(*view.shape[:-1], parts, view.shape[-1] // parts)
