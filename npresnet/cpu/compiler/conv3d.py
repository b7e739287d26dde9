"""A convolution over clips: its algorithm, the zeros that its input needs, its tiles.

The algorithms are in `clip_direct` and `clip_winograd`. Both compute every frame of the output as a convolution of an
image with the channels of KT frames, so the choice is that for such an image (`choices`), with three exceptions:
Winograd needs neighbouring frames; few rows in all frames together do not repay reading its larger weights; and of
stride 1 it is F(2x2). F(4x4) is faster, but PyTorch's error is smaller for clips than for images. RMS error of the
logits over PyTorch's, r3d_18 at 8 frames of 56x56 and of 112x112: direct 1.5, 1.4; F(2x2) 1.3, 1.2; F(4x4) 3.3, 3.5.
"""

from __future__ import annotations

from types import ModuleType

from npresnet.cpu.compiler.choices import choose
from npresnet.cpu.compiler.conv2d import layer_of
from npresnet.cpu.kernels import clip_direct, clip_winograd, winograd
from npresnet.cpu.kernels.clip_filters import ClipFilters
from npresnet.cpu.kernels.filters import Key
from npresnet.cpu.kernels.layer import Choice
from npresnet.cpu.kernels.lowering import Bound, Lowering, Request
from npresnet.cpu.kernels.tiling import Conv
from npresnet.cpu.runtime.memory import Memory
from npresnet.cpu.runtime.running import worker_of
from npresnet.network import Node
from npresnet.ops.record import window_of
from npresnet.plan.layout import Halo
from npresnet.plan.steps import Tile

ALGORITHMS: dict[str, ModuleType] = {"direct": clip_direct, "winograd": clip_winograd}

# Rows of all frames below which reading Winograd's larger weights costs more than its products save. With 512 channels
# F(2x2) is 1.6 times as fast as the direct sum on 2 frames of 7x7, 1.3 on 1 of 7x7, 1.07 on 2 of 4x4; of stride 2 1.02.
MIN_ROWS_WINOGRAD = 49
MIN_ROWS_STRIDED = 256


class Conv3dLowering(Lowering):
    """A convolution over clips, by the algorithm of its choice."""

    def prepare(self, node: Node) -> ClipFilters:
        return ClipFilters(node)

    def choose(self, request: Request) -> Choice:
        filters: ClipFilters = request.weights
        channels, frames, *size = request.shapes[request.node.name]
        layer = layer_of(request.node, filters, (channels, *size))
        has_rows = frames * layer.rows >= (MIN_ROWS_STRIDED if layer.is_strided else MIN_ROWS_WINOGRAD)
        allowed = has_rows and max(filters.time.dilation) == 1 and filters.groups == 1
        choice = choose(layer, request.core_type, {}, winograd=allowed and request.options.winograd)
        return choice if layer.is_strided or choice.algorithm == "direct" else choice._replace(tile=2)

    def halo(self, request: Request, choice: Choice) -> Halo:
        """The padding, and the zeros that complete Winograd's tiles."""
        time, *padding = ((p, p) for p in window_of(request.node).padding)
        if choice.algorithm == "winograd":
            size = request.shapes[request.node.inputs[0]][2:]
            return time, *winograd.halo(request.weights.window, size, choice.tile)
        return time, *padding

    def prepacked(self, weights: ClipFilters, choice: Choice) -> Key:
        return Key.of(choice)

    def scratch(self, bound: Bound) -> dict[str, int]:
        conv = Conv.of(bound)
        algorithm = ALGORITHMS[conv.choice.algorithm]
        largest: dict[str, int] = {}
        for area in algorithm.areas(conv):
            for purpose, floats in algorithm.scratch_floats(conv, area).items():
                largest[purpose] = max(floats, largest.get(purpose, 0))
        return largest

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        conv = Conv.of(bound)
        algorithm = ALGORITHMS[conv.choice.algorithm]
        areas = algorithm.areas(conv)
        workers = [worker_of(i, len(areas), bound.workers) for i in range(len(areas))]
        return [algorithm.tile(conv, area, memory, worker) for area, worker in zip(areas, workers, strict=True)]
