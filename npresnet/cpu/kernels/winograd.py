"""Winograd convolution: 3x3 filters, of stride 1 or 2, with a quarter to two thirds of the multiplications.

An output tile Y of m x m pixels needs an input tile d of t x t, t = (m - 1) * stride + 3. With the matrices of
`ops.winograd`

    Y = A^T [ sum over c of (G g G^T) * (B^T d B) ] A          * elementwise, for each filter g

F(4x4) multiplies 36 times where the direct sum multiplies 144, F(2x2) 16 against 36; with stride 2 it is 81 and 25.
The elementwise products, summed over channels, are t*t matrix products (tiles x C) @ (C x O). Everything else is
transforms, each of them one `np.matmul` or two, on views, without separate gather or scatter copies:

    1  rows[i, x]  = B^T down the rows of the padded input, a whole strip of tiles at once
    2  V[i, j]     = B^T along them: tiles overlap, which a strided view expresses without a copy
    3  M[i, j]     = V[i, j] @ U[i, j]            U = G g G^T, made once a network; see `gemm` for forms of the product
    4  Y'[i, b]    = A^T along M
    5  Y'[t, b]    = bias, one more row
    6  Y           = [A^T | 1] down Y', written as rows of pixels, ready for residual and ReLU: this adds the bias

Two scratch areas alternate: each step reads one and writes the other. At a ragged edge whole tiles are computed, from
zeros in a wider halo, and pixels outside are dropped.

With stride 2 (`ops.polyphase`) p = m + 1 positions of a side belong to the even inputs. The other m are the odd inputs
unchanged, so that step 2 reads their rows from the input itself, and share one U: V and M have two parts, in each of
which positions of the same U are adjacent, and so the rows of one product. Of t*t positions U has (m + 2)^2.

Gain: by direct convolution alone a resnet18 takes 1.56 times as long at batch 1 and 1.69 at batch 8, a resnet50 1.20
and 1.22; without stride 2 1.02 and 1.05, 1.02 and 1.02; a layer of 14x14 and 256 channels 1.14 if four images do not
share a tile of work (2.5 GHz Cascade Lake, OpenBLAS SkylakeX, alternating in one run; 2 threads, the last 1).

When it is chosen: 3x3, by `choices`. Cost: accuracy (F(4x4) of stride 1 has 2.8 times the direct error in a layer, in a
network at most twice PyTorch's; stride 2 adds almost none) and memory (U is 4 or 1.8 times the filters).
"""

from __future__ import annotations

from functools import partial
from math import ceil, prod

import numpy as np

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels import gemm
from npresnet.cpu.kernels.tiling import Area, Conv, band, epilogue, even_bands, gemm_calls, grid, split_last
from npresnet.cpu.kernels.winograd_matrices import Side, matrices, with_bias
from npresnet.cpu.runtime.memory import Floats, Memory
from npresnet.plan.layout import Halo
from npresnet.plan.shapes import Shape
from npresnet.plan.steps import Call, Tile
from npresnet.window import Window

TILES = 64  # approximate output tiles in a tile of work: enough rows of each product to amortise reading its weights
MERGED_TILES = 200  # the same where several images share them: weights are further from the core than V and M
MOST_POSITIONS = 36  # t*t of a tile: with more positions fewer tiles at once fit a core's L2 cache
GROUPED_FLOATS = 250_000  # with groups, whose weights are small: V and M together, the size of a core's L2 cache

Positions = tuple[slice | int | None, ...]  # an index of U's (m+2, m+2)


def halo(window: Window, size: Shape, tile: int) -> Halo:
    """The border of zeros around an input (H, W) that whole tiles of the output read."""
    sides = []
    for n, out, padding, stride in zip(size, window.output_size(size), window.padding, window.stride, strict=True):
        read = Side(stride, tile).inputs(ceil(out / tile) * tile)
        sides.append((padding, max(padding, read - padding - n)))
    return tuple(sides)


def side_of(conv: Conv) -> Side:
    """The tile along one axis; both axes are equal."""
    return Side(conv.filters.window.stride[0], conv.choice.tile)


def tile_grid(conv: Conv) -> tuple[int, int]:
    """Rows and columns of output tiles that cover one image."""
    height, width = conv.size
    return ceil(height / conv.choice.tile), ceil(width / conv.choice.tile)


