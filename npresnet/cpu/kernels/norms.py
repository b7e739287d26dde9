"""Normalisations by an image's own statistics: GroupNorm, filter response norm, EvoNorm-S0.

Each is three phases of an image, with a barrier between them:

    statistics   bands of pieces of pixels: each piece's sums go to a small table (`image_statistics`)
    rows         one tile adds up the table, and writes scale and shift of every channel as rows of pixels
    result       bands of rows: out = scale[c] * x + shift[c] (+ residual), and the activation

The bits depend neither on bands, and so on workers, nor on the batch: the statistics are those of pieces, and the
result is computed number by number.

The phases that workers share are NumPy calls without Python between them. A thread that runs Python code holds the
interpreter, for which the other one then waits, and waking it takes longer than the arithmetic of a small map.

Gain over statistics added up in Python, band by band, and shortcuts added apart: a resnet50_gn takes 26.5 ms instead of
31.5 at batch 1 and 20.6 instead of 24.9 an image at batch 8 (2 threads of a Zen 5, OpenBLAS SkylakeX, processes in
turn).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import ceil
from typing import NamedTuple

import numpy as np

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels import image_statistics as statistics
from npresnet.cpu.kernels.activations import activate
from npresnet.cpu.kernels.image_statistics import BAND_FLOATS, Pieces, Statistics, Vectors
from npresnet.cpu.kernels.lowering import Bound, Lowering
from npresnet.cpu.runtime.memory import Floats, Memory, aligned_floats, split
from npresnet.cpu.runtime.running import worker_of
from npresnet.network import Node
from npresnet.plan.layout import Layout
from npresnet.plan.steps import Call, Tile


class Image(NamedTuple):
    """One image: what is normalised, what is added, if anything, and the result, (H, W, C) each."""

    source: Floats
    residual: Floats | None
    out: Floats

    def band(self, start: int, stop: int) -> Image:
        """Its rows."""
        residual = None if self.residual is None else self.residual[start:stop]
        return Image(self.source[start:stop], residual, self.out[start:stop])


class ImageNormLowering(Lowering):
    """One of the three. The second input of a GroupNorm is the residual, see `passes.fuse`."""

    squares_only = False
    rows: Callable[..., None] = staticmethod(statistics.group_norm_rows)

    def prepare(self, node: Node) -> Vectors:
        return statistics.vectors_of(node)

    def scratch(self, bound: Bound) -> Mapping[str, int]:
        height, width, channels = map_shape(bound.layout, bound.node.name)
        pieces, bands = _pieces(bound)
        longest = max(last - first for first, last in bands) * pieces.size
        floats = {"ping": min(height, ceil(longest / width) + 1) * width * channels}
        if bound.workers == 1:
            floats |= {"statistics": 2 * pieces.number * channels, "rows": 2 * width * channels}
        return floats

    def barriers(self, bound: Bound) -> tuple[int, ...]:
        measured, images = len(_pieces(bound)[1]), bound.layout.images
        tiles = measured + 1 + len(_bands_of_rows(bound))
        return tuple(
            at for start in range(0, images * tiles, tiles) for at in (start, start + measured, start + measured + 1)
        )[1:]

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        node = bound.node
        table, rows = self._table_and_rows(bound, memory)
        vectors = statistics.filled(bound.weights, rows.shape[2])
        groups = node.attrs.get("groups", rows.shape[2])
        measured = Statistics(_pieces(bound)[0], table, groups, node.attrs["eps"])
        tiles: list[Tile] = []
        for image in _images(bound, memory):
            tiles += self._measure(bound, memory, image.source, table)
            tiles.append(((self.rows, (measured, vectors, image.source, rows)),))
            tiles += [_apply(bound, memory, rows, image.band(*band)) for band in _bands_of_rows(bound)]
        return tiles

    def _table_and_rows(self, bound: Bound, memory: Memory) -> tuple[Floats, Floats]:
        """Table (moments, pieces, C) and rows (2, W, C).

        Where workers share an image they are this node's alone: one worker may be at another norm already, whose input
        does not wait for this one.
        """
        _, width, channels = map_shape(bound.layout, bound.node.name)
        shapes = (2 - self.squares_only, _pieces(bound)[0].number, channels), (2, width, channels)
        if bound.workers == 1:
            return memory.scratch(0, "statistics", shapes[0]), memory.scratch(0, "rows", shapes[1])
        table, rows = (aligned_floats(int(np.prod(shape))).reshape(shape) for shape in shapes)
        return table, rows

    def _measure(self, bound: Bound, memory: Memory, image: Floats, table: Floats) -> Iterator[Tile]:
        pieces, bands = _pieces(bound)
        for number, (first, last) in enumerate(bands):
            worker = worker_of(number, len(bands), bound.workers)
            copied, pixels, squares = _pixels(memory, worker, image, *pieces.bounds(first, last))
            sums = [] if self.squares_only else statistics.sums(memory, pieces, pixels, first, table[0])
            square = (kernels.multiply, (pixels, pixels, squares))
            yield (*copied, *sums, square, *statistics.sums(memory, pieces, squares, first, table[-1]))


def _pixels(memory: Memory, worker: int, image: Floats, start: int, stop: int) -> tuple[list[Call], Floats, Floats]:
    """Pixels start..stop-1 of an image, (p, C), and scratch of that shape; calls that copy them there if need be."""
    width, channels = image.shape[1:]
    top = start // width
    rows = image[top : ceil(stop / width)]
    scratch = memory.scratch(worker, "ping", rows.shape)
    copied: list[Call] = []
    if not rows.flags.c_contiguous:
        copied, rows = [(kernels.copy, (rows, scratch))], scratch
    part = slice(start - top * width, stop - top * width)
    return copied, rows.reshape(-1, channels)[part], scratch.reshape(-1, channels)[part]


def _apply(bound: Bound, memory: Memory, rows: Floats, band: Image) -> Tile:
    vectors, (source, residual, out) = bound.weights, band
    width = out.shape[1]
    calls: list[Call] = []
    if vectors.minus_v is not None:
        calls.append((swish, (source, memory.rows_of(vectors.minus_v, width), out)))
        source = out
    calls += [(kernels.multiply, (source, rows[0], out)), (kernels.add, (out, rows[1], out))]
    if residual is not None:
        calls.append((kernels.add, (out, residual, out)))
    if vectors.tau is not None:
        calls.append((kernels.maximum, (out, memory.rows_of(vectors.tau, width), out)))
    return (*calls, *activate(bound.node, memory, out, out))


def swish(x: Floats, minus_v: Floats, out: Floats) -> None:
    """out = x / (1 + exp(minus_v * x)), as x * sigmoid(v * x) is."""
    np.multiply(x, minus_v, out=out)
    np.exp(out, out=out)
    np.add(out, np.float32(1), out=out)
    np.divide(x, out, out=out)


def _images(bound: Bound, memory: Memory) -> list[Image]:
    node = bound.node
    sources, outs = maps_of(memory, node.inputs[0]), maps_of(memory, node.name)
    residuals = maps_of(memory, node.inputs[1]) if len(node.inputs) > 1 else [None] * len(outs)
    return [Image(*values) for values in zip(sources, residuals, outs, strict=True)]


def _pieces(bound: Bound) -> tuple[Pieces, list[tuple[int, int]]]:
    """The pieces of an image, and (first, last) of those of each band."""
    height, width, channels = map_shape(bound.layout, bound.node.name)
    pieces = statistics.pieces_of(height, width)
    return pieces, split(pieces.number, _bands(height * width * channels, bound.workers))


def _bands_of_rows(bound: Bound) -> list[tuple[int, int]]:
    height, width, channels = map_shape(bound.layout, bound.node.name)
    return split(height, _bands(height * width * channels, bound.workers))


def _bands(floats: int, workers: int) -> int:
    """How many bands a map is cut into: as many for each worker, where there are enough.

    Less than a whole band is no work for another worker: waking it costs more than it gains.
    """
    if workers == 1:
        return max(1, round(floats / BAND_FLOATS))
    whole = max(1, floats // BAND_FLOATS)
    return whole if whole < workers else workers * round(whole / workers)


class GroupNormLowering(ImageNormLowering):
    """Normalised by the mean and the variance of each group of channels."""


class FilterResponseNormLowering(ImageNormLowering):
    """Divided by the root mean square of each channel, and clamped at tau."""

    squares_only = True
    rows = staticmethod(statistics.response_rows)


class EvoNormS0Lowering(ImageNormLowering):
    """A swish divided by the standard deviation of each group of channels."""

    rows = staticmethod(statistics.evo_norm_rows)


def map_shape(layout: Layout, name: str) -> tuple[int, int, int]:
    """(H, W, C); a vector (C,) is an image of one pixel."""
    channels, height, width = (*layout.values[name].shape, 1, 1)[:3]
    return height, width, channels


def bands_of_map(layout: Layout, name: str) -> list[tuple[int, int]]:
    """(start, stop) of the rows of each band of an image."""
    height, width, channels = map_shape(layout, name)
    return split(height, round(height * width * channels / BAND_FLOATS))


def maps_of(memory: Memory, name: str) -> Floats:
    """(N, H, W, C)."""
    images = memory.images(name)
    return images if images.ndim == 4 else images[:, None, None]
