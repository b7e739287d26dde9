"""Winograd convolution: 3x3 filters with a quarter to a half of the multiplications.

An output tile Y of m x m pixels needs an input tile d of t x t, t = m + 2. With the matrices of `ops.winograd`

    Y = A^T [ sum over c of (G g G^T) * (B^T d B) ] A          * elementwise, for each filter g

F(4x4) multiplies 36 times where the direct sum multiplies 144, F(2x2) 16 against 36. The elementwise products, summed
over channels, are t*t independent matrix products (tiles x C) @ (C x O). Everything else is transforms, and each of
those is one `np.matmul` too, on views, so that nothing is ever gathered or scattered by itself:

    1  rows[i, x]  = B^T down the rows of the padded input, a whole strip of tiles at once
    2  V[i, j]     = B^T along them: tiles overlap by two pixels, which a strided view expresses without a copy
    3  M[i, j]     = V[i, j] @ U[i, j]            U = G g G^T, made once a network; the form of the product as in `gemm`
    4  M[1, 1]    += bias                         the transform's column 1 is all ones: this adds it to every pixel
    5  Y'[a, j]    = A^T down M
    6  Y           = A^T along Y', written as rows of pixels, ready for residual and ReLU

Two scratch areas take turns: each step reads one and writes the other. A ragged edge computes whole tiles, from zeros
in a wider halo, and drops what lies outside.

What it gained: with direct convolution alone a resnet18 takes 1.56 times as long at batch 1 and 1.69 at batch 8, a
resnet50 1.20 and 1.22 (2 threads of a 2.5 GHz Cascade Lake, OpenBLAS SkylakeX, in turn in one run).

When it is chosen: 3x3 of stride 1, by `choices`. What it costs: digits (F(4x4) has about 4 times the direct error in a
layer, within PyTorch's own over a network) and memory (U is 4 or 1.8 times the filters).
"""

from __future__ import annotations

from functools import cache
from math import ceil

import numpy as np

from npresnet.cpu import gemm, kernels
from npresnet.cpu.memory import Floats, Memory
from npresnet.cpu.tiling import Area, Conv, band, epilogue, even_bands, grid, split_last, way
from npresnet.plan.layout import Halo
from npresnet.plan.shapes import Shape
from npresnet.plan.steps import Call, Tile
from npresnet.window import Window

TILES = 64  # output tiles in a tile of work, about: rows of each product, enough to be worth reading its weights for
MERGED_TILES = 200  # the same where several images share them: weights come from further away than transformed pixels
GROUPED_FLOATS = 250_000  # with groups, whose weights are small: V and M together, what a core's second cache holds

# B^T (t, t) and A^T (m, t) for m = 2 and 4 as `ops.winograd` derives them from BALANCED_POINTS; no number of theirs is
# rounded. Written out, for to derive them would take 10 ms of every process's start.
INPUT_TRANSFORMS = {
    2: [[-1, 0, 1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]],
    4: [
        [1, -1.5, -2, 1.5, 1, 0],
        [0, -1, 0.5, 2.5, 1, 0],
        [0, 1, -2.5, 0.5, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 0.5, -1, -0.5, 1, 0],
        [0, 1, -1.5, -2, 1.5, 1],
    ],
}
OUTPUT_TRANSFORMS = {
    2: [[1, 1, 1, 0], [0, 1, -1, 1]],
    4: [[1, 1, 1, 1, 1, 0], [0, 1, -1, 0.5, -2, 0], [0, 1, 1, 0.25, 4, 0], [0, 1, -1, 0.125, -8, 1]],
}


def can(window: Window) -> bool:
    """Whether a convolution has this form: 3x3, no stride, no dilation."""
    return window.kernel_size == (3, 3) and max(window.stride) == 1 and max(window.dilation) == 1


def halo(window: Window, size: Shape, tile: int) -> Halo:
    """The zeros around an input (H, W) that whole tiles of the output read."""
    sides = []
    for n, out, padding in zip(size, window.output_size(size), window.padding, strict=True):
        sides.append((padding, max(padding, ceil(out / tile) * tile + 2 - padding - n)))
    return tuple(sides)


def tile_grid(conv: Conv) -> tuple[int, int]:
    """Rows and columns of output tiles that cover one image."""
    height, width = conv.size
    return ceil(height / conv.choice.tile), ceil(width / conv.choice.tile)