def tiles_at_once(conv: Conv, few: int = TILES) -> int:
    """Approximate output tiles in a tile of work: `few` without groups and with at most MOST_POSITIONS positions."""
    positions = side_of(conv).t ** 2
    if conv.filters.blocks == 1:
        return few * min(MOST_POSITIONS, positions) // positions
    return max(8, GROUPED_FLOATS // (positions * (conv.source.shape[0] + conv.channels)))


def bands(conv: Conv) -> int:
    """How many bands an image's rows of tiles are cut into."""
    rows, columns = tile_grid(conv)
    return even_bands(rows, rows * columns / tiles_at_once(conv))


def areas(conv: Conv) -> list[Area]:
    """The tiles of work: their `rows` are rows of output tiles."""
    return grid(conv, tile_grid(conv)[0], bands(conv), together=_images_at_once(conv))


def _images_at_once(conv: Conv) -> int:
    """The images of a tile of work: more where their rows are multiplied at once and read the weights once."""
    rows, columns = tile_grid(conv)
    count, depth = rows * columns, conv.source.shape[0] // conv.filters.blocks
    many = min(conv.out.images, tiles_at_once(conv, MERGED_TILES) // count)
    if many > 1 and gemm_calls(conv, bands(conv), (0, conv.channels), many, count, depth).merged:
        return many
    return max(1, tiles_at_once(conv) // count)


def scratch_floats(conv: Conv, area: Area) -> dict[str, int]:
    """The size of each of the two scratch areas: the largest of its successive contents."""
    side, (_, columns) = side_of(conv), tile_grid(conv)
    m, t = side.m, side.t
    images, rows, out_channels = (stop - start for start, stop in area)
    tiles, in_channels = images * rows * columns, conv.source.shape[0]
    strips = images * rows * side.own * side.inputs(columns * m) * in_channels
    return {
        "ping": max(strips, t * t * tiles * out_channels, m * m * tiles * out_channels),
        "pong": max(t * t * tiles * in_channels, m * (t + 1) * tiles * out_channels),
    }


def probe(conv: Conv, area: Area) -> None:
    """Test how the tile's products may be called: of images, and of positions that share a U."""
    (start, stop), (first, last), channels = area
    count, depth = (last - first) * tile_grid(conv)[1], conv.source.shape[0] // conv.filters.blocks
    side = side_of(conv)
    for shared in {1, side.t - side.own, (side.t - side.own) ** 2} - {0}:
        gemm_calls(conv, bands(conv), channels, shared * (stop - start), count, depth)


def tile(conv: Conv, area: Area, memory: Memory, worker: int) -> Tile:
    """The calls of one tile of work."""
    m, (_, columns) = conv.choice.tile, tile_grid(conv)
    product = (area.images[1] - area.images[0], area.rows[1] - area.rows[0], columns)  # (n, R, X) tiles
    (start, stop), channels = area.rows, area.channels
    pixels = Area(area.images, (start * m, min(stop * m, conv.size[0])), channels)
    target = band(memory.images(conv.node.name), pixels)  # (n, h, OW, o)
    calls, image = _transformed(conv, area, memory, worker, product)
    image = image[:, : target.shape[1], : target.shape[2]]
    return (*calls, *epilogue(conv, memory, pixels, image, target, bias=False))


def _transformed(
    conv: Conv, area: Area, memory: Memory, worker: int, grid_shape: tuple[int, int, int]
) -> tuple[list[Call], Floats]:
    """Steps 1 to 6: their calls, and the product (n, R*m, X*m, o) in scratch."""
    side = side_of(conv)
    (to_input, to_output), m, t, own = matrices(side), side.m, side.t, side.own
    images, rows, columns = grid_shape
    in_channels, out_channels = conv.source.shape[0], area.channels[1] - area.channels[0]

    def ping(*shape: int) -> Floats:
        return memory.scratch(worker, "ping", shape)

    def pong(*shape: int) -> Floats:
        return memory.scratch(worker, "pong", shape)

    source = _strips(conv, area, memory)  # (n, R, t, W*C)
    strips = ping(images, rows, own, source.shape[-1])
    tiles = partial(_overlapping, side=side, columns=columns, channels=in_channels)
    v, v_odd = in_parts(pong(t * t, *grid_shape, in_channels), side)
    products, products_odd = in_parts(ping(t * t, *grid_shape, out_channels), side)
    half = pong(m, t + 1, *grid_shape, out_channels)  # (b, i, n, R, X, o)
    image = ping(images, rows, m, columns, m, out_channels)

    calls: list[Call] = [
        (kernels.matmul, (to_input[:own, :: side.stride], source[:, :, :: side.stride], strips)),
        (kernels.matmul, (to_input, tiles(strips, strips), v.transpose(2, 3, 0, 4, 1, 5))),
    ]
    if own < t:
        odd_rows = tiles(source[:, :, 1::2], memory.storage(conv.source.name))
        calls.append((kernels.matmul, (to_input, odd_rows, v_odd.transpose(2, 3, 1, 4, 0, 5))))
    calls += _multiply(conv, area, (v, v_odd), (products, products_odd))
    by_row = _flat(half).transpose(2, 1, 0, 3)  # (n, i, b, floats): images are multiplied separately
    calls.append((kernels.matmul, (to_output, _flat(products).transpose(2, 0, 1, 3), by_row[:, :own])))
    if own < t:
        calls.append((kernels.matmul, (to_output, _flat(products_odd).transpose(2, 1, 0, 3), by_row[:, own:t])))
    if conv.filters.bias is None:
        half = half[:, :t]
    else:
        bias = memory.rows_of(conv.filters.bias[slice(*area.channels)], columns)
        calls.append((kernels.copy, (bias, half[:, t])))
        to_output = with_bias(side)
    calls.append((kernels.matmul, (to_output, half.transpose(2, 3, 0, 4, 1, 5), image.transpose(0, 1, 4, 3, 2, 5))))
    return calls, image.reshape(images, rows * m, columns * m, out_channels)


def in_parts(positions: Floats, side: Side) -> tuple[Floats, Floats]:
    """(t*t, ...) in two parts: of rows i < p (p, t, ...), as [i, j], of the others (t, t - p, ...), as [j, i]."""
    (t, own), rest = (side.t, side.own), positions.shape[1:]
    return positions[: own * t].reshape(own, t, *rest), positions[own * t :].reshape(t, t - own, *rest)


def _flat(values: Floats) -> Floats:
    """(i, j, n, ...) -> (i, j, n, floats)."""
    return values.reshape(*values.shape[:3], prod(values.shape[3:]))


def _strips(conv: Conv, area: Area, memory: Memory) -> Floats:
    """The padded input as (n, R, t, floats of a row): strip r holds the t rows that a row of tiles reads."""
    side, (_, columns), ((first, last), rows, _) = side_of(conv), tile_grid(conv), area
    storage, step = memory.storage(conv.source.name), side.m * side.stride
    (top, _), (left, _) = conv.source.halo
    pad_top, pad_left = conv.filters.window.padding
    image_bytes, row_bytes, column_bytes, item_bytes = storage.strides
    first_row = rows[0] * step + top - pad_top
    offset = first * image_bytes + first_row * row_bytes + (left - pad_left) * column_bytes
    shape = (last - first, rows[1] - rows[0], side.t, side.inputs(columns * side.m) * storage.shape[3])
    found: Floats = np.ndarray(
        shape, np.float32, storage, offset, (image_bytes, step * row_bytes, row_bytes, item_bytes)
    )
    return found


def _overlapping(strips: Floats, buffer: Floats, *, side: Side, columns: int, channels: int) -> Floats:
    """Strips (n, R, r, W*C), a view of `buffer`, viewed as overlapping tiles (n, R, r, X, t, C)."""
    pixel = channels * strips.itemsize
    shape = (*strips.shape[:3], columns, side.t, channels)
    strides = (*strips.strides[:3], side.m * side.stride * pixel, pixel, strips.itemsize)
    found: Floats = np.ndarray(shape, np.float32, buffer, strips.ctypes.data - buffer.ctypes.data, strides)
    return found


def _multiply(conv: Conv, area: Area, v: tuple[Floats, Floats], products: tuple[Floats, Floats]) -> list[Call]:
    """M = V @ U for each of the t*t positions; those that share a U are rows of one product."""
    own = side_of(conv).own
    calls = _multiply_shared(conv, area, v[0][:, :own, None], products[0][:, :own, None], (slice(own), slice(own)))
    if own < conv.choice.tile + 2:  # even rows and odd columns, odd rows and even columns, both odd
        even, odd = (slice(None), None, slice(own, None)), (slice(own), None)
        for a, out, shared in (
            (v[0][even], products[0][even], (slice(own), slice(own, None))),
            (v[1][odd], products[1][odd], (own, slice(own), None)),
            (v[1][None, None, own:], products[1][None, None, own:], (slice(own, None), slice(own, None))),
        ):
            calls += _multiply_shared(conv, area, a, out, shared)
    return calls


def _multiply_shared(conv: Conv, area: Area, v: Floats, products: Floats, positions: Positions) -> list[Call]:
    """M = V @ U at these positions of U: (P, P', ..., n, R, X, C) @ (P, P', B, C/B, O/B); axes `...` share a U."""
    blocks, side = conv.filters.blocks, conv.choice.tile + 2
    *leading, rows, columns, in_channels = v.shape
    together, count = prod(leading[2:]), rows * columns
    form = conv.choice.form
    merged, parts = gemm_calls(conv, bands(conv), area.channels, together, count, in_channels // blocks)
    weight = conv.filters.winograd(conv.choice.tile, form)  # ((m+2)^2, B, C/B, O/B), prepacked
    weight = weight.reshape(side, side, *weight.shape[1:])[positions]
    if merged:
        together, count = 1, together * count

    def by_block(values: Floats) -> Floats:  # (P, P', B, positions and images, tiles, channels of a block)
        by_pixel = split_last(values.reshape(*leading[:2], together, count, values.shape[-1]), blocks)
        result: Floats = by_pixel.transpose(0, 1, 4, 2, 3, 5)
        return result

    a, out = by_block(v), by_block(products)
    calls: list[Call] = []
    for first, last in parts:
        part = (first, last) if blocks == 1 else (0, conv.channels // blocks)
        target = out[..., first - area.channels[0] : last - area.channels[0]] if blocks == 1 else out
        calls += gemm.multiply(form, a, gemm.columns_of(form, weight, *part)[:, :, :, None], target)
    return calls
