"""Normalisations by an image's own statistics: GroupNorm, filter response norm, EvoNorm-S0.

Each is three phases of an image, with a barrier between them:

    statistics   bands of pieces of 64 pixels: each piece's sum and sum of squares of every channel, to a small table
    rows         one tile adds up the table in float64, and writes scale and shift of every channel as rows of pixels
    result       bands of rows: out = scale[c] * x + shift[c] (+ residual), and the activation

Sums over pixels are products with a row of ones: BLAS adds them in half the time of `np.add.reduce`. Those of a piece
are float32, all others float64. Pieces depend on the map's shape alone and are added up in a fixed order: the bits
depend neither on bands, and so on workers, nor on the batch.

var = mean(x^2) - mean(x)^2 loses the digits in which both terms agree. Where the mean of some group is large for its
variance, the second phase therefore measures distances from each channel's mean, two passes more, by one worker.

The phases that workers share are NumPy calls without Python between them: a thread that runs Python code holds the
interpreter, for which the other then waits, and waking it costs more than the arithmetic of a small map.

Gain over statistics added up band by band, in Python: resnet50_gn GAIN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil
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
SHARED_FLOATS = 50_000  # of a band, where workers share an image: waking one for less costs more than it gains
PIECE_PIXELS = 64  # of a sum in float32: one over all pixels of a band of few channels has 100 times PyTorch's error
MAX_MEAN = 8.0  # mean^2 / variance up to which float32 sums of squares keep enough digits


class Vectors(NamedTuple):
    """A node's parameters: float64 (C,), or (1,) where it has none; float32 (C,) or None."""

    weight: Doubles
    bias: Doubles
    tau: Floats | None
    minus_v: Floats | None


class Pieces(NamedTuple):
    """A map's pixels (P, C), in pieces of `size`; the last one may be smaller."""

    pixels: int
    size: int

    @property
    def count(self) -> int:
        return ceil(self.pixels / self.size)

    def bounds(self, first: int, last: int) -> tuple[int, int]:
        """(start, stop) of the pixels of some pieces."""
        return first * self.size, min(last * self.size, self.pixels)


