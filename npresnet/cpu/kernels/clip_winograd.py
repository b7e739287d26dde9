"""Winograd convolution over clips: 3x3 filters over height and width, any number of frames, summed before A^T.

The transforms of `winograd` are linear, so the sum over the frames of a window, like that over channels, is taken in
the transformed domain: output frame t is

    Y[t] = A^T [ sum over k, c of (G g[k,c] G^T) * (B^T d[t*stride + k, c] B) ] A

Every frame is transformed once and used by the KT windows that hold it; A^T is computed once for an output frame. A
position's KT frames are neighbours in memory, also after the transform:

    V[i, j] (tiles, frames, C)    row (x, t) of the product: V[i, j, x, t*stride : t*stride + KT, :], KT*C numbers
    M[i, j] (tiles, frames, O)    = V @ U, U (KT*C, O)

so that the sum over frames is the inner sum of one matrix product, and overlapping windows in time are views: nothing
is copied. A product has the tiles of one frame as its rows; those of all frames share U, and are one call.

Savings: those of F(2x2), with stride 2 also of F(4x4), as for images (F(4x4) of stride 1 is not accurate enough for
clips, see `compiler.conv3d`, and its intermediate steps are not here). Not used: Winograd along time (F(2,3)), which
would save another third of the products but takes 4/3 of their weights and twice the transforms.

Cost: a tile of work is a few rows of tiles with some frames; the frames before and after them are transformed twice.
"""

from __future__ import annotations

from math import ceil, prod
from typing import NamedTuple

import numpy as np

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels import gemm
from npresnet.cpu.kernels.clip_tiling import ClipArea, clip_epilogue, filters_of, origin_bytes, part, view
from npresnet.cpu.kernels.tiling import Conv, even_bands
from npresnet.cpu.kernels.winograd import in_parts, side_of, tile_grid
from npresnet.cpu.kernels.winograd_matrices import Side, matrices, with_bias
from npresnet.cpu.runtime.memory import Floats, Memory, split
from npresnet.plan.steps import Call, Tile

VALUES_FLOATS = 500_000  # of V and M in a tile of work: twice a core's L2 cache, as each is written and read once
FEW_TILES = 12  # the fewest rows of a product: fewer would leave the registers of its kernel unused
FEW_FRAMES = 4  # the fewest frames of a tile of work: fewer would transform most of them twice


class Sizes(NamedTuple):
    """Of one tile of work: rows and columns of output tiles, frames out and in, numbers of a frame out and in."""

    rows: int
    columns: int
    frames: int
    in_frames: int
    in_channels: int
    out_channels: int

    @property
    def tiles(self) -> int:
        return self.rows * self.columns

    @property
    def in_numbers(self) -> int:
        """Numbers of a position that are transformed."""
        return self.in_frames * self.in_channels

    @property
    def out_numbers(self) -> int:
        return self.frames * self.out_channels


def sizes(conv: Conv, rows: int, frames: int) -> Sizes:
    """A tile of work of so many rows of tiles and output frames."""
    first, last = filters_of(conv).time.input_range(0, 0, frames)
    return Sizes(rows, tile_grid(conv)[1], frames, last - first, conv.source.shape[0], conv.channels)


