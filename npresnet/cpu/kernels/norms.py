"""Normalisations by an image's own statistics: GroupNorm, filter response norm, EvoNorm-S0.

Each is two phases over bands of an image that fit the cache, with a barrier between them:

    statistics   every band's sum and sum of squares of each group of channels (`moments`), or its sum of squares of
                 each channel (`sum_squares`), to a small table of float64
    result       every band adds up the table, which costs little, and computes out = scale[c] * x + shift[c]

var = mean(x^2) - mean(x)^2 loses the digits in which both terms agree. A band whose mean is large for its variance
therefore measures distances from its own mean, a pass more, and the table gets what is a sum of squares in float64:
there is no such loss in float64. Bands depend on the layer's shape alone, which of the two ways a band takes on its
numbers, and the table is added up in a fixed order: the bits depend neither on workers nor on the batch.

Sums over pixels are products with a row of ones: BLAS adds a band's rows in half the time of `np.add.reduce`. They are
sums of a few pixels each, which are added in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels.activations import activate
from npresnet.cpu.kernels.lowering import Bound, Lowering
from npresnet.cpu.runtime.memory import Floats, Memory, split
from npresnet.cpu.runtime.running import worker_of
from npresnet.network import Node
from npresnet.plan.layout import Layout
from npresnet.plan.steps import Call, Tile

Doubles = NDArray[np.float64]

BAND_FLOATS = 100_000  # 400 KB: a band and its squares stay in a core's L2 cache, and its calls cost little
PIECE_PIXELS = 64  # of a sum in float32: one over all pixels of a band of few channels has 100 times PyTorch's error
MAX_MEAN = 1.0  # mean^2 / variance up to which float32 sums of squares keep enough digits


class Vectors(NamedTuple):
    """A node's parameters: (C,) or (1,) float64, and (C,) float32 or None."""

    weight: Doubles
    bias: Doubles
    tau: Floats | None
    minus_v: Floats | None


class Table(NamedTuple):
    """The statistics of one image, by band.

    numbers  (B, 2, G): sum and sum of squares of each group; of a filter response norm (B, 1, C): sum of squares
    summed   how many numbers of the image each of them sums up over all bands
    """

    numbers: Doubles
    summed: int


def vectors_of(node: Node) -> Vectors:
    """The node's parameters; 1 and 0 where it has none."""
    params = node.params
    weight, bias = (np.asarray(params.get(role, [number]), np.float64) for role, number in (("weight", 1), ("bias", 0)))
    tau, v = (None if role not in params else np.asarray(params[role], np.float32) for role in ("tau", "v"))
    return Vectors(weight, bias, tau, None if v is None else np.negative(v))


def moments(image: Floats, squares: Floats, ones: Floats, out: Doubles) -> None:
    """The sum and the sum of squares of each group of channels.

    image    (P, C), or (h, W, C) where its rows are not side by side
    squares  scratch of that shape
    ones     (1, P) or (1, W)
    out      (2, G)
    """
    np.square(image, out=squares)
    groups, count = out.shape[1], image.size // out.shape[1]
    sums = np.stack((_sum_pixels(ones, image), _sum_pixels(ones, squares)))
    np.add.reduce(sums.reshape(2, groups, -1), axis=2, dtype=np.float64, out=out)
    mean_squared = np.square(out[0] / count)
    if (mean_squared * (1 + 1 / MAX_MEAN) > out[1] / count).any():
        np.add.reduce(_about_means(image, squares, ones, sums[0]).reshape(2, groups, -1), axis=2, out=out)


def _about_means(image: Floats, squares: Floats, ones: Floats, sums: Doubles) -> Doubles:
    """(2, C): the sum and the sum of squares of each channel of x = mean + d, from the sums of d and of d^2."""
    pixels = image.size // len(sums)
    mean = (sums / pixels).astype(np.float32)
    np.subtract(image, mean, out=squares)
    centre = mean.astype(np.float64)
    distance = _sum_pixels(ones, squares)  # small: what the mean was rounded by
    np.square(squares, out=squares)
    power = _sum_pixels(ones, squares) + 2 * centre * distance + pixels * np.square(centre)
    return np.stack((pixels * centre + distance, power))


def sum_squares(image: Floats, squares: Floats, ones: Floats, out: Doubles) -> None:
    """out (1, C): the sum of squares of each channel; arguments as for `moments`."""
    np.square(image, out=squares)
    out[0] = _sum_pixels(ones, squares)


def _sum_pixels(ones: Floats, image: Floats) -> Doubles:
    """(C,): the sum of (P, C), or of (h, W, C), over the pixels: of pieces in float32, of those in float64."""
    if image.ndim == 3:
        rows: Doubles = np.add.reduce(np.matmul(ones, image)[:, 0], axis=0, dtype=np.float64)
        return rows
    pixels, channels = image.shape
    whole = pixels - pixels % PIECE_PIXELS
    sums = np.zeros(channels, np.float64)
    if whole:
        pieces = image[:whole].reshape(-1, PIECE_PIXELS, channels)
        np.add.reduce(np.matmul(ones[:, :PIECE_PIXELS], pieces)[:, 0], axis=0, out=sums)
    if whole < pixels:
        sums += np.matmul(ones[:, whole:], image[whole:])[0]
    return sums


