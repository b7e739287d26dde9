"""Direct convolution: im2col and one matrix product a tile.

For a tile of output rows i and output channels o (NHWC):

    columns[(i,j), (u,v,c)] = x[i*stride + u*dilation - p, j*stride + v*dilation - p, c]            im2col: a copy
    product[(i,j), o]       = sum over (u,v,c) of columns[(i,j), (u,v,c)] * weight[(u,v,c), o]      one BLAS call

In NHWC the taps v, v+1, ... of one window row are adjacent, so im2col copies runs of KW*C floats. A 1x1 convolution
without stride needs no copy: its columns are the input. The input's halo is zero, so no tile checks for the image's
edges.

Groups: several groups share one product with a block-diagonal weight about 32 wide. That multiplies some zeros, but is
faster than many tiny products.

Gain of tiles over whole layers, in a prototype on 2 threads of a Zen 5: a resnet18 fell from 12 to 11 ms, and at batch
8 from 13 to 9.

When it is chosen: for all windows except 3x3 of stride 1 or 2, and for those where `choices` finds Winograd slower.
"""

from __future__ import annotations

from math import prod

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels import gemm
from npresnet.cpu.kernels.tiling import (
    Area,
    Conv,
    GemmCalls,
    band,
    epilogue,
    even_bands,
    gemm_calls,
    grid,
    is_plain,
    split_last,
    window_view,
)
from npresnet.cpu.runtime.memory import Floats, Memory
from npresnet.plan.steps import Call, Tile

TILE_ROWS = 400  # approximate rows of a tile's product: fewer increase call overhead, more exceed the cache
MERGED_ROWS = 800  # the same where several images share a tile: more rows amortise packing the weights


def bands(conv: Conv) -> int:
    """How many bands of rows an image's output is cut into."""
    height, width = conv.size
    return even_bands(height, height * width / TILE_ROWS)


def areas(conv: Conv) -> list[Area]:
    """The tiles of a layer's output."""
    height, width = conv.size
    return grid(conv, height, bands(conv), together=max(1, MERGED_ROWS // (height * width)))


def scratch_floats(conv: Conv, area: Area) -> dict[str, int]:
    """Scratch of one tile: columns, the product, and the parts of a split product."""
    (start, stop), (top, bottom), (first, last) = area
    rows, depth = (stop - start) * (bottom - top) * conv.size[1], conv.filters.depth
    shape = (conv.filters.blocks, rows, depth)
    return {
        "ping": 0 if _reads_in_place(conv) else prod(shape),
        "pong": rows * (last - first),
        "parts": gemm.scratch_floats(conv.choice.form, shape),
    }


def probe(conv: Conv, area: Area) -> None:
    """Test how the tile's product may be called."""
    if conv.filters.blocks == 1:
        _gemm_calls(conv, area)


def _gemm_calls(conv: Conv, area: Area) -> GemmCalls:
    (start, stop), (top, bottom), _ = area
    rows = (bottom - top) * conv.size[1]
    return gemm_calls(conv, bands(conv), area.channels, stop - start, rows, conv.filters.depth)


def tile(conv: Conv, area: Area, memory: Memory, worker: int) -> Tile:
    """The calls of one tile."""
    return (_dense_tile if conv.filters.blocks == 1 else _grouped_tile)(conv, area, memory, worker)


def _dense_tile(conv: Conv, area: Area, memory: Memory, worker: int) -> Tile:
    source = window_view(memory, conv, area)  # (n, h, OW, KH, KW, C)
    target = band(memory.images(conv.node.name), area)  # (n, h, OW, o)
    images, height, width, channels = target.shape
    shape = (images, height * width, conv.filters.depth)
    calls: list[Call] = []
    if is_plain(source):
        columns = source.reshape(shape)
    else:
        columns = memory.scratch(worker, "ping", shape)
        calls.append((kernels.copy, (source, columns.reshape(source.shape))))

    product = target if is_plain(target) else memory.scratch(worker, "pong", target.shape)
    rows = product.reshape(images, height * width, channels)
    calls += _multiply(conv, area, columns, rows, memory, worker)
    return (*calls, *epilogue(conv, memory, area, product, target, bias=True))


def _multiply(conv: Conv, area: Area, columns: Floats, product: Floats, memory: Memory, worker: int) -> list[Call]:
    """product (n, M, o) = columns (n, M, K) @ weight, all images in one call where that preserves their bits."""
    images, rows, depth = columns.shape
    form = conv.choice.form
    merged, parts = _gemm_calls(conv, area)
    weight = conv.filters.direct(form)[0]
    if merged:
        columns, product = columns.reshape(1, -1, depth), product.reshape(1, images * rows, -1)
    scratch = memory.scratch(worker, "parts", (gemm.scratch_floats(form, columns.shape),))
    calls: list[Call] = []
    for first, last in parts:
        out = product[..., first - area.channels[0] : last - area.channels[0]]
        calls += gemm.multiply(form, columns, gemm.columns_of(form, weight, first, last), out, scratch)
    return calls


def _grouped_tile(conv: Conv, area: Area, memory: Memory, worker: int) -> Tile:
    blocks, depth, form = conv.filters.blocks, conv.filters.depth, conv.choice.form
    source = window_view(memory, conv, area)  # (n, h, OW, KH, KW, C)
    target = band(memory.images(conv.node.name), area)  # (n, h, OW, O)
    images, height, width, channels = target.shape
    by_block = split_last(source, blocks).transpose(5, 0, 1, 2, 3, 4, 6)  # (B, n, h, OW, KH, KW, C/B)
    columns = memory.scratch(worker, "ping", (blocks, images, height * width, depth))
    product = memory.scratch(worker, "pong", target.shape)
    rows = product.reshape(images, height * width, blocks, channels // blocks).transpose(2, 0, 1, 3)
    weight = conv.filters.direct(form)
    scratch = memory.scratch(worker, "parts", (gemm.scratch_floats(form, columns.shape),))
    return (
        (kernels.copy, (by_block, columns.reshape(by_block.shape))),
        *gemm.multiply(form, columns, weight[:, None], rows, scratch),  # (B, n, M, K) @ (B, 1, K, O/B)
        *epilogue(conv, memory, area, product, target, bias=True),
    )


def _reads_in_place(conv: Conv) -> bool:
    window = conv.filters.window
    is_plain_window = window.is_pointwise and max(window.stride) == 1
    return is_plain_window and conv.filters.blocks == 1 and not conv.source.has_halo