def cut(conv: Conv) -> tuple[int, int]:
    """(bands, chunks): parts of the rows of tiles and of the frames, by the layer alone.

    As many values as weights, or as the cache holds: more would be read from further away than the weights are.
    """
    side, (all_rows, columns), frames = side_of(conv), tile_grid(conv), conv.frames

    def floats(rows: int, frames: int) -> int:
        one = sizes(conv, rows, frames)
        return side.t**2 * one.tiles * (one.in_numbers + one.out_numbers)

    limit = max(VALUES_FLOATS, (conv.choice.tile + 2) ** 2 * prod(conv.filters.shape[:2]))
    rows = min(all_rows, max(ceil(FEW_TILES / columns), limit // floats(1, frames)))
    fitting = [n for n in range(min(FEW_FRAMES, frames), frames + 1) if floats(rows, n) <= limit]
    chunks = ceil(frames / max(fitting, default=min(FEW_FRAMES, frames)))
    bands = even_bands(all_rows, all_rows / rows)
    return (min(2, all_rows), chunks) if bands * chunks == 1 else (bands, chunks)


def areas(conv: Conv) -> list[ClipArea]:
    """The tiles of work: their `rows` are rows of output tiles."""
    bands, chunks = cut(conv)
    return [
        ClipArea(clip, rows, frames, (0, conv.channels))
        for clip in range(conv.out.images)
        for rows in split(tile_grid(conv)[0], bands)
        for frames in split(conv.frames, chunks)
    ]


def _sizes_of(conv: Conv, area: ClipArea) -> Sizes:
    return sizes(conv, area.rows[1] - area.rows[0], area.frames[1] - area.frames[0])


def scratch_floats(conv: Conv, area: ClipArea) -> dict[str, int]:
    """The size of each of the two scratch areas: the largest of its successive contents."""
    side, own = side_of(conv), _sizes_of(conv, area)
    m, t = side.m, side.t
    strips = own.rows * side.own * side.inputs(own.columns * m) * own.in_numbers
    return {
        "ping": max(strips, t * t * own.tiles * own.out_numbers),
        "pong": max(t * t * own.tiles * own.in_numbers, m * (t + 1) * own.tiles * own.out_numbers),
    }


def tile(conv: Conv, area: ClipArea, memory: Memory, worker: int) -> Tile:
    """The calls of one tile of work."""
    m, (start, stop) = conv.choice.tile, area.rows
    pixels = area._replace(rows=(start * m, min(stop * m, conv.size[0])))
    target = part(memory, conv.node.name, pixels)  # (h, OW, T, O)
    calls, image = _transformed(conv, area, memory, worker)
    image = image[: target.shape[0], : target.shape[1]]
    return (*calls, *clip_epilogue(conv, memory, pixels, image, target, bias=False))


def _transformed(conv: Conv, area: ClipArea, memory: Memory, worker: int) -> tuple[list[Call], Floats]:
    """The calls of steps 1 to 6 of `winograd`, and the product (R*m, X*m, T, O) in scratch."""
    side, one = side_of(conv), _sizes_of(conv, area)
    (to_input, to_output), m, t, own = matrices(side), side.m, side.t, side.own
    rows, columns, (deep, wide) = one.rows, one.columns, (one.in_numbers, one.out_numbers)

    def ping(*shape: int) -> Floats:
        return memory.scratch(worker, "ping", shape)

    def pong(*shape: int) -> Floats:
        return memory.scratch(worker, "pong", shape)

    source = _strips(conv, area, memory)  # (R, t, W, Tin*C)
    strips = ping(rows, own, source.shape[2], deep)
    v, v_odd = in_parts(pong(t * t, rows, columns, deep), side)
    products, products_odd = in_parts(ping(t * t, one.tiles * wide), side)
    half = pong(m, t + 1, one.tiles * wide)  # (b, i, tiles*T*O)
    image = ping(rows, m, columns, m, wide)

    calls: list[Call] = [_down(to_input[:own, :: side.stride], source[:, :: side.stride], strips)]
    calls.append((kernels.matmul, (to_input, _overlapping(strips, strips, side, columns), v.transpose(2, 0, 3, 1, 4))))
    if own < t:
        odd_rows = _overlapping(source[:, 1::2], memory.storage(conv.source.name), side, columns)
        calls.append((kernels.matmul, (to_input, odd_rows, v_odd.transpose(2, 1, 3, 0, 4))))
    calls += _multiply(conv, one, (v, v_odd), (products, products_odd))
    by_row = half.transpose(1, 0, 2)  # (i, b, floats)
    calls.append((kernels.matmul, (to_output, products, by_row[:own])))
    if own < t:
        calls.append((kernels.matmul, (to_output, products_odd.transpose(1, 0, 2), by_row[own:t])))
    by_tile = half.reshape(m, t + 1, rows, columns, wide)
    if conv.filters.bias is None:
        by_tile = by_tile[:, :t]
    else:
        bias = memory.rows_of(conv.filters.bias, columns * one.frames).reshape(columns, wide)
        calls.append((kernels.copy, (bias, by_tile[:, t])))
        to_output = with_bias(side)
    along = by_tile.transpose(2, 0, 3, 1, 4)  # (R, b, X, i, T*O)
    calls.append((kernels.matmul, (to_output, along, image.transpose(0, 3, 2, 1, 4))))
    return calls, image.reshape(rows * m, columns * m, one.frames, one.out_channels)


def _down(to_input: Floats, source: Floats, strips: Floats) -> Call:
    """strips = B^T down the rows of a strip: whole rows at once where the area has all of their frames."""
    rows, taps, width, deep = source.shape
    if source.strides[2] == deep * source.itemsize:
        shape, strides = (rows, taps, width * deep), (*source.strides[:2], source.itemsize)
        whole: Floats = np.lib.stride_tricks.as_strided(source, shape, strides)
        return kernels.matmul, (to_input, whole, strips.reshape(rows, -1, width * deep))
    return kernels.matmul, (to_input, source.transpose(0, 2, 1, 3), strips.transpose(0, 2, 1, 3))


def _strips(conv: Conv, area: ClipArea, memory: Memory) -> Floats:
    """The padded input as (R, t, W, Tin*C): strip r holds the t rows that a row of tiles reads."""
    side, one = side_of(conv), _sizes_of(conv, area)
    step = side.m * side.stride
    pad_top, pad_left = conv.filters.window.padding
    _, row_bytes, column_bytes, item_bytes = memory.storage(conv.source.name).strides
    offset = origin_bytes(memory, conv, area, area.rows[0] * step - pad_top, -pad_left)
    shape = (one.rows, side.t, side.inputs(one.columns * side.m), one.in_numbers)
    return view(memory, conv, shape, offset, (step * row_bytes, row_bytes, column_bytes, item_bytes))


def _overlapping(strips: Floats, buffer: Floats, side: Side, columns: int) -> Floats:
    """Strips (R, r, W, n), a view of `buffer`, viewed as overlapping tiles (R, r, X, t, n)."""
    pixel = strips.strides[2]
    shape = (*strips.shape[:2], columns, side.t, strips.shape[3])
    strides = (*strips.strides[:2], side.m * side.stride * pixel, pixel, strips.itemsize)
    found: Floats = np.ndarray(shape, np.float32, buffer, strips.ctypes.data - buffer.ctypes.data, strides)
    return found


def _multiply(conv: Conv, one: Sizes, v: tuple[Floats, Floats], products: tuple[Floats, Floats]) -> list[Call]:
    """M = V @ U at all positions; those that share a U (with stride 2) are products of one call: see `winograd`."""
    form, tile = conv.choice.form, conv.choice.tile
    own, side = side_of(conv).own, tile + 2
    weight = conv.filters.winograd(tile, form)
    u = weight.reshape(side, side, *weight.shape[2:])  # (m+2, m+2, K, O), prepacked; there is one block of groups
    a, out = (_windows(conv, one, values) for values in v), (_frames(one, values) for values in products)
    (a_even, a_odd), (out_even, out_odd) = a, out  # (P, P', T, tiles, K or O)
    calls = _multiply_shared(form, a_even[:, :own, None], u[:own, :own], out_even[:, :own, None])
    if own < side:  # even rows and odd columns, odd rows and even columns, both odd
        calls += _multiply_shared(form, a_even[:, None, own:], u[:own, own:], out_even[:, None, own:])
        calls += _multiply_shared(form, a_odd[None, :own], u[own:, :own], out_odd[None, :own])
        calls += _multiply_shared(form, a_odd[None, None, own:], u[own:, own:], out_odd[None, None, own:])
    return calls


def _windows(conv: Conv, one: Sizes, v: Floats) -> Floats:
    """V (P, P', R, X, Tin*C) as the rows of all output frames: (P, P', T, tiles, KT*C), overlapping views."""
    time, item = filters_of(conv).time, v.itemsize
    shape = (*v.shape[:2], one.frames, one.tiles, conv.filters.shape[1])
    strides = (*v.strides[:2], time.stride[0] * one.in_channels * item, one.in_numbers * item, item)
    found: Floats = np.lib.stride_tricks.as_strided(v, shape, strides)
    return found


def _frames(one: Sizes, products: Floats) -> Floats:
    """M (P, P', tiles*T*O) as (P, P', T, tiles, O)."""
    by_frame = products.reshape(*products.shape[:2], one.tiles, one.frames, one.out_channels)
    found: Floats = by_frame.transpose(0, 1, 3, 2, 4)
    return found


def _multiply_shared(form: gemm.Form, a: Floats, weight: Floats, out: Floats) -> list[Call]:
    """out (P, P', E.., T, tiles, O) = a (P, P', E.., T, tiles, K) @ weight (P, P', ...), prepacked."""
    extra = a.ndim - 4  # axes of products that share a weight: E.. and T
    if form == "gemm":
        return [(kernels.matmul, (a, weight.reshape(*weight.shape[:2], *(1,) * extra, *weight.shape[2:]), out))]
    panels, depth, width = weight.shape[2:]
    columns = out.reshape(*out.shape[:-1], panels, width)  # a view: the last axis is contiguous
    columns = np.moveaxis(columns, -2, 2)  # (P, P', panels, E.., T, tiles, 64)
    few = weight.reshape(*weight.shape[:3], *(1,) * (extra + 1), depth, width)
    calls: list[Call] = []
    for first, last, height in gemm.row_blocks(a.shape[-2], depth, width):
        blocks = _blocks(a[..., first:last, :], height)[:, :, None]  # (P, P', 1, E.., T, blocks, rows, K)
        calls.append((kernels.matmul, (blocks, few, _blocks(columns[..., first:last, :], height))))
    return calls


def _blocks(values: Floats, height: int) -> Floats:
    """(..., n*height, K) -> (..., n, height, K), always a view."""
    return values.reshape(*values.shape[:-2], values.shape[-2] // height, height, values.shape[-1])
