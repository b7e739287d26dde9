"""Convolution as a matrix product, tile by tile, with bias, residual and ReLU while the tile is in the cache.

For a tile of output rows i and output channels o (NHWC, one image):

    columns[(i,j), (u,v,c)] = x[i*stride + u*dilation - p, j*stride + v*dilation - p, c]       im2col: a copy
    product[(i,j), o]       = sum over (u,v,c) of columns[(i,j), (u,v,c)] * weight[(u,v,c), o]      one BLAS call
    out[i,j,o]              = relu(product + bias[o] + residual[i,j,o])                              in place

In NHWC the taps v, v+1, ... of one window row lie side by side, so im2col copies runs of KW*C floats. A 1x1 convolution
without stride needs no copy at all: its columns are the input. The input's halo is zero, so no tile asks where the
image ends.

Groups: several groups are packed into one product with a block-diagonal weight about 32 wide. That multiplies some
zeros, and is still faster than many tiny products.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from npresnet.cpu import kernels
from npresnet.cpu.memory import Floats, Memory, split
from npresnet.cpu.running import lane_of
from npresnet.network import Node
from npresnet.plan import Layout, Value
from npresnet.plan.steps import Call, Tile
from npresnet.window import Window

TILE_ROWS = 400  # rows of a tile's matrix product, about: smaller lose to the calls' overhead, larger to the cache
MIN_TILES = 2  # deep layers have too few rows for two tiles of that size: their output channels are split instead
MIN_TILE_CHANNELS = 128
BLOCK_CHANNELS = 32  # width of a block of groups


@dataclass(frozen=True)
class Filters:
    """A convolution's weights as matrices, and what else its tiles need.

    weight   (B, K, N): B blocks of groups, each K = KH*KW*(input channels of the block) by N output channels
    bias     (O,) or None, O = B*N
    """

    window: Window
    weight: Floats
    bias: Floats | None

    @property
    def blocks(self) -> int:
        return int(self.weight.shape[0])


@dataclass(frozen=True)
class Area:
    """The output rows and output channels of one tile."""

    rows: tuple[int, int]
    channels: tuple[int, int]


def prepare(node: Node) -> Filters:
    """Arrange (O, C/G, KH, KW) as (B, KH*KW*C/B, O/B). Without groups that is a view of what `fold_batch_norm` made."""
    assert node.window is not None
    weight = np.asarray(node.params["weight"], np.float32)
    out_channels, group_channels, kernel_height, kernel_width = weight.shape
    bias = node.params.get("bias")
    blocks = node.groups // groups_per_block(node.groups, group_channels, out_channels // node.groups)
    taps_first = weight.transpose(2, 3, 1, 0)  # (KH, KW, C/G, O)
    if node.groups == 1:
        matrices = taps_first.reshape(1, -1, out_channels)
    else:
        matrices = block_diagonal(taps_first, node.groups, blocks)
    return Filters(node.window, np.ascontiguousarray(matrices), None if bias is None else np.asarray(bias, np.float32))


def groups_per_block(groups: int, in_width: int, out_width: int) -> int:
    """The most groups that share one block of BLOCK_CHANNELS, and divide the number of groups."""
    fitting = [n for n in range(1, groups + 1) if groups % n == 0 and n * max(in_width, out_width) <= BLOCK_CHANNELS]
    return max(fitting, default=1)


def block_diagonal(taps_first: Floats, groups: int, blocks: int) -> Floats:
    """(KH, KW, C/G, O) -> (B, KH*KW*C/B, O/B): each group's filters see only its own channels of the block."""
    kernel_height, kernel_width, in_width, out_channels = taps_first.shape
    out_width, per_block = out_channels // groups, groups // blocks
    dense = np.zeros(
        (blocks, kernel_height, kernel_width, per_block, in_width, per_block, out_width), np.float32
    )  # (B, KH, KW, g, C/G, g', O/G), zero where g != g'
    grouped = taps_first.reshape(kernel_height, kernel_width, in_width, blocks, per_block, out_width)
    for g in range(per_block):
        dense[:, :, :, g, :, g, :] = grouped[:, :, :, :, g].transpose(3, 0, 1, 2, 4)
    return dense.reshape(blocks, kernel_height * kernel_width * per_block * in_width, per_block * out_width)


