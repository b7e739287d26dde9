"""The stem: convolution, max pool, bias and ReLU of an image as one step, band by band.

    out = relu(bias + max under the pool's window of (columns @ weight))

Bias and ReLU come last, on a quarter of the numbers: rounding is monotonic, so adding one number to both, or clamping
both at 0, preserves which one is larger, bit for bit. The convolution's output, a ResNet's largest value, never leaves
the cache. A tile is a band of pooled rows:

    columns[r, (c,v), j] = image[c, r, j*stride + v - p]                                im2col, along the width alone
    product[i, j, o]     = sum over (u,c,v) of columns[i*stride + u, (c,v), j] * weight[(u,c,v), o]
    pooled               = max over rows of product, then over columns                  whole rows a NumPy call

The columns of output row i are KH consecutive rows of that array: one matrix (K, OW), which BLAS reads transposed in
place. Neighbouring output rows overlap in it, so im2col copies KH/stride times less than one matrix for each output row
would. The image is stored channel by channel, the caller's layout: three interleaved channels would be copied three
floats at a time.

Outside the convolution's output the pool reads minus infinity. Neighbouring bands both compute the rows they share.

When it is chosen: `passes.fuse_max_pool` finds a convolution of few channels that only a max pool reads. Remaining
waste: those shared rows (one in 15 for a ResNet), and the product's traffic through the L2 cache.

Measured, 7x7 stride 2 on 3x224x224 with 64 filters and a 3x3 pool of stride 2, Intel Xeon (Cascade Lake) at 2.5 GHz,
one thread, alternating: 3.2 ms instead of 3.6 + 2.0 with OpenBLAS's SkylakeX core type, 5.8 instead of 5.9 + 1.9 with
Haswell. Of the 3.2, 2.0 are the products, 0.4 im2col, 0.7 the pool.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels import gemm
from npresnet.cpu.kernels.activations import activate
from npresnet.cpu.kernels.gemm import Form, has_small_products
from npresnet.cpu.kernels.lowering import Bound, Lowering, Request
from npresnet.cpu.runtime import blas
from npresnet.cpu.runtime.memory import Floats, Memory, split
from npresnet.cpu.runtime.running import worker_of
from npresnet.network import Node
from npresnet.ops.convolution import folded_weight
from npresnet.ops.record import window_of
from npresnet.plan.layout import Halo
from npresnet.plan.steps import Call, Tile
from npresnet.window import Window

TILE_FLOATS = 100_000  # approximate size of a tile's product, which should fit the L2 cache
MIN_TILES = 4  # so that workers can share an image


class StemFilters:
    """The weights as (KH*C*KW, O), prepacked for `form`; bias (O,) or None."""

    def __init__(self, node: Node):
        weight = folded_weight(node).astype(np.float32, copy=False)
        matrix = np.ascontiguousarray(weight.transpose(2, 1, 3, 0).reshape(-1, len(weight)))
        small = has_small_products(blas.core_type())
        self.form: Form = "panels" if small and gemm.fits("panels", *matrix.shape) else "gemm"
        self.weight: Floats = gemm.prepack(self.form, matrix)
        bias = node.params.get("bias")
        self.bias: Floats | None = None if bias is None else np.asarray(bias, np.float32)


class Stem(NamedTuple):
    """One stem bound to a layout. source, conv, out: (C, H, W) of image, convolution and pool."""

    node: Node
    window: Window
    pool: Window
    source: tuple[int, ...]
    conv: tuple[int, ...]
    out: tuple[int, ...]

    @classmethod
    def of(cls, bound: Bound) -> Stem:
        """A node of a compiled shape."""
        node, values = bound.node, bound.layout.values
        window, source, out = window_of(node), values[node.inputs[0]].shape, values[node.name].shape
        return cls(node, window, node.attrs["pool"], source, (out[0], *window.output_size(source[1:])), out)

    def rows(self, start: int, stop: int) -> tuple[int, int]:
        """The convolution's rows that pooled rows start..stop-1 read; some may be outside its output."""
        return self.pool.input_range(0, start, stop)

    def valid_rows(self, start: int, stop: int) -> tuple[int, int]:
        """Those of them inside the convolution's output."""
        first, last = self.rows(start, stop)
        return max(first, 0), min(last, self.conv[1])

    @property
    def padded_width(self) -> tuple[int, int]:
        """(columns of padding on the left, width) of the convolution's columns under all windows of the pool."""
        first, last = self.pool.input_range(1, 0, self.out[2])
        return -first, max(last, self.conv[2]) - first

    def bands(self) -> list[tuple[int, int]]:
        """Pooled rows (start, stop) of every tile; depends on the shape alone."""
        floats = prod(self.conv)
        return split(self.out[1], max(MIN_TILES, round(floats / TILE_FLOATS)))

    def column_shape(self, start: int, stop: int) -> tuple[int, int, int, int]:
        """(image rows, C, KW, OW): im2col's copy for pooled rows start..stop-1."""
        first, last = self.window.input_range(0, *self.valid_rows(start, stop))
        return last - first, self.source[0], self.window.kernel_size[1], self.conv[2]

    def product_shape(self, start: int, stop: int) -> tuple[int, int, int]:
        """(rows, OW, O) of the convolution, including the rows of minus infinity outside it that the pool reads."""
        first, last = self.rows(start, stop)
        return last - first, self.conv[2], self.conv[0]