def tiles_at_once(conv: Conv, few: int = TILES) -> int:
    """How many output tiles a tile of work has, about: `few` where there are no groups."""
    if conv.filters.blocks == 1:
        return few
    points = (conv.choice.tile + 2) ** 2
    return max(8, GROUPED_FLOATS // (points * (conv.source.shape[0] + conv.channels)))


def bands(conv: Conv) -> int:
    """Into how many bands an image's rows of tiles are cut."""
    rows, columns = tile_grid(conv)
    return even_bands(rows, rows * columns / tiles_at_once(conv))


def areas(conv: Conv) -> list[Area]:
    """The tiles of work: their `rows` are rows of output tiles."""
    rows, columns = tile_grid(conv)
    together = max(1, tiles_at_once(conv, MERGED_TILES) // (rows * columns))
    return grid(conv, rows, bands(conv), together=together)


def scratch_floats(conv: Conv, area: Area) -> dict[str, int]:
    """The largest of what each of the two scratch areas holds in turn."""
    m, (_, columns) = conv.choice.tile, tile_grid(conv)
    t = m + 2
    images, rows, out_channels = (stop - start for start, stop in area)
    tiles, in_channels = images * rows * columns, conv.source.shape[0]
    strips = images * rows * t * (columns * m + 2) * in_channels
    return {
        "ping": max(strips, t * t * tiles * out_channels, m * m * tiles * out_channels),
        "pong": max(t * t * tiles * in_channels, m * t * tiles * out_channels),
    }


def tile(conv: Conv, area: Area, memory: Memory, lane: int) -> Tile:
    """The calls of one tile of work."""
    m, (_, columns) = conv.choice.tile, tile_grid(conv)
    product = (area.images[1] - area.images[0], area.rows[1] - area.rows[0], columns)  # (n, R, X) tiles
    (start, stop), channels = area.rows, area.channels
    pixels = Area(area.images, (start * m, min(stop * m, conv.size[0])), channels)
    target = band(memory.images(conv.node.name), pixels)  # (n, h, OW, o)
    calls, image = _transformed(conv, area, memory, lane, product)
    image = image[:, : target.shape[1], : target.shape[2]]
    return (*calls, *epilogue(conv, memory, pixels, image, target, bias=False))


def _transformed(
    conv: Conv, area: Area, memory: Memory, lane: int, grid_shape: tuple[int, int, int]
) -> tuple[list[Call], Floats]:
    """Steps 1 to 6: their calls, and the product (n, R*m, X*m, o) in scratch."""
    to_input, to_output = _matrices(conv.choice.tile)
    m, t = to_output.shape
    images, rows, columns = grid_shape
    in_channels, out_channels = conv.source.shape[0], area.channels[1] - area.channels[0]

    def ping(*shape: int) -> Floats:
        return memory.scratch(lane, "ping", shape)

    def pong(*shape: int) -> Floats:
        return memory.scratch(lane, "pong", shape)

    source = _strips(conv, area, memory)  # (n, R, t, W*C)
    strips = ping(*source.shape)
    tiles = _overlapping(strips, m, columns, in_channels)  # (n, R, t, X, t, C)
    v = pong(t, t, images, rows, columns, in_channels)
    products = ping(t, t, images, rows, columns, out_channels)
    calls: list[Call] = [
        (kernels.matmul, (to_input, source, strips)),
        (kernels.matmul, (to_input, tiles, v.transpose(2, 3, 0, 4, 1, 5))),
        *_multiply(conv, area, v, products),
    ]
    if conv.filters.bias is not None:
        middle = products[1, 1]  # (n, R, X, o)
        bias = memory.rows_of(conv.filters.bias[slice(*area.channels)], columns)
        calls.append((kernels.add, (middle, bias, middle)))

    def by_column(values: Floats) -> Floats:  # (i, j, ...) -> (j, i, floats): products small enough for small kernels
        return values.reshape(*values.shape[:2], -1).transpose(1, 0, 2)

    half = pong(m, t, images, rows, columns, out_channels)
    image = ping(images, rows, m, columns, m, out_channels)
    calls += [
        (kernels.matmul, (to_output, by_column(products), by_column(half))),
        (kernels.matmul, (to_output, half.transpose(2, 3, 0, 4, 1, 5), image)),
    ]
    return calls, image.reshape(images, rows * m, columns * m, out_channels)


@cache
def _matrices(tile: int) -> tuple[Floats, Floats]:
    """B^T and A^T in float32."""
    return np.array(INPUT_TRANSFORMS[tile], np.float32), np.array(OUTPUT_TRANSFORMS[tile], np.float32)


def _strips(conv: Conv, area: Area, memory: Memory) -> Floats:
    """The padded input as (n, R, t, floats of a row): strip r holds the t rows that a row of tiles reads."""
    m, (_, columns) = conv.choice.tile, tile_grid(conv)
    storage = memory.storage(conv.source.name)
    (top, _), (left, _) = conv.source.halo
    pad_top, pad_left = conv.filters.window.padding
    image_bytes, row_bytes, column_bytes, item_bytes = storage.strides
    offset = (
        area.images[0] * image_bytes + (area.rows[0] * m + top - pad_top) * row_bytes + (left - pad_left) * column_bytes
    )
    shape = (
        area.images[1] - area.images[0],
        area.rows[1] - area.rows[0],
        m + 2,
        (columns * m + 2) * storage.shape[3],
    )
    return np.ndarray(shape, np.float32, storage, offset, (image_bytes, m * row_bytes, row_bytes, item_bytes))


def _overlapping(strips: Floats, m: int, columns: int, channels: int) -> Floats:
    """Strips (n, R, t, W*C) seen as tiles (n, R, t, X, t, C) that overlap their neighbours by two pixels."""
    images, rows, t, _ = strips.shape
    pixel = channels * strips.itemsize
    strides = (*strips.strides[:3], m * pixel, pixel, strips.itemsize)
    return np.ndarray((images, rows, t, columns, t, channels), np.float32, strips, 0, strides)


def _multiply(conv: Conv, area: Area, v: Floats, products: Floats) -> list[Call]:
    """M = V @ U for each of the t*t positions and each block of groups."""
    blocks = conv.filters.blocks
    t, _, images, rows, columns, in_channels = v.shape
    count = rows * columns
    form, merged, parts = way(conv, bands(conv), area, count, in_channels // blocks)
    weight = conv.filters.winograd(conv.choice.tile, form)  # (t*t, B, C/B, O/B), arranged
    if merged:
        images, count = 1, images * count

    def by_block(values: Floats) -> Floats:  # (t*t, B, n, tiles, channels of a block)
        by_pixel = split_last(values.reshape(t * t, images, count, -1), blocks)
        return by_pixel.transpose(0, 3, 1, 2, 4)

    a, out = by_block(v), by_block(products)
    calls: list[Call] = []
    for first, last in parts:
        part = (first, last) if blocks == 1 else (0, conv.channels // blocks)
        target = out[..., first - area.channels[0] : last - area.channels[0]] if blocks == 1 else out
        calls += gemm.multiply(form, a, gemm.columns_of(form, weight, *part)[:, :, None], target)
    return calls
