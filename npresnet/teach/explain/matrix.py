"""The im2col matrix of a convolution: its size, what it copies, and the part of its image that a page shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from npresnet.network import Array, Node
from npresnet.ops.record import window_of
from npresnet.teach.explain.pixel import Place, group_channels
from npresnet.teach.pages.plain import floats
from npresnet.window import Window

ITEM_BYTES = 4  # float32
SHOWN_FLOATS = 2**18  # of the input that a page carries: 1.4 MB as base64
Range = tuple[int, int]


@dataclass(frozen=True)
class Matrix:
    """Sizes of one group's matrices (all groups are alike), for one image.

    filters (rows, depth) @ columns (depth, positions) = output (rows, positions)

    copies_rows, copies_columns   for each row (column) of the input: how many windows' taps lie on it. A pixel stands
                                  in the matrix as often as the product of its two counts says
    is_the_image                  1x1 without stride and padding: the matrix is the input as it lies there, no copy
    macs                          multiply-adds of the whole layer
    """

    groups: int
    rows: int
    depth: int
    positions: int
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    input_bytes: int
    columns_bytes: int
    weight_bytes: int
    copies_rows: list[int]
    copies_columns: list[int]
    is_the_image: bool
    macs: int


@dataclass(frozen=True)
class Shown:
    """The part of the layer's input that is embedded, and the outputs whose whole patches lie in it.

    channels, rows, columns     of the input, each first and one past the last
    out_rows, out_columns       of the output
    data                        base64 of little-endian float32, (channels, rows, columns)
    cut                         in words, what was left out; "" for nothing
    """

    channels: Range
    rows: Range
    columns: Range
    out_rows: Range
    out_columns: Range
    data: str
    cut: str


def measure(conv: Node, x_shape: tuple[int, ...]) -> Matrix:
    """The matrix of `conv` over one image (C, H, W)."""
    window = window_of(conv)
    size = x_shape[1:]
    out_size = window.output_size(size)
    out_channels, width, *kernel = conv.params["weight"].shape
    depth, positions = width * int(np.prod(kernel)), int(np.prod(out_size))
    return Matrix(
        groups=conv.groups,
        rows=out_channels // conv.groups,
        depth=depth,
        positions=positions,
        input_shape=tuple(x_shape),
        output_shape=(out_channels, *out_size),
        input_bytes=int(np.prod(x_shape)) * ITEM_BYTES,
        columns_bytes=depth * conv.groups * positions * ITEM_BYTES,
        weight_bytes=out_channels * depth * ITEM_BYTES,
        copies_rows=copies(window, 0, size[0]),
        copies_columns=copies(window, 1, size[1]),
        is_the_image=window.is_pointwise and max(window.stride) == 1,
        macs=out_channels * depth * positions,
    )


def copies(window: Window, axis: int, size: int) -> list[int]:
    """For each of `size` input positions, how many (output, tap) pairs look at it along this axis."""
    (out_size,) = Window(*((part[axis],) for part in _parts(window))).output_size((size,))
    counts = np.zeros(size, int)
    for tap in range(window.kernel_size[axis]):
        start, stop = window.valid_outputs(axis, tap, size, out_size)
        if start < stop:
            counts[window.tap_positions(axis, tap, start, stop)] += 1
    return [int(count) for count in counts]


def choose_shown(conv: Node, place: Place, x: Array, most: int = SHOWN_FLOATS) -> Shown:
    """As much of the input (1, C, H, W) as a page may carry: fewer channels first, then fewer positions around `place`.

    A pixel's own group of channels comes first.
    """
    window = window_of(conv)
    _, _, height, width = x.shape
    out_height, out_width = window.output_size((height, width))
    own = group_channels(conv, place.channel)
    out_rows = _around(place.row, out_height, lambda span: _inside(window, 0, span, height), max(1, most // width))
    rows = (0, height) if out_rows == (0, out_height) else _inside(window, 0, out_rows, height)
    fitting = max(1, most // (rows[1] - rows[0]))
    out_columns = _around(place.col, out_width, lambda span: _inside(window, 1, span, width), fitting)
    columns = (0, width) if out_columns == (0, out_width) else _inside(window, 1, out_columns, width)
    pixels = (rows[1] - rows[0]) * (columns[1] - columns[0])
    count = min(own.stop - own.start, max(1, most // pixels))
    channels = own.start, own.start + count
    data = x[0, channels[0] : channels[1], rows[0] : rows[1], columns[0] : columns[1]]
    cut = []
    if count < own.stop - own.start:
        cut.append(f"the first {count} of its {own.stop - own.start} input channels")
    if (out_height, out_width) != (out_rows[1] - out_rows[0], out_columns[1] - out_columns[0]):
        cut.append(
            f"output rows {out_rows[0]} to {out_rows[1] - 1} and columns {out_columns[0]} to {out_columns[1] - 1}"
        )
    return Shown(channels, rows, columns, out_rows, out_columns, floats(data), " and ".join(cut))


def _around(at: int, size: int, inside: Callable[[Range], Range], most: int) -> Range:
    """The widest range of outputs around `at` whose inputs are at most `most` positions; one output at least."""
    first, last = 0, size
    while last - first > 1 and (span := inside((first, last)))[1] - span[0] > most:
        if at - first > last - 1 - at:
            first += 1
        else:
            last -= 1
    return first, last


def _inside(window: Window, axis: int, outputs: Range, size: int) -> Range:
    """The input positions, inside the image, that a range of outputs looks at; one at least."""
    first, last = window.input_range(axis, *outputs)
    first = min(max(0, first), size - 1)
    return first, max(first + 1, min(size, last))


def _parts(window: Window) -> tuple[tuple[int, ...], ...]:
    return window.kernel_size, window.stride, window.padding, window.dilation
