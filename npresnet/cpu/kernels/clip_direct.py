"""Direct convolution over clips: im2col and one matrix product a tile, as in `direct`.

    columns[(i,j,t), (u,v,k,c)] = x[t*stride + k*dilation - p, i*stride + u*dilation - p, j*stride + v*dilation - p, c]
    product[(i,j,t), o]         = sum over (u,v,k,c) of columns[(i,j,t), (u,v,k,c)] * weight[(u,v,k,c), o]

At every position the frames are neighbours, so that im2col copies runs of KT*C numbers, and the rows of the product are
the output's numbers in their order. Groups: as in `direct`, blocks of them share one product.

When it is chosen: by `compiler.conv3d`, for all windows but 3x3 over height and width, and for small deep layers.
"""

from __future__ import annotations

from math import prod

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels import gemm
from npresnet.cpu.kernels.clip_tiling import ClipArea, clip_epilogue, filters_of, origin_bytes, part, view
from npresnet.cpu.kernels.direct import TILE_ROWS
from npresnet.cpu.kernels.tiling import Conv, column_parts, even_bands, gemm_calls, is_plain, split_last
from npresnet.cpu.runtime.memory import Floats, Memory, split
from npresnet.plan.steps import Call, Tile


def bands(conv: Conv) -> int:
    """How many bands of rows a clip's output is cut into."""
    height, width = conv.size
    return even_bands(height, height * width * conv.frames / TILE_ROWS)


def areas(conv: Conv) -> list[ClipArea]:
    """The tiles of a layer's output; only the cut of the channels depends on the number of workers (`tiling.grid`)."""
    parts = column_parts(conv, bands(conv)) if conv.workers > 1 else [(0, conv.channels)]
    return [
        ClipArea(clip, rows, (0, conv.frames), channels)
        for clip in range(conv.out.images)
        for rows in split(conv.size[0], bands(conv))
        for channels in parts
    ]


def scratch_floats(conv: Conv, area: ClipArea) -> dict[str, int]:
    """Scratch of one tile: columns, the product, and the parts of a split product."""
    (top, bottom), (start, stop), (first, last) = area[1:]
    rows = (bottom - top) * conv.size[1] * (stop - start)
    shape = (conv.filters.blocks, rows, conv.filters.depth)
    return {
        "ping": prod(shape),
        "pong": rows * (last - first),
        "parts": gemm.scratch_floats(conv.choice.form, shape),
    }


def tile(conv: Conv, area: ClipArea, memory: Memory, worker: int) -> Tile:
    """The calls of one tile."""
    source = _windows(conv, area, memory)  # (h, OW, T, KH, KW, KT, C)
    target = part(memory, conv.node.name, area)  # (h, OW, T, o)
    product = target if is_plain(target) else memory.scratch(worker, "pong", target.shape)
    multiply = _dense if conv.filters.blocks == 1 else _grouped
    calls = multiply(conv, area, memory, worker, source, product)
    return (*calls, *clip_epilogue(conv, memory, area, product, target, bias=True))


def _dense(conv: Conv, area: ClipArea, memory: Memory, worker: int, source: Floats, product: Floats) -> list[Call]:
    """product (h, OW, T, o) = columns (h*OW*T, K) @ weight."""
    rows, depth, form = prod(product.shape[:3]), conv.filters.depth, conv.choice.form
    calls: list[Call] = []
    if is_plain(source):
        columns = source.reshape(rows, depth)
    else:
        columns = memory.scratch(worker, "ping", (rows, depth))
        calls.append((kernels.copy, (source, columns.reshape(source.shape))))
    weight, matrix = conv.filters.direct(form)[0], product.reshape(rows, product.shape[3])
    scratch = memory.scratch(worker, "parts", (gemm.scratch_floats(form, columns.shape),))
    for first, last in gemm_calls(conv, bands(conv), area.channels, 1, rows, depth).parts:
        out = matrix[:, first - area.channels[0] : last - area.channels[0]]
        calls += gemm.multiply(form, columns, gemm.columns_of(form, weight, first, last), out, scratch)
    return calls


def _grouped(conv: Conv, area: ClipArea, memory: Memory, worker: int, source: Floats, product: Floats) -> list[Call]:
    blocks, depth, form = conv.filters.blocks, conv.filters.depth, conv.choice.form
    rows, channels = prod(product.shape[:3]), product.shape[3]
    by_block = split_last(source, blocks).transpose(6, 0, 1, 2, 3, 4, 5, 7)  # (B, h, OW, T, KH, KW, KT, C/B)
    columns = memory.scratch(worker, "ping", (blocks, rows, depth))
    out = product.reshape(rows, blocks, channels // blocks).transpose(1, 0, 2)  # (B, M, O/B)
    scratch = memory.scratch(worker, "parts", (gemm.scratch_floats(form, columns.shape),))
    return [
        (kernels.copy, (by_block, columns.reshape(by_block.shape))),
        *gemm.multiply(form, columns, conv.filters.direct(form), out, scratch),  # (B, M, K) @ (B, K, O/B)
    ]


def _windows(conv: Conv, area: ClipArea, memory: Memory) -> Floats:
    """The inputs of an area's outputs: (h, OW, T, KH, KW, KT, C), a view that repeats the input's bytes."""
    window, time, channels = conv.filters.window, filters_of(conv).time, conv.source.shape[0]
    first_row, first_column = window.input_range(0, *area.rows)[0], window.input_range(1, 0, conv.size[1])[0]
    _, row_bytes, column_bytes, item_bytes = memory.storage(conv.source.name).strides
    frame_bytes = channels * item_bytes
    (stride_h, stride_w), (dilation_h, dilation_w) = window.stride, window.dilation
    sizes = (area.rows[1] - area.rows[0], conv.size[1], area.frames[1] - area.frames[0])
    strides = (
        row_bytes * stride_h,
        column_bytes * stride_w,
        frame_bytes * time.stride[0],
        row_bytes * dilation_h,
        column_bytes * dilation_w,
        frame_bytes * time.dilation[0],
        item_bytes,
    )
    offset = origin_bytes(memory, conv, area, first_row, first_column)
    return view(memory, conv, (*sizes, *window.kernel_size, *time.kernel_size, channels), offset, strides)
