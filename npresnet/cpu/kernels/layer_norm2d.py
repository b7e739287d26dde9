"""LayerNorm of a map: each pixel's channels lie side by side, and a band of pixels fits the cache."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels.activations import activate
from npresnet.cpu.kernels.lowering import Bound, Lowering
from npresnet.cpu.kernels.norms import bands_of_map, map_shape, maps_of
from npresnet.cpu.runtime.memory import Floats, Memory
from npresnet.cpu.runtime.running import worker_of
from npresnet.network import Node
from npresnet.plan.steps import Call, Tile


class LayerNorm2dLowering(Lowering):
    """Every pixel normalised over its channels, which lie side by side."""

    def prepare(self, node: Node) -> Mapping[str, Floats]:
        return {role: np.asarray(vector, np.float32) for role, vector in node.params.items()}

    def scratch(self, bound: Bound) -> Mapping[str, int]:
        height, width, channels = map_shape(bound.layout, bound.node.name)
        largest = max(last - first for first, last in bands_of_map(bound.layout, bound.node.name))
        return {"ping": largest * width * channels, "pong": 2 * largest * width}

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        node, vectors = bound.node, bound.weights
        bands = bands_of_map(bound.layout, node.name)
        sources, outs = maps_of(memory, node.inputs[0]), maps_of(memory, node.name)
        tiles: list[Tile] = []
        total = len(bands) * len(outs)
        for source, out in ((s[a:b], o[a:b]) for s, o in zip(sources, outs, strict=True) for a, b in bands):
            worker = worker_of(len(tiles), total, bound.workers)
            squares = memory.scratch(worker, "ping", out.shape)
            sums = memory.scratch(worker, "pong", (2, *out.shape[:2], 1))
            calls: list[Call] = [(normalise_pixels, (source, np.float32(node.attrs["eps"]), squares, sums, out))]
            for role, kernel in (("weight", kernels.multiply), ("bias", kernels.add)):
                if role in vectors:
                    calls.append((kernel, (out, memory.rows_of(vectors[role], out.shape[1]), out)))
            tiles.append((*calls, *activate(node, memory, out, out)))
        return tiles


def normalise_pixels(image: Floats, eps: np.float32, squares: Floats, sums: Floats, out: Floats) -> None:
    """out[i,j,c] = (image[i,j,c] - mean[i,j]) / sqrt(var[i,j] + eps)

    image, squares, out  (h, W, C); squares is scratch
    sums                 (2, h, W, 1) of scratch
    """
    channels, (mean, variance) = np.float32(image.shape[2]), sums
    np.add.reduce(image, axis=2, out=mean, keepdims=True)
    np.divide(mean, channels, out=mean)
    np.subtract(image, mean, out=out)
    np.square(out, out=squares)
    np.add.reduce(squares, axis=2, out=variance, keepdims=True)
    np.divide(variance, channels, out=variance)
    np.add(variance, eps, out=variance)
    np.sqrt(variance, out=variance)
    np.divide(out, variance, out=out)
