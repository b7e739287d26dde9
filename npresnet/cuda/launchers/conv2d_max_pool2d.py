"""A convolution of the images with its max pool, one kernel from the images as they come to the pool's result."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

from npresnet.cuda.compiler.choices import Processor, load
from npresnet.cuda.compiler.cost import Work, card_of, predicted_us
from npresnet.cuda.elements import Element
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.linear import bias_of
from npresnet.cuda.launchers.lowering import Bound, Lowering, Place, Request
from npresnet.cuda.launchers.stem_pool import PooledStem
from npresnet.network import INPUT, Node
from npresnet.ops.convolution import folded_weight
from npresnet.ops.record import window_of

LAUNCHERS = ("stem_wgmma_pool", "stem_mma_pool")  # each says what it supports


class Choice(NamedTuple):
    """A launcher by name, one of its tiles, the shape; whether the images come as pixels."""

    launcher: str
    tile: Any
    shape: PooledStem
    has_pixels: bool

    @property
    def module(self) -> ModuleType:
        """The launcher."""
        return load(self.launcher)

    def work(self, element: Element, capability: int) -> list[Work]:
        """Of its launch."""
        found: list[Work] = self.module.work(self.shape, element, self.tile, capability, has_pixels=self.has_pixels)
        return found

    def __str__(self) -> str:
        return f"{self.launcher} {self.tile}"


def candidates(shape: PooledStem, element: Element, gpu: Processor, *, has_pixels: bool) -> Iterator[Choice]:
    """Every launcher and tile that can compute it."""
    for launcher in LAUNCHERS:
        module = load(launcher)
        if module.supports(shape, element, gpu.capability):
            for tile in module.tiles(shape, element, gpu.capability):
                yield Choice(launcher, tile, shape, has_pixels)


class Conv2dMaxPool2dLowering(Lowering):
    """A segment: where no kernel takes it, or two kernels should take less time, it is computed as its two parts."""

    fuses = frozenset({"relu"})

    def is_segment(self, node: Node) -> bool:
        return self.reads_images(node)

    def reads_images(self, node: Node) -> bool:
        return node.inputs == (INPUT,)

    def expand(self, node: Node) -> tuple[Node, ...]:
        attrs = {name: value for name, value in node.attrs.items() if name not in ("pool", "ceil_mode")}
        conv = node.evolve(name=f"{node.name} before its pool", op="conv2d", attrs=attrs)
        pool_attrs = {"ceil_mode": node.attrs["ceil_mode"]}
        return conv, Node(node.name, "max_pool2d", (conv.name,), node.attrs["pool"], attrs=pool_attrs)

    def takes(self, request: Request) -> bool:
        return any(True for _ in self._candidates(request))

    def choose(self, request: Request) -> Choice:
        """The least work by `cost`'s model."""
        element, gpu = request.element, request.gpu
        card = card_of(gpu.name, gpu.multiprocessors)
        return min(self._candidates(request), key=lambda one: predicted_us(one.work(element, gpu.capability), card))

    def work(self, bound: Bound) -> list[Work]:
        choice: Choice = bound.choice
        return choice.work(bound.element, bound.gpu.capability)

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        node, choice, is_folded = bound.node, bound.choice, "scale" in bound.node.params
        module, element = choice.module, bound.element
        weight = place.weights.address(
            (node.name, is_folded, choice.launcher), lambda: module.pack(folded_weight(node), element)
        )
        launches: list[Launch] = module.launches(
            choice.shape,
            element,
            choice.tile,
            bound.gpu.capability,
            images=place.images,
            weight=weight,
            bias=place.weights.address((node.name, is_folded, "bias"), lambda: bias_of(node)),
            y=place.address(node.name),
            pixels=bound.layout.pixels,
        )
        return launches

    def _candidates(self, request: Request) -> Iterator[Choice]:
        node, (channels, height, width) = request.node, request.shapes[INPUT]
        sizes = (request.images, height, width, channels, len(node.params["weight"]))
        conv = ConvShape(*sizes, window_of(node), node.groups, self.fused(node).code)
        shape = PooledStem(conv, node.attrs["pool"], node.attrs["ceil_mode"])
        return candidates(shape, request.element, request.gpu, has_pixels=request.pixels is not None)
