"""A map times a gate, or plus one: a map, one number a channel or a position. Then the shortcut and the activation.

A block that ends with squeeze and excitation, relu(x * gate + shortcut), is one pass over the map: the calls of a few
rows follow each other while those rows are in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels.activations import activate
from npresnet.cpu.kernels.lowering import Bound, Lowering
from npresnet.cpu.runtime.memory import MIN_TILE_FLOATS, Floats, Memory, split
from npresnet.cpu.runtime.running import worker_of
from npresnet.ops.gates import Gate, gate_of
from npresnet.plan import Layout
from npresnet.plan.steps import Call, Tile

FLOATS_AT_ONCE = 32_768  # of each array: 128 KB, so that all of them stay in a core's L2 cache


class Rows(NamedTuple):
    """Some rows of one image; each array (h, W, C), or the gate's shape."""

    x: Floats
    gate: Floats
    residual: Floats | None
    out: Floats


class GateLowering(Lowering):
    """out = activation(x . gate + residual), bands of rows; the residual is the third input, where there is one."""

    def __init__(self, combine: Callable[..., None]):
        self.combine = combine  # kernels.multiply or kernels.add

    def scratch(self, bound: Bound) -> dict[str, int]:
        return {"gate": _row_floats(bound)}

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        bands = [(n, *band) for n in range(memory.layout.images) for band in _bands(bound, MIN_TILE_FLOATS)]
        workers = [worker_of(i, len(bands), bound.workers) for i in range(len(bands))]
        return [self._tile(bound, memory, worker, *band) for worker, band in zip(workers, bands, strict=True)]

    def _tile(self, bound: Bound, memory: Memory, worker: int, image: int, start: int, stop: int) -> Tile:
        calls: list[Call] = []
        row = None
        if _row_floats(bound):
            width, channels = _image(memory, bound.node.name).shape[2:]
            row = memory.scratch(worker, "gate", (width, channels))
            calls.append((kernels.copy, (_gate(bound, memory)[image], row)))
        for x, gate, residual, out in _rows(bound, memory, image, start, stop):
            calls.append((self.combine, (x, gate if row is None else row, out)))
            if residual is not None:
                calls.append((kernels.add, (out, residual, out)))
            calls += activate(bound.node, memory, out, out)
        return tuple(calls)


def _kind(bound: Bound) -> Gate:
    values = bound.layout.values
    found = gate_of(*(values[name].shape for name in bound.node.inputs[:2]))
    assert found is not None
    return found


def _row_floats(bound: Bound) -> int:
    """Floats of the gate repeated along a row of the map; 0 where it is used as it is.

    A row of one pixel makes NumPy's inner loops short: with 256 channels and more they take a tenth longer, with fewer
    up to three times as long.
    """
    shape = bound.layout.values[bound.node.name].shape
    if _kind(bound) is not Gate.CHANNEL or len(shape) == 1:
        return 0
    channels, height, width = shape
    return width * channels if height > 1 and width > 1 else 0


def _bands(bound: Bound, floats: int, rows: tuple[int, int] | None = None) -> list[tuple[int, int]]:
    """(start, stop) of rows `rows`, by default all, in bands of about `floats` numbers."""
    start, stop = (0, _height(bound.layout, bound.node.name)) if rows is None else rows
    size = bound.layout.values[bound.node.name].shape
    per_row = size[0] * (size[2] if len(size) == 3 else 1)
    return [(start + a, start + b) for a, b in split(stop - start, (stop - start) * per_row // floats)]


def _height(layout: Layout, name: str) -> int:
    shape = layout.values[name].shape
    return shape[1] if len(shape) == 3 else 1


def _image(memory: Memory, name: str) -> Floats:
    """All images (N, H, W, C); a vector is an image of one pixel."""
    value = memory.images(name)
    return value[:, None, None] if value.ndim == 2 else value


def _gate(bound: Bound, memory: Memory) -> Floats:
    """(N, C), (N, H, W, 1) or (N, H, W, C), which broadcasts with rows of an image."""
    gate = bound.node.inputs[1]
    if _kind(bound) is Gate.CHANNEL:
        return memory.numbers(gate)
    return _image(memory, gate)


def _rows(bound: Bound, memory: Memory, image: int, start: int, stop: int) -> Iterator[Rows]:
    """The rows of a tile, a few at a time."""
    node, gates = bound.node, _gate(bound, memory)
    x, *residual, out = (_image(memory, name)[image] for name in (node.inputs[0], *node.inputs[2:], node.name))
    for first, last in _bands(bound, FLOATS_AT_ONCE, (start, stop)):
        gate = gates[image] if gates.ndim == 2 else gates[image, first:last]
        added: Any = residual[0][first:last] if residual else None
        yield Rows(x[first:last], gate, added, out[first:last])
