"""The end of a classifier: global average pool, flatten, fully connected layer."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from npresnet.cpu import kernels
from npresnet.cpu.memory import Floats, Memory, split
from npresnet.network import Node
from npresnet.plan.steps import Call, Tile

MIN_TILE_OUTPUTS = 256  # outputs of a fully connected layer in a tile, about


class Matrix(NamedTuple):
    """weight (O, C) as in the file, bias (O,) or None."""

    weight: Floats
    bias: Floats | None


def prepare_linear(node: Node) -> Matrix:
    bias = node.params.get("bias")
    weight = np.ascontiguousarray(node.params["weight"], np.float32)
    return Matrix(weight, None if bias is None else np.asarray(bias, np.float32))


def lower_linear(node: Node, matrix: Matrix, memory: Memory) -> list[Tile]:
    """out[o] = sum over c of weight[o,c] * x[c] + bias[o]: one matrix-vector product a tile, for one image."""
    source, out = memory.storage(node.inputs[0]), memory.storage(node.name)
    tiles = []
    for start, stop in split(out.size, out.size // MIN_TILE_OUTPUTS):
        part = out[start:stop]
        calls: list[Call] = [(kernels.matmul, (matrix.weight[start:stop], source, part))]
        if matrix.bias is not None:
            calls.append((kernels.add, (part, matrix.bias[start:stop], part)))
        if node.relu:
            calls.append((kernels.maximum, (part, memory.zeros(part.shape), part)))
        tiles.append(tuple(calls))
    return tiles


def lower_global_avg_pool(node: Node, prepared: Any, memory: Memory) -> list[Tile]:
    """out[c] = (sum over all pixels of x[.,.,c]) / (H*W): the exact sum first, then one division."""
    source, out = memory.image(node.inputs[0]), memory.image(node.name)[0, 0]  # (H, W, C), (C,)
    pixels = np.float32(source.shape[0] * source.shape[1])
    return [((kernels.sum_pixels, (source, out)), (kernels.divide, (out, pixels, out)))]


def lower_flatten(node: Node, prepared: Any, memory: Memory) -> list[Tile]:
    """(H, W, C) -> (C*H*W,) in the framework's order, channels first."""
    source = memory.image(node.inputs[0])
    if source.ndim == 1:
        return [((kernels.copy, (source, memory.storage(node.name))),)]
    channels_first = source.transpose(2, 0, 1)
    return [((kernels.copy, (channels_first, memory.storage(node.name).reshape(channels_first.shape))),)]
