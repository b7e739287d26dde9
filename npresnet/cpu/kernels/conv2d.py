"""A convolution's step: which algorithm it takes, the zeros its input needs, its tiles.

The algorithms stand in `direct` and `winograd`, the matrix products of both in `gemm`; `choices` says which is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from npresnet.cpu.compiler import choices
from npresnet.cpu.compiler.choices import Choice, Layer
from npresnet.cpu.kernels import direct, winograd
from npresnet.cpu.kernels.filters import Filters
from npresnet.cpu.kernels.tiling import Conv
from npresnet.cpu.runtime.memory import Memory
from npresnet.cpu.runtime.running import worker_of
from npresnet.network import INPUT, Network, Node
from npresnet.plan import Layout
from npresnet.plan.layout import NO_HALO, Halo, widest
from npresnet.plan.shapes import Shape
from npresnet.plan.steps import Tile

ALGORITHMS: dict[str, ModuleType] = {"direct": direct, "winograd": winograd}


def layer_of(node: Node, filters: Filters, out_shape: Shape) -> Layer:
    """What `choices` asks about."""
    window, blocks = filters.window, filters.blocks
    taps = window.kernel_size[0] * window.kernel_size[1]
    shape = (filters.depth // taps, out_shape[0] // blocks)
    return Layer(window.kernel_size, window.stride, window.dilation, blocks, *shape, tuple(out_shape[1:]))


def halos(network: Network, shapes: Mapping[str, Shape], chosen: Mapping[str, Choice]) -> dict[str, Halo]:
    """For each value the zeros that its convolutions read around it: their padding, and what fills Winograd's tiles."""
    found: dict[str, Halo] = {INPUT: NO_HALO}
    for node in network:
        if node.name in chosen:
            assert node.window is not None
            name, choice = node.inputs[0], chosen[node.name]
            wanted: Halo = tuple((p, p) for p in node.window.padding)
            if choice.algorithm == "winograd":
                wanted = winograd.halo(node.window, shapes[name][1:], choice.tile)
            found[name] = widest(found.get(name, NO_HALO), wanted)
    return found


def bind(node: Node, filters: Filters, choice: Choice, layout: Layout, workers: int, *, exact: bool) -> Conv:
    """The layer as its algorithm sees it."""
    source, out = layout.values[node.inputs[0]], layout.values[node.name]
    return Conv(node, filters, choice, source, out, workers, exact)


def scratch_floats(conv: Conv) -> dict[str, int]:
    """By purpose, what the largest tile needs."""
    algorithm = ALGORITHMS[conv.choice.algorithm]
    largest: dict[str, int] = {}
    for area in algorithm.areas(conv):
        for purpose, floats in algorithm.scratch_floats(conv, area).items():
            largest[purpose] = max(floats, largest.get(purpose, 0))
    return largest


def lower(conv: Conv, memory: Memory) -> list[Tile]:
    """The calls of every tile."""
    algorithm = ALGORITHMS[conv.choice.algorithm]
    areas = algorithm.areas(conv)
    return [
        algorithm.tile(conv, area, memory, worker_of(i, len(areas), memory.workers)) for i, area in enumerate(areas)
    ]


__all__ = ["bind", "choices", "halos", "layer_of", "lower", "scratch_floats"]