class StemLowering(Lowering):
    """Convolution and max pool in one step."""

    reads_planes = True

    def prepare(self, node: Node) -> StemFilters:
        return StemFilters(node)

    def halo(self, request: Request, choice: None) -> Halo:
        return tuple((p, p) for p in window_of(request.node).padding)

    def scratch(self, bound: Bound) -> dict[str, int]:
        stem = Stem.of(bound)
        channels, pooled_width = stem.conv[0], stem.padded_width[1]
        ping, pong = 0, 0
        for start, stop in stem.bands():
            ping = max(ping, prod(stem.column_shape(start, stop)), (stop - start) * pooled_width * channels)
            pong = max(pong, prod(stem.product_shape(start, stop)), (stop - start) * stem.out[2] * channels)
        return {"ping": ping, "pong": pong}

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        stem = Stem.of(bound)
        bands = [(image, band) for image in range(memory.layout.images) for band in stem.bands()]
        return [
            _tile(stem, bound.weights, memory, image, band, worker_of(i, len(bands), bound.workers))
            for i, (image, band) in enumerate(bands)
        ]

    def algorithm(self, bound: Bound) -> str:
        return f"direct with max pool, {bound.weights.form}"


def _tile(stem: Stem, filters: StemFilters, memory: Memory, image: int, band: tuple[int, int], worker: int) -> Tile:
    first, last = stem.valid_rows(*band)
    columns = memory.scratch(worker, "ping", stem.column_shape(*band))
    product = memory.scratch(worker, "pong", stem.product_shape(*band))
    top = first - stem.rows(*band)[0]
    inside = product[top : top + last - first]
    rows = memory.scratch(worker, "ping", (band[1] - band[0], stem.padded_width[1], stem.conv[0]))  # replaces columns
    target = memory.images(stem.node.name)[image, band[0] : band[1]]
    pooled = memory.scratch(worker, "pong", target.shape)  # replaces product
    return (
        (kernels.copy, (_image_view(stem, memory, image, band), columns)),
        *_fill(product[:top], product[top + last - first :]),
        *gemm.multiply(filters.form, _matrices(stem, columns, last - first), filters.weight, inside),
        *_pool_rows(stem, product, rows),
        *_pool_columns(stem, rows, pooled),
        *_epilogue(stem, filters, memory, pooled, target),
    )


def _image_view(stem: Stem, memory: Memory, image: int, band: tuple[int, int]) -> Floats:
    """The image in the shape of `columns`, (image rows, C, KW, OW): a view that repeats its bytes."""
    name = stem.node.inputs[0]
    (top, _), (left, _) = memory.value(name).halo
    first_row = stem.window.input_range(0, *stem.valid_rows(*band))[0] + top
    first_column = stem.window.input_range(1, 0, stem.conv[2])[0] + left
    source = memory.storage(name)[image, first_row:, first_column:]  # (H, W, C), stored in any order
    row, column, channel = source.strides
    return as_strided(source, stem.column_shape(*band), (row, channel, column, column * stem.window.stride[1]))


def _matrices(stem: Stem, columns: Floats, rows: int) -> Floats:
    """(rows, OW, KH*C*KW): the transposed columns of each output row; neighbours overlap."""
    image_row, _, tap, item = columns.strides
    depth = stem.window.kernel_size[0] * prod(columns.shape[1:3])
    return as_strided(columns, (rows, stem.conv[2], depth), (image_row * stem.window.stride[0], item, tap))


def _pool_rows(stem: Stem, product: Floats, rows: Floats) -> list[Call]:
    """rows[i] = max over u of product[i*stride + u], between columns of minus infinity."""
    left, width = stem.padded_width[0], stem.conv[2]
    taps = [product[tap] for tap in _taps(stem.pool, 0, len(rows))]
    return [*_fill(rows[:, :left], rows[:, left + width :]), *_maximum(taps, rows[:, left : left + width])]


def _pool_columns(stem: Stem, rows: Floats, pooled: Floats) -> list[Call]:
    """pooled[:, j] = max over v of rows[:, j*stride + v]."""
    return _maximum([rows[:, tap] for tap in _taps(stem.pool, 1, stem.out[2])], pooled)


def _taps(pool: Window, axis: int, outputs: int) -> list[slice]:
    """For each tap of the pool's window the positions that it reads; position 0 is the first window's first."""
    stride = pool.stride[axis]
    return [slice(tap, tap + (outputs - 1) * stride + 1, stride) for tap in range(pool.kernel_size[axis])]


def _maximum(taps: list[Floats], out: Floats) -> list[Call]:
    """out = the maximum of all taps, NaN where one is NaN."""
    if len(taps) == 1:
        return [(kernels.copy, (taps[0], out))]
    first, second, *others = taps
    return [(kernels.maximum, (first, second, out)), *((kernels.maximum, (out, tap, out)) for tap in others)]


def _fill(*borders: Floats) -> list[Call]:
    """Fill with minus infinity, the identity of max; 0 would exceed negative numbers."""
    return [(kernels.copy, (-np.inf, border)) for border in borders if border.size]


def _epilogue(stem: Stem, filters: StemFilters, memory: Memory, pooled: Floats, target: Floats) -> list[Call]:
    calls: list[Call] = []
    if filters.bias is not None:
        calls.append((kernels.add, (pooled, memory.rows_of(filters.bias, pooled.shape[1]), pooled)))
    return [*calls, *activate(stem.node, memory, pooled, target)]
