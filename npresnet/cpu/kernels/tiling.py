"""Common to the convolution algorithms: the bound layer, areas of its output, and the epilogue of a tile.

out = activation(product + bias + residual)       in place, while the product is in the cache
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

import numpy as np

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels import gemm
from npresnet.cpu.kernels.activations import activate
from npresnet.cpu.kernels.filters import Filters
from npresnet.cpu.kernels.layer import Choice
from npresnet.cpu.kernels.lowering import Bound
from npresnet.cpu.runtime.memory import Floats, Memory, split
from npresnet.network import Node
from npresnet.plan import Value
from npresnet.plan.steps import Call

MIN_TILES = 2  # deep layers have too few rows for two tiles; their output channels are split instead
MIN_PART_CHANNELS = 128

Range = tuple[int, int]


class Area(NamedTuple):
    """A tile's part of the output: (start, stop) of images, rows (of pixels, or of Winograd tiles) and channels."""

    images: Range
    rows: Range
    channels: Range


class Conv(NamedTuple):
    """One convolution bound to a layout.

    choice  for the images of the layout
    exact   images keep their bits: BLAS multiplies their rows together only where that does not change them
    """

    node: Node
    filters: Filters
    choice: Choice
    source: Value
    out: Value
    workers: int
    exact: bool

    @classmethod
    def of(cls, bound: Bound) -> Conv:
        """A node of a compiled shape."""
        source, out = bound.layout.values[bound.node.inputs[0]], bound.layout.values[bound.node.name]
        return cls(bound.node, bound.weights, bound.choice, source, out, bound.workers, bound.exact)

    @property
    def size(self) -> tuple[int, int]:
        """OH, OW."""
        height, width = self.out.shape[-2:]
        return height, width

    @property
    def frames(self) -> int:
        """OT of a clip, 1 for an image."""
        return self.out.shape[1] if len(self.out.shape) == 4 else 1

    @property
    def channels(self) -> int:
        """Output channels."""
        return self.out.shape[0]


class GemmCalls(NamedTuple):
    """How the matrix product of an area is called.

    merged  whether the rows of all its images are multiplied at once
    parts   of the output channels: one call each, or one for each panel
    """

    merged: bool
    parts: list[Range]


def grid(conv: Conv, rows: int, bands: int, together: int) -> list[Area]:
    """Cut an output into `bands` bands of rows; where an image is one band, a tile has `together` images.

    Bands depend on the layer's shape alone. Only the cut of the channels depends on the number of workers, which does
    not change bits: BLAS is called part by part in either case (`gemm_calls`).
    """
    groups = split(conv.out.images, ceil(conv.out.images / together) if bands == 1 else conv.out.images)
    parts = column_parts(conv, bands) if conv.workers > 1 else [(0, conv.channels)]
    return [Area(images, band, part) for images in groups for band in split(rows, bands) for part in parts]


def even_bands(rows: int, wanted: float) -> int:
    """The number of bands: approximately `wanted`, and a multiple of 4 above two, for an even distribution."""
    bands = max(1, round(wanted))
    return min(rows, bands if bands <= 2 else ceil(bands / 4) * 4)


def column_parts(conv: Conv, bands: int) -> list[Range]:
    """The output channels in parts, so that workers share a layer of few rows.

    The number of parts of a "gemm" product depends on the layer alone: calls with other columns may give other bits.
    Each panel is a separate call, whatever the number of panels in a part. Winograd's transforms have as many columns
    as the part has channels, so parts are whole panels there.
    """
    is_wide = conv.filters.blocks == 1 and bands < MIN_TILES
    if conv.choice.algorithm == "winograd" and conv.channels % gemm.PANEL:
        is_wide = False
    is_gemm = conv.choice.form == "gemm"
    unit = MIN_PART_CHANNELS if is_gemm else gemm.PANEL
    most = MIN_TILES if is_gemm else max(MIN_TILES, conv.workers)
    return gemm.column_parts(conv.channels, max(1, min(most, conv.channels // unit)) if is_wide else 1)


def gemm_calls(conv: Conv, bands: int, channels: Range, images: int, rows: int, depth: int) -> GemmCalls:
    """How a product of an area is called: all its images at once where they keep their bits, else one at a time.

    channels   of the area
    images     of the area, times positions that share the weights
    rows       of one of them
    depth      K of the product (of one block of groups)
    """
    form, parts = conv.choice.form, [channels]
    if form == "gemm":
        parts = [part for part in column_parts(conv, bands) if channels[0] <= part[0] and part[1] <= channels[1]]
    if images == 1:
        return GemmCalls(False, parts)
    columns = (channels[1] - channels[0]) // conv.filters.blocks
    if not conv.exact or gemm.keeps_bits(form, len(parts), images, rows, depth, columns):
        return GemmCalls(True, [channels])
    return GemmCalls(False, parts)


def epilogue(conv: Conv, memory: Memory, area: Area, product: Floats, target: Floats, *, bias: bool) -> list[Call]:
    """target = activation(product + bias + residual), each where present, for a band (n, h, OW, o) of output rows.

    One pass could be saved, because relu(z + b) = max(z, -b) + b, and its readers' biases can include the "+ b".
    Tried: a resnet50 gained 1.4 % at batch 1, and the error of a trained network grew by 20 to 30 %.
    """
    (first, last), width = area.channels, product.shape[2]
    calls: list[Call] = []
    if bias and conv.filters.bias is not None:
        row = memory.rows_of(conv.filters.bias[first:last], width)
        calls.append((kernels.add, (product, row, product)))
    if len(conv.node.inputs) > 1:
        residual = band(memory.images(conv.node.inputs[1]), area)
        calls.append((kernels.add, (product, residual, product)))
    return [*calls, *activate(conv.node, memory, product, target)]


def band(images: Floats, area: Area) -> Floats:
    """(N, H, W, C) -> the area's (n, h, W, c)."""
    (start, stop), (top, bottom), (first, last) = area
    return images[start:stop, top:bottom, :, first:last]


def window_view(memory: Memory, conv: Conv, area: Area) -> Floats:
    """The inputs of an area's outputs, as a view (n, h, OW, KH, KW, C) that repeats the input's bytes."""
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
    found: Floats = np.ndarray(shape, np.float32, storage, offset, strides)
    return found


def is_plain(view: Floats) -> bool:
    """Whether the view is C-contiguous, so that reshape does not copy."""
    return bool(view.flags.c_contiguous)


def split_last(view: Floats, parts: int) -> Floats:
    """(..., C) -> (..., parts, C/parts), always a view: no axes are joined."""
    return view.reshape(*view.shape[:-1], parts, view.shape[-1] // parts)