def grid(out: Value, blocks: int) -> list[Area]:
    """The tiles of an output (O, OH, OW): bands of whole rows, and for small images halves of the channels."""
    out_channels, height, width = out.shape
    bands = split(height, max(1, round(height * width / TILE_ROWS)))
    parts = 1
    if len(bands) < MIN_TILES and blocks == 1:
        parts = max(1, min(MIN_TILES, out_channels // MIN_TILE_CHANNELS))
    return [Area(rows, channels) for rows in bands for channels in split(out_channels, parts)]


def scratch_floats(node: Node, filters: Filters, layout: Layout) -> dict[str, int]:
    """The largest tile's `columns` and `product`."""
    out = layout.values[node.name]
    blocks, depth, _ = filters.weight.shape
    areas = grid(out, blocks)
    rows = [(area.rows[1] - area.rows[0]) * out.shape[2] for area in areas]
    widths = [area.channels[1] - area.channels[0] for area in areas]
    reads_in_place = filters.window.is_pointwise and max(filters.window.stride) == 1 and blocks == 1
    in_place = reads_in_place and not layout.values[node.inputs[0]].has_halo
    return {
        "columns": 0 if in_place else max(rows) * depth * blocks,
        "product": max(m * n for m, n in zip(rows, widths, strict=True)),
    }


def lower(node: Node, filters: Filters, memory: Memory) -> list[Tile]:
    """The calls of every tile."""
    areas = grid(memory.value(node.name), filters.blocks)
    make = _dense_tile if filters.blocks == 1 else _grouped_tile
    return [make(node, filters, memory, area, lane_of(i, len(areas), memory.lanes)) for i, area in enumerate(areas)]


def _dense_tile(node: Node, filters: Filters, memory: Memory, area: Area, lane: int) -> Tile:
    (start, stop), (first, last) = area.rows, area.channels
    out = memory.image(node.name)  # (OH, OW, O)
    height, width, depth = stop - start, out.shape[1], filters.weight.shape[1]
    calls: list[Call] = []

    source = window_view(memory, node.inputs[0], filters.window, area.rows, width)  # (h, OW, KH, KW, C)
    columns = source.reshape(height * width, depth) if _is_plain(source) else None
    if columns is None:
        columns = memory.scratch(lane, "columns", (height * width, depth))
        calls.append(_copy(columns.reshape(source.shape), source))

    target = out[start:stop, :, first:last]  # (h, OW, o)
    product = target if _is_plain(target) else memory.scratch(lane, "product", target.shape)
    weight = filters.weight[0][:, first:last]  # (K, o)
    calls.append((kernels.matmul, (columns, weight, product.reshape(height * width, last - first))))

    residual = memory.image(node.inputs[1])[start:stop, :, first:last] if len(node.inputs) > 1 else None
    bias = None if filters.bias is None else memory.rows_of(filters.bias[first:last], width)
    return (*calls, *epilogue(memory, product, target, bias, residual, node.relu))


def _grouped_tile(node: Node, filters: Filters, memory: Memory, area: Area, lane: int) -> Tile:
    start, stop = area.rows
    blocks, depth, block_out = filters.weight.shape
    out = memory.image(node.name)
    height, width = stop - start, out.shape[1]

    source = window_view(memory, node.inputs[0], filters.window, area.rows, width)  # (h, OW, KH, KW, C)
    by_block = _split_last(source, blocks).transpose(4, 0, 1, 2, 3, 5)  # (B, h, OW, KH, KW, C/B)
    columns = memory.scratch(lane, "columns", (blocks, height * width, depth))
    product = memory.scratch(lane, "product", (blocks, height, width, block_out))

    target = _split_last(out[start:stop], blocks).transpose(2, 0, 1, 3)  # (B, h, OW, O/B)
    bias = None if filters.bias is None else memory.rows_of(filters.bias.reshape(blocks, 1, 1, block_out), width)
    residual = None
    if len(node.inputs) > 1:
        residual = _split_last(memory.image(node.inputs[1])[start:stop], blocks).transpose(2, 0, 1, 3)
    return (
        _copy(columns.reshape(by_block.shape), by_block),
        (kernels.matmul, (columns, filters.weight, product.reshape(blocks, height * width, block_out))),
        *epilogue(memory, product, target, bias, residual, node.relu),
    )


def epilogue(
    memory: Memory, product: Floats, target: Floats, bias: Floats | None, residual: Floats | None, relu: bool
) -> list[Call]:
    """target = relu(product + bias + residual), each where there is one; bias (..., OW, o), others (..., h, OW, o)."""
    calls: list[Call] = []
    if bias is not None:
        calls.append((kernels.add, (product, bias, product)))
    if residual is not None:
        calls.append((kernels.add, (product, residual, product)))
    if relu:
        calls.append((kernels.maximum, (product, memory.zeros(product.shape[-2:]), target)))
    elif target is not product:
        calls.append(_copy(target, product))
    return calls


def window_view(memory: Memory, name: str, window: Window, rows: tuple[int, int], out_width: int) -> Floats:
    """What output rows start..stop-1 look at, as a view (h, OW, KH, KW, C) that repeats the input's bytes."""
    storage = memory.storage(name)
    (top, _), (left, _) = memory.value(name).halo
    first_row = window.input_range(0, *rows)[0] + top
    first_column = window.input_range(1, 0, out_width)[0] + left
    row_bytes, column_bytes, item_bytes = storage.strides
    (stride_h, stride_w), (dilation_h, dilation_w) = window.stride, window.dilation
    shape = (rows[1] - rows[0], out_width, *window.kernel_size, storage.shape[2])
    strides = (
        row_bytes * stride_h,
        column_bytes * stride_w,
        row_bytes * dilation_h,
        column_bytes * dilation_w,
        item_bytes,
    )
    return np.ndarray(shape, np.float32, storage, first_row * row_bytes + first_column * column_bytes, strides)


def _is_plain(view: Floats) -> bool:
    """Whether the view's elements lie one after another, so that reshape copies nothing."""
    return bool(view.flags.c_contiguous)


def _split_last(view: Floats, parts: int) -> Floats:
    """(..., C) -> (..., parts, C/parts), always a view: no axes are joined."""
    return view.reshape(*view.shape[:-1], parts, view.shape[-1] // parts)


def _copy(target: Floats, source: Floats) -> Call:
    return (kernels.copy, (source, target))
