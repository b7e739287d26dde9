"""The end of a classifier: global average pool, flatten, fully connected layer."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from npresnet.cpu import kernels
from npresnet.cpu.memory import Floats, Memory, aligned_floats, split
from npresnet.network import Node
from npresnet.plan.steps import Call, Tile

MIN_TILE_OUTPUTS = 256  # outputs of a fully connected layer in a tile, about
PART_INPUTS = 128  # how many products are added up in a row; see lower_linear


class Matrix(NamedTuple):
    """weight (O, C) as in the file, bias (O,) or None."""

    weight: Floats
    bias: Floats | None


def prepare_linear(node: Node) -> Matrix:
    bias = node.params.get("bias")
    weight = np.ascontiguousarray(node.params["weight"], np.float32)
    return Matrix(weight, None if bias is None else np.asarray(bias, np.float32))


def lower_linear(node: Node, matrix: Matrix, memory: Memory) -> list[Tile]:
    """out[o] = sum over c of weight[o,c] * x[c] + bias[o]: matrix-vector products, image by image.

    The sum goes by parts of the inputs, each a product of its own, which are then added up: pooled features are all
    positive, and where few outputs leave BLAS few sums to work on side by side, one long sum per output loses
    two to three times as many digits as other engines lose.
    """
    return [
        tile
        for source, out in zip(memory.storage(node.inputs[0]), memory.storage(node.name), strict=True)
        for tile in _linear_tiles(node, matrix, memory, source, out)
    ]


def _linear_tiles(node: Node, matrix: Matrix, memory: Memory, source: Floats, out: Floats) -> list[Tile]:
    parts = source.size // PART_INPUTS if source.size % PART_INPUTS == 0 else 1
    weights = matrix.weight.reshape(out.size, parts, -1).transpose(1, 0, 2)  # (parts, O, C/parts)
    inputs = source.reshape(parts, -1, 1)  # (parts, C/parts, 1)
    sums = aligned_floats(parts * out.size).reshape(parts, out.size, 1)
    tiles = []
    for start, stop in split(out.size, out.size // MIN_TILE_OUTPUTS):
        part = out[start:stop]
        calls: list[Call] = [
            (kernels.matmul, (weights[:, start:stop], inputs, sums[:, start:stop])),
            (kernels.sum_parts, (sums[:, start:stop, 0], part)),
        ]
        if matrix.bias is not None:
            calls.append((kernels.add, (part, matrix.bias[start:stop], part)))
        if node.relu:
            calls.append((kernels.maximum, (part, memory.zeros(part.shape), part)))
        tiles.append(tuple(calls))
    return tiles


def lower_global_avg_pool(node: Node, prepared: Any, memory: Memory) -> list[Tile]:
    """out[c] = (sum over all pixels of x[.,.,c]) / (H*W): the exact sum first, then one division."""
    source, out = memory.images(node.inputs[0]), memory.images(node.name)[:, 0, 0]  # (N, H, W, C), (N, C)
    pixels = np.float32(source.shape[1] * source.shape[2])
    return [
        ((kernels.sum_pixels, (image, mean)), (kernels.divide, (mean, pixels, mean)))
        for image, mean in zip(source, out, strict=True)
    ]


def lower_flatten(node: Node, prepared: Any, memory: Memory) -> list[Tile]:
    """(H, W, C) -> (C*H*W,) in the framework's order, channels first."""
    source, out = memory.images(node.inputs[0]), memory.storage(node.name)
    if source.ndim == 4:
        source = source.transpose(0, 3, 1, 2)
    return [((kernels.copy, (source, out.reshape(source.shape))),)]
