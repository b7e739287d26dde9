"""Lowering on the GPU: what a launcher says of its operation, so that the compiler needs to know none by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from npresnet.cuda.activation import NAMES, Activation
from npresnet.cuda.compiler.choices import Layer, Processor
from npresnet.cuda.compiler.cost import Work
from npresnet.cuda.compiler.layout import Layout, Stored
from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.pixels import Normalisation
from npresnet.cuda.runtime.weights import Weights
from npresnet.errors import ArchitectureError
from npresnet.network import Node
from npresnet.plan.shapes import Shape

EVERY_ACTIVATION = frozenset(NAMES)


class Request(NamedTuple):
    """A node whose kernel is to be chosen.

    shapes  of one image, by name
    stored  the same as they lie in memory
    images  computed at once
    pixels  how they are normalised, where the images come as pixels; `layout.pixels` says so afterwards
    """

    node: Node
    shapes: Mapping[str, Shape]
    stored: Mapping[str, Stored]
    images: int
    element: Element
    gpu: Processor
    pixels: Normalisation | None = None


class Bound(NamedTuple):
    """A node with all that is decided before memory is taken.

    choice   what `Lowering.choose` gave
    """

    node: Node
    choice: Any
    layout: Layout
    element: Element
    gpu: Processor


class Place(NamedTuple):
    """Memory: the address of the arena, and the weights, which are uploaded when first asked for.

    tickets  the address of counters that launches leave at zero: see `launchers.split_k`
    """

    base: int
    layout: Layout
    weights: Weights
    tickets: int

    def address(self, name: str) -> int:
        """Of a value."""
        return self.base + self.layout.values[name].offset_bytes

    def result(self, name: str) -> int:
        """Of the float32 result of a node that is asked for."""
        return self.base + self.layout.result_offsets[name]

    @property
    def images(self) -> int:
        """Address of the images as they come: see `layout.pixels`."""
        return self.base + self.layout.images_offset

    @property
    def workspace(self) -> int:
        """Its address."""
        return self.base + self.layout.arena_bytes


class Lowering:
    """One operation on the GPU; see `npresnet.plan.lowering`. The defaults are those of an operation with one kernel.

    fuses          activations that its kernels apply; after them the compiler lets any other run in place
    keeps_storage  it goes number by number, so that its result lies in the order of its first input
    writes_result  its result is float32 and goes straight to where the caller gets it; readers have a copy
    is_view        nothing runs: its readers read what it would
    """

    fuses: frozenset[str] = frozenset()
    keeps_storage = False
    writes_result = False
    is_view = False

    def expand(self, node: Node) -> tuple[Node, ...]:
        """The nodes that are lowered in the place of `node`; the last one has its name."""
        return (node,)

    def is_segment(self, node: Node) -> bool:
        """Whether it is several operations that one kernel may compute, as well as its parts: `segmentations`."""
        return False

    def takes(self, request: Request) -> bool:
        """Whether there is a kernel for this segment; others have one for every node."""
        return True

    def reads_images(self, node: Node) -> bool:
        """Whether its kernels read the images as they come where the node reads INPUT: `Place.images`."""
        return False

    def reads_padding(self, node: Node) -> bool:
        """Whether it takes an image that is stored with channels of zeros beyond its own."""
        return False

    def layer(self, request: Request) -> Layer | None:
        """What measured tables choose for; None where there is nothing to choose."""
        return None

    def choose(self, request: Request) -> Any:
        """The kernel; None where there is only one. Raises ArchitectureError for inputs that none takes."""
        return None

    def scratch(self, bound: Bound) -> Mapping[str, int]:
        """Purpose -> bytes of the workspace."""
        return {}

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        """The launches, without an activation that they do not fuse."""
        raise NotImplementedError

    def work(self, bound: Bound) -> list[Work]:
        """What its launches ask of the GPU, one entry each: by default one that moves its values and weights once."""
        values = {bound.layout.values[name] for name in (*bound.node.inputs, bound.node.name)}
        weights = sum(array.size for array in bound.node.params.values()) * bound.element.item_bytes
        return [Work(weights + sum(value.size_bytes for value in values))]

    def algorithm(self, bound: Bound) -> str:
        """How it is computed, in a few words; "" for the names of its kernels."""
        return "" if bound.choice is None else str(bound.choice)

    def fused(self, node: Node) -> Activation:
        """The node's activation, if its kernels apply it, else none."""
        return Activation.of(node.activation if node.activation in self.fuses else None, node.attrs)


def from_to(bound: Bound, place: Place) -> dict[str, int]:
    """Addresses of the first input and of the result."""
    return {"x": place.address(bound.node.inputs[0]), "y": place.address(bound.node.name)}


def refuse_flattened(request: Request, verb: str) -> None:
    """Raise ArchitectureError for a vector that was an image of several pixels: its numbers lie in another order."""
    node = request.node  # which reads the image itself, as a flatten is a view; its result is a vector all the same
    if len(request.shapes[node.name]) == 1 and any(request.stored[name].positions > 1 for name in node.inputs):
        raise ArchitectureError(f"{node.name}: the GPU backend does not {verb} the channels of a flattened image")