def deviations(table: Table, eps: float) -> tuple[Doubles, Doubles]:
    """The mean and 1 / sqrt(variance + eps) of each group, (G,) each, over all bands."""
    mean, power = table.numbers.sum(axis=0) / table.summed
    return mean, 1 / np.sqrt(np.maximum(power - np.square(mean), 0) + eps)


def group_norm_rows(table: Table, vectors: Vectors, eps: float, rows: Floats) -> None:
    """rows (2, W, C): scale and shift with out = scale * x + shift, the same for every pixel of a row."""
    mean, inverse = deviations(table, eps)
    per_group = rows.shape[2] // len(mean)
    scale = vectors.weight * np.repeat(inverse, per_group)
    rows[0] = scale
    rows[1] = vectors.bias - np.repeat(mean, per_group) * scale


def response_rows(table: Table, vectors: Vectors, eps: float, rows: Floats) -> None:
    """rows (2, W, C): scale and shift of a filter response norm."""
    (power,) = table.numbers.sum(axis=0) / table.summed
    rows[0] = vectors.weight / np.sqrt(power + eps)
    rows[1] = vectors.bias


def evo_norm_rows(table: Table, vectors: Vectors, eps: float, rows: Floats) -> None:
    """rows (2, W, C): scale and shift of x * sigmoid(v * x)."""
    _, inverse = deviations(table, eps)
    rows[0] = vectors.weight * np.repeat(inverse, rows.shape[2] // len(inverse))
    rows[1] = vectors.bias


def swish(x: Floats, minus_v: Floats, out: Floats) -> None:
    """out = x / (1 + exp(minus_v * x)), as x * sigmoid(v * x) is."""
    np.multiply(x, minus_v, out=out)
    np.exp(out, out=out)
    np.add(out, np.float32(1), out=out)
    np.divide(x, out, out=out)


class Band(NamedTuple):
    """One band of one image, and the worker that has it."""

    number: int
    worker: int
    source: Floats
    out: Floats


class ImageNormLowering(Lowering):
    """One of the three."""

    statistics: Callable[..., None] = staticmethod(moments)
    rows: Callable[..., None] = staticmethod(group_norm_rows)

    def table_shape(self, node: Node, channels: int) -> tuple[int, int]:
        """Of one band's statistics."""
        return 2, node.attrs["groups"]

    def prepare(self, node: Node) -> Vectors:
        return vectors_of(node)

    def scratch(self, bound: Bound) -> Mapping[str, int]:
        _, width, channels = map_shape(bound.layout, bound.node.name)
        largest = max(last - first for first, last in bands_of_map(bound.layout, bound.node.name))
        return {"ping": largest * width * channels, "pong": 2 * width * channels}

    def barriers(self, bound: Bound) -> tuple[int, ...]:
        bands = len(bands_of_map(bound.layout, bound.node.name))
        return tuple(range(bands, 2 * bands * bound.layout.images, bands))

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        node, layout = bound.node, bound.layout
        height, width, channels = map_shape(layout, node.name)
        edges = bands_of_map(layout, node.name)
        workers = [worker_of(i, len(edges), bound.workers) for i in range(len(edges))]
        tiles: list[Tile] = []
        for source, out in zip(*(maps_of(memory, name) for name in (node.inputs[0], node.name)), strict=True):
            rows, size = self.table_shape(node, channels)
            table = Table(np.zeros((len(edges), rows, size)), height * width * channels // size)
            bands = [
                Band(number, worker, source[first:last], out[first:last])
                for number, ((first, last), worker) in enumerate(zip(edges, workers, strict=True))
            ]
            tiles += [self._measure(memory, table, band) for band in bands]
            tiles += [self._apply(bound, memory, table, band) for band in bands]
        return tiles

    def _measure(self, memory: Memory, table: Table, band: Band) -> Tile:
        image = band.source
        if image.flags.c_contiguous:
            image = image.reshape(-1, image.shape[2])
        squares = memory.scratch(band.worker, "ping", image.shape)
        return ((self.statistics, (image, squares, memory.ones((1, image.shape[-2])), table.numbers[band.number])),)

    def _apply(self, bound: Bound, memory: Memory, table: Table, band: Band) -> Tile:
        vectors, source, out, width = bound.weights, band.source, band.out, band.out.shape[1]
        rows = memory.scratch(band.worker, "pong", (2, *out.shape[1:]))
        calls: list[Call] = []
        if band.number == 0 or bound.workers > 1:  # a single worker's rows are those of the image's first band
            calls.append((self.rows, (table, vectors, bound.node.attrs["eps"], rows)))
        if vectors.minus_v is not None:
            calls.append((swish, (source, memory.rows_of(vectors.minus_v, width), out)))
            source = out
        calls += [(kernels.multiply, (source, rows[0], out)), (kernels.add, (out, rows[1], out))]
        if vectors.tau is not None:
            calls.append((kernels.maximum, (out, memory.rows_of(vectors.tau, width), out)))
        return (*calls, *activate(bound.node, memory, out, out))


class GroupNormLowering(ImageNormLowering):
    """Normalised by the mean and the variance of each group of channels."""


class FilterResponseNormLowering(ImageNormLowering):
    """Divided by the root mean square of each channel, and clamped at tau."""

    statistics = staticmethod(sum_squares)
    rows = staticmethod(response_rows)

    def table_shape(self, node: Node, channels: int) -> tuple[int, int]:
        return 1, channels


class EvoNormS0Lowering(ImageNormLowering):
    """A swish divided by the standard deviation of each group of channels."""

    rows = staticmethod(evo_norm_rows)


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
