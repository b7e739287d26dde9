"""A convolution's step: its algorithm, the zeros that its input needs, its tiles.

The algorithms are in `direct`, `winograd` and `depthwise`, the matrix products of the first two in `gemm`; `choices`
selects one.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType

from npresnet.cpu.compiler.choices import choose, is_early
from npresnet.cpu.kernels import depthwise, direct, winograd
from npresnet.cpu.kernels.filters import Filters, Key
from npresnet.cpu.kernels.layer import Choice, Layer
from npresnet.cpu.kernels.lowering import Bound, Lowering, Request
from npresnet.cpu.kernels.tiling import Area, Conv
from npresnet.cpu.runtime.memory import Memory
from npresnet.cpu.runtime.running import worker_of
from npresnet.network import Node
from npresnet.ops.record import window_of
from npresnet.plan.layout import Halo
from npresnet.plan.shapes import Shape
from npresnet.plan.steps import Tile

ALGORITHMS: dict[str, ModuleType] = {"direct": direct, "winograd": winograd, "depthwise": depthwise}


def layer_of(node: Node, filters: Filters, out_shape: Shape) -> Layer:
    """The layer as `choices` describes it."""
    window, blocks = filters.window, filters.blocks
    taps = window.kernel_size[0] * window.kernel_size[1]
    shape = (filters.depth // taps, out_shape[0] // blocks)
    size = tuple(out_shape[1:])
    return Layer(window.kernel_size, window.stride, window.dilation, blocks, *shape, size, filters.is_depthwise)


class Conv2dLowering(Lowering):
    """A convolution, by the algorithm of its choice."""

    shares_weights = True

    def prepare(self, node: Node) -> Filters:
        return Filters(node)

    def choose(self, request: Request) -> Choice:
        layer = layer_of(request.node, request.weights, request.shapes[request.node.name])
        early = is_early(layer.out_size, request.image_size)
        options = request.options._asdict()
        return choose(layer, request.core_type, request.table, request.images, **options, early=early)

    def halo(self, request: Request, choice: Choice) -> Halo:
        """The padding, and the zeros that complete Winograd's tiles."""
        window = window_of(request.node)
        if choice.algorithm == "winograd":
            return winograd.halo(window, request.shapes[request.node.inputs[0]][1:], choice.tile)
        return tuple((p, p) for p in window.padding)

    def prepacked(self, weights: Filters, choice: Choice) -> Key | None:
        return None if choice.algorithm == "depthwise" else Key.of(choice)

    def probe(self, bound: Bound) -> None:
        """Test for every product of every tile whether several images may be multiplied at once."""
        if bound.layout.images == 1 and max(bound.weights.window.stride) == 1:
            return  # nothing shares weights
        conv = Conv.of(bound)
        algorithm = ALGORITHMS[conv.choice.algorithm]
        for area in _different(algorithm.areas(conv)):
            algorithm.probe(conv, area)

    def scratch(self, bound: Bound) -> dict[str, int]:
        conv = Conv.of(bound)
        algorithm = ALGORITHMS[conv.choice.algorithm]
        largest: dict[str, int] = {}
        for area in _different(algorithm.areas(conv)):
            for purpose, floats in algorithm.scratch_floats(conv, area).items():
                largest[purpose] = max(floats, largest.get(purpose, 0))
        return largest

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        conv = Conv.of(bound)
        algorithm = ALGORITHMS[conv.choice.algorithm]
        areas = algorithm.areas(conv)
        workers = [worker_of(i, len(areas), bound.workers) for i in range(len(areas))]
        return [algorithm.tile(conv, area, memory, worker) for area, worker in zip(areas, workers, strict=True)]


def _different(areas: list[Area]) -> Iterable[Area]:
    """One area of each size: what a tile needs depends on its size alone."""
    return {tuple(stop - start for start, stop in area): area for area in areas}.values()