def pieces_of(height: int, width: int) -> Pieces:
    """At least two pieces; where possible all of one size, which saves calls."""
    pixels = height * width
    most = min(PIECE_PIXELS, ceil(pixels / 2))
    equal = next((size for size in range(most, most // 2, -1) if pixels % size == 0), most)
    return Pieces(pixels, equal)


class Statistics(NamedTuple):
    """How an image's statistics become its rows.

    pieces   of the map
    table    (moments, pieces, C) float32: sums and sums of squares; of a filter response norm the squares alone
    groups   of channels
    eps      keeps the root away from 0
    """

    pieces: Pieces
    table: Floats
    groups: int
    eps: float


def vectors_of(node: Node) -> Vectors:
    """The node's parameters; 1 and 0 where it has none."""
    params = node.params
    weight, bias = (np.asarray(params.get(role, [number]), np.float64) for role, number in (("weight", 1), ("bias", 0)))
    tau, v = (None if role not in params else np.asarray(params[role], np.float32) for role in ("tau", "v"))
    return Vectors(weight, bias, tau, None if v is None else np.negative(v))


def filled(vectors: Vectors, channels: int) -> Vectors:
    """The same with a weight and a bias for every channel."""
    weight, bias = (np.broadcast_to(numbers, (channels,)) for numbers in (vectors.weight, vectors.bias))
    return vectors._replace(weight=weight, bias=bias)


def sums(memory: Memory, pieces: Pieces, pixels: Floats, first: int, table: Floats) -> list[Call]:
    """Calls that add up pixels (p, C), which begin with piece `first`, to table (pieces, C): see the module."""
    whole, rest = divmod(len(pixels), pieces.size)
    calls: list[Call] = []
    for start, count, size in ((0, whole, pieces.size), (whole, min(1, rest), rest)):
        if count:
            part = pixels[start * pieces.size :][: count * size].reshape(count, size, -1)
            out = table[first + start : first + start + count, None]
            calls.append((kernels.matmul, (memory.ones((1, size)), part, out)))
    return calls


def moments(statistics: Statistics, image: Floats) -> tuple[Doubles, Doubles]:
    """The mean and 1 / sqrt(variance + eps) of each group, (G, 1) each, of an image (H, W, C)."""
    mean, square, variance = _of_groups(statistics, image, np.add.reduce(statistics.table, axis=1, dtype=np.float64))
    if (variance * MAX_MEAN < square).any():
        channel_sums = np.add.reduce(statistics.table[0], axis=0, dtype=np.float64)
        found = _about_means(image, channel_sums / statistics.pieces.pixels)
        mean, square, variance = _of_groups(statistics, image, found)
    return mean, 1 / np.sqrt(np.maximum(variance, 0) + statistics.eps)


def _of_groups(statistics: Statistics, image: Floats, found: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """The mean, its square and the variance of each group, (G, 1), from the sums of each channel (2, C)."""
    groups = statistics.groups
    mean, power = np.add.reduce(found.reshape(2, groups, -1), axis=2, keepdims=True) * (groups / image.size)
    square = mean * mean
    return mean, square, power - square


def _about_means(image: Floats, means: Doubles) -> Doubles:
    """(2, C): the sum and the sum of squares of each channel of x = mean + d, from the sums of d and of d^2."""
    rounded = means.astype(np.float32)
    distance, power = np.zeros((2, len(means)))
    for row in image:
        d = row - rounded
        distance += np.add.reduce(d, axis=0, dtype=np.float64)  # small: what the mean was rounded by
        power += np.add.reduce(np.square(d, out=d), axis=0, dtype=np.float64)
    centre, pixels = rounded.astype(np.float64), image.shape[0] * image.shape[1]
    return np.stack((pixels * centre + distance, power + 2 * centre * distance + pixels * np.square(centre)))


def group_norm_rows(statistics: Statistics, vectors: Vectors, image: Floats, rows: Floats) -> None:
    """rows (2, W, C): scale and shift with out = scale * x + shift, the same for every pixel of a row."""
    mean, inverse = moments(statistics, image)
    scale = vectors.weight.reshape(len(mean), -1) * inverse
    shift = vectors.bias.reshape(len(mean), -1) - scale * mean
    rows[0] = scale.reshape(-1)
    rows[1] = shift.reshape(-1)


def response_rows(statistics: Statistics, vectors: Vectors, image: Floats, rows: Floats) -> None:
    """rows (2, W, C): scale and shift of a filter response norm."""
    power = np.add.reduce(statistics.table[0], axis=0, dtype=np.float64) / statistics.pieces.pixels
    rows[0] = vectors.weight / np.sqrt(power + statistics.eps)
    rows[1] = vectors.bias


def evo_norm_rows(statistics: Statistics, vectors: Vectors, image: Floats, rows: Floats) -> None:
    """rows (2, W, C): scale and shift of x * sigmoid(v * x)."""
    _, inverse = moments(statistics, image)
    rows[0] = (vectors.weight.reshape(len(inverse), -1) * inverse).reshape(-1)
    rows[1] = vectors.bias


def swish(x: Floats, minus_v: Floats, out: Floats) -> None:
    """out = x / (1 + exp(minus_v * x)), as x * sigmoid(v * x) is."""
    np.multiply(x, minus_v, out=out)
    np.exp(out, out=out)
    np.add(out, np.float32(1), out=out)
    np.divide(x, out, out=out)


class ImageNormLowering(Lowering):
    """One of the three. The second input of a GroupNorm is the residual, see `passes.fuse`."""

    squares_only = False
    rows: Callable[..., None] = staticmethod(group_norm_rows)

    def prepare(self, node: Node) -> Vectors:
        return vectors_of(node)

    def scratch(self, bound: Bound) -> Mapping[str, int]:
        height, width, channels = map_shape(bound.layout, bound.node.name)
        pieces = pieces_of(height, width)
        largest = max(last - first for first, last in self._bands_of_pieces(bound))
        rows_read = min(height, ceil(largest * pieces.size / width) + 1)
        return {
            "ping": rows_read * width * channels,
            "statistics": 2 * pieces.count * channels,
            "scale and shift": 2 * width * channels,
        }

    def barriers(self, bound: Bound) -> tuple[int, ...]:
        measure, apply = len(self._bands_of_pieces(bound)), len(_bands_of_rows(bound))
        starts = [n * (measure + 1 + apply) for n in range(bound.layout.images)]
        found = (at for start in starts for at in (start, start + measure, start + measure + 1))
        return tuple(found)[1:]

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        node = bound.node
        values = [maps_of(memory, name) for name in (*node.inputs, node.name)]
        tiles: list[Tile] = []
        for source, *residual, out in zip(*values, strict=True):
            height, width, channels = source.shape
            # Of worker 0, for all: behind the barriers no other step uses it. See the module.
            table = memory.scratch(0, "statistics", (2 - self.squares_only, pieces_of(height, width).count, channels))
            rows = memory.scratch(0, "scale and shift", (2, width, channels))
            statistics = Statistics(
                pieces_of(height, width), table, node.attrs.get("groups", channels), node.attrs["eps"]
            )
            tiles += self._measure(bound, memory, source, statistics)
            tiles.append(((self.rows, (statistics, filled(bound.weights, channels), source, rows)),))
            tiles += [
                _apply(bound, memory, rows, source[a:b], [r[a:b] for r in residual], out[a:b])
                for a, b in _bands_of_rows(bound)
            ]
        return tiles

    def _bands_of_pieces(self, bound: Bound) -> list[tuple[int, int]]:
        height, width, channels = map_shape(bound.layout, bound.node.name)
        return split(pieces_of(height, width).count, _bands(height * width * channels, bound.workers))

    def _measure(self, bound: Bound, memory: Memory, image: Floats, statistics: Statistics) -> list[Tile]:
        pieces, table = statistics.pieces, statistics.table
        bands, width = self._bands_of_pieces(bound), image.shape[1]
        tiles: list[Tile] = []
        for number, (first, last) in enumerate(bands):
            worker = worker_of(number, len(bands), bound.workers)
            start, stop = pieces.bounds(first, last)
            top = start // width
            part = image[top : ceil(stop / width)]
            squares = memory.scratch(worker, "ping", part.shape)
            calls: list[Call] = []
            if not part.flags.c_contiguous:
                calls.append((kernels.copy, (part, squares)))
                part = squares
            pixels, squared = (
                x.reshape(-1, x.shape[2])[start - top * width : stop - top * width] for x in (part, squares)
            )
            if not self.squares_only:
                calls += sums(memory, pieces, pixels, first, table[0])
            calls.append((kernels.multiply, (pixels, pixels, squared)))
            calls += sums(memory, pieces, squared, first, table[-1])
            tiles.append(tuple(calls))
        return tiles


def _apply(bound: Bound, memory: Memory, rows: Floats, source: Floats, residual: list[Floats], out: Floats) -> Tile:
    vectors, width = bound.weights, out.shape[1]
    calls: list[Call] = []
    if vectors.minus_v is not None:
        calls.append((swish, (source, memory.rows_of(vectors.minus_v, width), out)))
        source = out
    calls += [(kernels.multiply, (source, rows[0], out)), (kernels.add, (out, rows[1], out))]
    calls += [(kernels.add, (out, added, out)) for added in residual]
    if vectors.tau is not None:
        calls.append((kernels.maximum, (out, memory.rows_of(vectors.tau, width), out)))
    return (*calls, *activate(bound.node, memory, out, out))


def _bands(floats: int, workers: int) -> int:
    """How many bands a map is cut into: whole ones for each worker that shares it."""
    if workers == 1 or floats < workers * SHARED_FLOATS:
        return max(1, round(floats / BAND_FLOATS))
    return workers * max(1, round(floats / BAND_FLOATS / workers))


def _bands_of_rows(bound: Bound) -> list[tuple[int, int]]:
    height, width, channels = map_shape(bound.layout, bound.node.name)
    return split(height, _bands(height * width * channels, bound.workers))


class GroupNormLowering(ImageNormLowering):
    """Normalised by the mean and the variance of each group of channels."""


class FilterResponseNormLowering(ImageNormLowering):
    """Divided by the root mean square of each channel, and clamped at tau."""

    squares_only = True
    rows = staticmethod(response_rows)


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
