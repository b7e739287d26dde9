"""Which kernel and tile a convolution takes: what a table has measured (`tuning`), else what the cost model predicts.

Never a clock: the same layer on the same GPU with the same tables always gets the same kernel.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

from npresnet.cuda.compiler import tuning
from npresnet.cuda.compiler.cost import Work, card_of, predicted_us
from npresnet.cuda.elements import Element
from npresnet.cuda.geometry import ConvShape

CLEARLY = 0.9  # of the time of a launcher that stands before: less is within the error of the model
STEMS = ("stem_mma", "stem_registers")

FALLBACKS = ("conv2d_tiled", "conv2d_direct")  # for what no other takes: their cost is little more than a guess
# best first; each says what it supports, and the last takes everything
LAUNCHERS = (
    *STEMS,
    "conv2d_mma_grouped",
    "conv2d_wgmma_tma",
    "conv2d_wgmma",
    "conv2d_mma",
    "conv2d_registers",
    *FALLBACKS,
)


class Processor(NamedTuple):
    """What a choice may depend on of the GPU."""

    name: str
    capability: int
    multiprocessors: int

    def __str__(self) -> str:
        """How tables name it."""
        return f"{self.name}, sm_{self.capability}, {self.multiprocessors} multiprocessors"


class Layer(NamedTuple):
    """A convolution as it can be computed.

    shape         of the whole batch; channels as the layer has them
    padded        channels of x as it is stored: of images more than the layer reads
    has_residual  a second tensor is added before the ReLU
    """

    shape: ConvShape
    padded: int
    has_residual: bool

    def shape_for(self, launcher: str) -> ConvShape:
        """The stem's kernels know of the padding; others take the zeros for channels."""
        return self.shape if launcher in STEMS else self.shape._replace(in_channels=self.padded)

    def key(self, element: Element) -> str:
        """How tables name it: "float16 8x 3x3/2 64->128 in 2 groups, 56x56"."""
        shape = self.shape
        window, (height, width) = shape.window, shape.out_size
        stride = "" if max(window.stride) == 1 else f"/{_pair(window.stride)}"
        dilation = "" if max(window.dilation) == 1 else f" dilated {_pair(window.dilation)}"
        groups = "" if shape.groups == 1 else f" in {shape.groups} groups"
        residual = " + residual" if self.has_residual else ""
        layer = f"{_pair(window.kernel_size)}{stride}{dilation} {shape.in_channels}->{shape.out_channels}{groups}"
        return f"{element.name} {shape.images}x {layer}, {height}x{width}{residual}"


class Choice(NamedTuple):
    """A launcher by name, one of its tiles, and the layer's shape as it takes it."""

    launcher: str
    tile: Any
    shape: ConvShape

    @property
    def module(self) -> ModuleType:
        """The launcher."""
        return load(self.launcher)

    def work(self, element: Element, *, has_residual: bool) -> list[Work]:
        """Its launches' work."""
        found: list[Work] = self.module.work(self.shape, element, self.tile, has_residual=has_residual)
        return found

    def predicted_us(self, layer: Layer, element: Element, gpu: Processor) -> float:
        """By `cost`'s model."""
        card = card_of(gpu.name, gpu.multiprocessors)
        return predicted_us(self.work(element, has_residual=layer.has_residual), card)

    def __str__(self) -> str:
        return f"{self.launcher} {self.tile}"


def choose(layer: Layer, element: Element, gpu: Processor) -> Choice:
    """The measured choice for this layer, or for one like it, else the rule's first."""
    key = layer.key(element)
    for words in (words for table in tuning.tables(str(gpu)) for words in tuning.answers(table, key)):
        if choice := _measured(words, layer, element, gpu):
            return choice
    return next(by_rule(layer, element, gpu))


def by_rule(layer: Layer, element: Element, gpu: Processor) -> Iterator[Choice]:
    """Each supported launcher's best tile, in the order of LAUNCHERS, but first those that are clearly faster."""
    yield from _by_rule(layer, element, gpu)


@functools.lru_cache(maxsize=1024)  # networks repeat their layers
def _by_rule(layer: Layer, element: Element, gpu: Processor) -> tuple[Choice, ...]:
    found = [tiles[0] for name in LAUNCHERS if (tiles := candidates_of(name, layer, element, gpu))]
    times_us = [choice.predicted_us(layer, element, gpu) for choice in found]
    ordered = []
    while found:
        first = 0
        for i, choice in enumerate(found):
            if choice.launcher not in FALLBACKS and times_us[i] < CLEARLY * times_us[first]:
                first = i
        times_us.pop(first)
        ordered.append(found.pop(first))
    return tuple(ordered)


def candidates(layer: Layer, element: Element, gpu: Processor) -> list[Choice]:
    """Every launcher and tile that can compute this layer: what `npresnet bench --tune` measures."""
    return [choice for name in LAUNCHERS for choice in candidates_of(name, layer, element, gpu)]


def candidates_of(launcher: str, layer: Layer, element: Element, gpu: Processor) -> list[Choice]:
    """One launcher's, the best first by `cost`; none where it does not support the layer."""
    if launcher in STEMS and (layer.has_residual or layer.padded != 4):
        return []
    module, shape = load(launcher), layer.shape_for(launcher)
    if not module.supports(shape, element, gpu.capability):
        return []
    wants = inspect.signature(module.tiles).parameters
    how = {"multiprocessors": gpu.multiprocessors} if "multiprocessors" in wants else {}
    found = [Choice(launcher, tile, shape) for tile in module.tiles(shape, element, gpu.capability, **how)]
    return sorted(found, key=lambda choice: choice.predicted_us(layer, element, gpu))


@functools.cache
def load(launcher: str) -> ModuleType:
    """npresnet.cuda.launchers.<launcher>"""
    return import_module(f"npresnet.cuda.launchers.{launcher}")


def _measured(words: Any, layer: Layer, element: Element, gpu: Processor) -> Choice | None:
    """A table's [launcher, tile], if that can still be had."""
    if not (isinstance(words, list) and len(words) == 2 and words[0] in LAUNCHERS):
        return None
    found = candidates_of(words[0], layer, element, gpu)
    return next((choice for choice in found if str(choice.tile) == words[1]), None)


def _pair(numbers: tuple[int, ...]) -> str:
    return "x".join(map(str, numbers))
