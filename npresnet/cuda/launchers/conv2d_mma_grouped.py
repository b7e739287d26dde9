"""conv2d/mma_grouped.cu: grouped convolution on tensor cores, narrow groups side by side."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np

from npresnet.cuda.compiler.cost import H200, MMA, Phase, Work, bytes_of, predicted_us, products
from npresnet.cuda.elements import Element, store
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launch import Launch, Source
from npresnet.cuda.launchers.stem import shared_limit
from npresnet.network import Array

FILE = "conv2d/mma_grouped.cu"
THREADS = 256
FILL_CLOCKS = 1000  # a guess: until a patch has come from DRAM
POSITIONS = (128, 64)  # of a block
COLUMNS_BYTES = 128  # channels of a block


class Tile(NamedTuple):
    """A block's positions: a box of images x rows x columns, 128 or 64 in all."""

    images: int
    rows: int
    columns: int

    def __str__(self) -> str:
        """2x8x8."""
        return f"{self.images}x{self.rows}x{self.columns}"

    @property
    def positions(self) -> int:
        """Of y, in a block."""
        return self.images * self.rows * self.columns


BOXES = [
    Tile(positions // (rows * columns), rows, columns)
    for positions, rows, columns in product(POSITIONS, (1, 2, 4, 8, 16), (8, 16, 32))
    if rows * columns <= positions
]


class Chunks(NamedTuple):
    """Which 16-byte pieces of input channels a warp's output channels see.

    unit  output channels of a warp: 8, 16 or 32, that share `each` chunks
    each  chunks of a unit, at most
    slab  chunks of a block's channels, at most
    """

    unit: int
    each: int
    slab: int


def chunks_of(channels: int, width: int, element: Element) -> Chunks:
    """Of `channels` in groups of `width`."""
    vector, columns = vector_of(element), columns_of(element)
    unit = next(unit for unit in (32, 16, 8) if (width % unit == 0 and 2 * unit <= columns) or unit == 8)
    firsts = first_chunk(np.arange(0, channels, unit), width, vector)
    last = np.minimum(np.arange(unit, channels + unit, unit), channels) - 1
    each = int(np.max((last // width * width + width - 1) // vector - firsts) + 1)
    slabs = firsts[np.arange(len(firsts)) * unit // columns * columns // unit]
    return Chunks(unit, each, int(np.max(firsts - slabs)) + each)


def first_chunk(channel: Array, width: int, vector: int) -> Array:
    """The first piece of the input channels that an output channel's group sees."""
    first: Array = channel // width * width // vector
    return first


def vector_of(element: Element) -> int:
    """Elements of 16 bytes."""
    return 16 // element.item_bytes


def columns_of(element: Element) -> int:
    """Channels of a block."""
    return COLUMNS_BYTES // element.item_bytes


def supports(shape: ConvShape, element: Element, capability: int) -> bool:
    """More than one group, as many channels out as in, whole 16-byte chunks of them; Turing has float16 only."""
    if element.name == "float32" or capability < (75 if element.name == "float16" else 80):
        return False
    return (
        shape.groups > 1
        and shape.in_channels == shape.out_channels
        and shape.in_channels % vector_of(element) == 0
        and shape.M < 2**31 - 128
        and bool(tiles(shape, element, capability))
    )


def tiles(shape: ConvShape, element: Element, capability: int) -> list[Tile]:
    """Boxes that fit into shared memory and are not twice as large as y, the four likely best."""
    height, width = shape.out_size
    boxes = [
        box
        for box in BOXES
        if box.rows < 2 * height
        and (box.columns < 2 * width or box.columns == 8)
        and shared_bytes(shape, element, box) <= shared_limit(capability)
    ]
    return sorted(boxes, key=lambda box: predicted_us(work(shape, element, box, has_residual=False), H200))[:4]


def blocks(shape: ConvShape, tile: Tile) -> int:
    """Boxes that cover the positions of y."""
    height, width = shape.out_size
    return -(-shape.images // tile.images) * -(-height // tile.rows) * -(-width // tile.columns)


def patch(shape: ConvShape, tile: Tile) -> int:
    """Pixels that a block copies."""
    window = shape.window
    height, width = (
        (count - 1) * stride + extent
        for count, stride, extent in zip((tile.rows, tile.columns), window.stride, window.extent, strict=True)
    )
    return tile.images * height * width


def work(shape: ConvShape, element: Element, tile: Tile, *, has_residual: bool) -> list[Work]:
    """One launch. A block copies its patch, multiplies, stores; where it fills shared memory nothing hides the wait."""
    chunks = chunks_of(shape.in_channels, shape.in_channels // shape.groups, element)
    columns, (kernel_h, kernel_w) = columns_of(element), shape.window.kernel_size
    k_bytes = 16 * kernel_h * kernel_w * chunks.each  # of an output, with zeros for other groups' channels
    outputs, copied = tile.positions * columns, patch(shape, tile) * chunks.slab * 16
    is_alone = 2 * shared_bytes(shape, element, tile) > shared_limit(90)
    warps_alike = THREADS // 32 * chunks.unit // columns  # each reads the unit's weights
    phases = (
        Phase(l2_bytes=copied, shared_bytes=copied, clocks=FILL_CLOCKS if is_alone else 0),
        Phase(
            l2_bytes=columns * k_bytes * max(warps_alike, 1),
            shared_bytes=tile.positions * k_bytes * columns // chunks.unit,
            flops=2 * outputs * k_bytes // element.item_bytes,
        ),
        Phase(l2_bytes=outputs * element.item_bytes * (2 if has_residual else 1), shared_bytes=2 * 4 * outputs),
    )
    tiles = blocks(shape, tile) * -(-shape.out_channels // columns)
    return [Work(bytes_of(shape, element, has_residual=has_residual), tiles, phases, products(MMA, element))]


def shared_bytes(shape: ConvShape, element: Element, tile: Tile) -> int:
    """The patch or the staged sums, and the offsets of every chunk of every tap."""
    chunks = chunks_of(shape.in_channels, shape.in_channels // shape.groups, element)
    kernel = shape.window.kernel_size
    offsets = -(-kernel[0] * kernel[1] * chunks.each // 2) * 2 * 4
    return max(patch(shape, tile) * (chunks.slab | 1) * 16, tile.positions * (columns_of(element) + 8) * 4) + offsets


def pack(weight: Array, element: Element) -> Array:
    """(O, C/groups, KH, KW), C == O -> (units, steps, tiles, 8, 4, 2, n): mma's second operand, lane by lane.

    A step is two of a unit's chunks of taps, 16 bytes of channels each, n elements to 4 bytes; a tile is 8 outputs;
    channels of other groups than an output's own are 0.
    """
    channels, width, kernel_h, kernel_w = weight.shape
    taps, vector = kernel_h * kernel_w, vector_of(element)
    unit, each, _ = chunks_of(channels, width, element)
    units = -(-channels // unit)
    outputs = np.arange(channels)
    begins = outputs // width * width - first_chunk(outputs // unit * unit, width, vector) * vector
    diagonal = np.zeros((units, unit, taps, each * vector))
    diagonal[(outputs // unit)[:, None], (outputs % unit)[:, None], :, begins[:, None] + np.arange(width)] = (
        weight.reshape(channels, width, taps)
    )
    pieces = diagonal.reshape(units, unit, taps * each, vector)
    pieces = np.pad(pieces, ((0, 0), (0, 0), (0, taps * each % 2), (0, 0)))
    lanes = pieces.reshape(units, unit // 8, 8, pieces.shape[2] // 2, 2, 4, vector // 4)
    return np.ascontiguousarray(store(lanes.transpose(0, 3, 1, 2, 5, 4, 6), element))


def workspace_bytes(shape: ConvShape, element: Element, tile: Tile) -> int:
    """None."""
    return 0


def launches(
    shape: ConvShape,
    element: Element,
    tile: Tile,
    *,
    x: int,
    weight: int,
    bias: int,
    residual: int,
    y: int,
    workspace: int,
    tickets: int,
) -> list[Launch]:
    """One launch: y = relu(conv(x) + bias + residual)."""
    chunks = chunks_of(shape.in_channels, shape.in_channels // shape.groups, element)
    numbers = (tile.rows.bit_length() - 1, tile.columns.bit_length() - 1, chunks.each, chunks.slab)
    return [
        Launch(
            source=Source(FILE, (("ELEMENT", element.macro),)),
            kernel=f"conv2d_mma_grouped_{tile.positions}x{chunks.unit}",
            grid=(blocks(shape, tile), -(-shape.out_channels // columns_of(element)), 1),
            block=(THREADS, 1, 1),
            args=(
                *(np.uint64(address) for address in (x, weight, bias, residual, y)),
                shape.struct(),
                *(np.int32(number) for number in numbers),
            ),
            shared_bytes=shared_bytes(shape, element, tile),
        )
    ]
