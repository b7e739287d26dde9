"""The statistics of one image, for the normalisations by them (`norms`), and the scale and shift that follow.

A map's pixels are added up in pieces of at most 64: the sum and the sum of squares of every channel of a piece are
float32 products with a row of ones, which BLAS computes in half the time of `np.add.reduce`; all other sums are
float64. Pieces depend on the map's shape alone and are added up in a fixed order.

var = mean(x^2) - mean(x)^2 loses the digits in which both terms agree. Where the mean of some group is large for its
variance, distances from each channel's mean are measured instead, in two passes more.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.runtime.memory import Floats, Memory, split
from npresnet.network import Node
from npresnet.plan.steps import Call

Doubles = NDArray[np.float64]

BAND_FLOATS = 100_000  # 400 KB: a band and its squares stay in a core's L2 cache, and its calls cost little
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
    def number(self) -> int:
        """How many pieces."""
        return ceil(self.pixels / self.size)

    def bounds(self, first: int, last: int) -> tuple[int, int]:
        """(start, stop) of the pixels of some pieces."""
        return first * self.size, min(last * self.size, self.pixels)


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


def pieces_of(height: int, width: int) -> Pieces:
    """At least two pieces, so that two workers may share them; where possible all of one size, which saves calls."""
    pixels = height * width
    most = min(PIECE_PIXELS, ceil(pixels / 2))
    return Pieces(pixels, next((size for size in range(most, most // 2, -1) if pixels % size == 0), most))


def sums(memory: Memory, pieces: Pieces, pixels: Floats, first: int, table: Floats) -> list[Call]:
    """Calls that add up pixels (p, C), which begin with piece `first`, to table (pieces, C)."""
    whole, rest = divmod(len(pixels), pieces.size)
    calls: list[Call] = []
    for start, number, size in ((0, whole, pieces.size), (whole, min(1, rest), rest)):
        if number:
            part = pixels[start * pieces.size :][: number * size].reshape(number, size, -1)
            out = table[first + start : first + start + number, None]
            calls.append((kernels.matmul, (memory.ones((1, size)), part, out)))
    return calls


def moments(statistics: Statistics, image: Floats) -> tuple[Doubles, Doubles]:
    """The mean and 1 / sqrt(variance + eps) of each group, (G, 1) each, of an image (H, W, C)."""
    found = np.add.reduce(statistics.table, axis=1, dtype=np.float64)  # (2, C)
    mean, square, variance = _of_groups(statistics, found)
    if (variance * MAX_MEAN < square).any():
        mean, square, variance = _of_groups(statistics, _about_means(image, found[0] / statistics.pieces.pixels))
    return mean, 1 / np.sqrt(np.maximum(variance, 0) + statistics.eps)


def _of_groups(statistics: Statistics, found: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """The mean, its square and the variance of each group, (G, 1), from the sums of each channel (2, C)."""
    groups = statistics.groups
    count = statistics.pieces.pixels * (found.shape[1] // groups)
    mean, power = np.add.reduce(found.reshape(2, groups, -1), axis=2, keepdims=True) / count
    square = mean * mean
    return mean, square, power - square


def _about_means(image: Floats, means: Doubles) -> Doubles:
    """(2, C): the sum and the sum of squares of each channel of x = mean + d, from the sums of d and of d^2."""
    height, width, channels = image.shape
    rounded = means.astype(np.float32)
    distance, power = np.zeros((2, channels))
    for first, last in split(height, round(image.size / BAND_FLOATS)):
        d = np.subtract(image[first:last], rounded).reshape(-1, channels)
        distance += _sum_pixels(d)  # small: what the mean was rounded by
        power += _sum_pixels(np.square(d, out=d))
    centre, pixels = rounded.astype(np.float64), height * width
    return np.stack((pixels * centre + distance, power + 2 * centre * distance + pixels * np.square(centre)))


def _sum_pixels(pixels: Floats) -> Doubles:
    """(C,): the sum of (P, C) over the pixels, of pieces in float32, of those in float64."""
    whole = len(pixels) - len(pixels) % PIECE_PIXELS
    ones = np.ones((1, PIECE_PIXELS), np.float32)
    pieces = np.matmul(ones, pixels[:whole].reshape(-1, PIECE_PIXELS, pixels.shape[1]))[:, 0]
    rest = np.matmul(ones[:, : len(pixels) - whole], pixels[whole:])[0]
    found: Doubles = np.add.reduce(pieces, axis=0, dtype=np.float64) + rest
    return found


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
