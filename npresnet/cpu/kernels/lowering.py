"""Lowering on the CPU: what a kernel file says of its operation, so that the compiler needs to know none by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from npresnet.cpu.runtime.memory import Memory
from npresnet.network import Node
from npresnet.plan import Layout
from npresnet.plan.layout import NO_HALO, Halo
from npresnet.plan.shapes import Shape
from npresnet.plan.steps import Tile


class Options(NamedTuple):
    """What the caller may ask of the backend.

    winograd  False computes every convolution by the direct sum
    exact     an image's bits do not depend on the batch; False (`fast=True`) lets BLAS take images together always
    """

    winograd: bool = True
    exact: bool = True


class Request(NamedTuple):
    """A node whose algorithm is to be chosen.

    weights    what `Lowering.prepare` made of its parameters
    shapes     of one image, by name
    images     computed at once
    core_type  of NumPy's BLAS: "SkylakeX", "Haswell", ...; "" for a BLAS that names none
    table      this machine's measured choices
    """

    node: Node
    weights: Any
    shapes: Mapping[str, Shape]
    images: int
    options: Options
    core_type: str
    table: Mapping[str, Any]


class Bound(NamedTuple):
    """A node with all that is decided before memory is taken.

    choice   what `Lowering.choose` gave
    workers  threads that share the tiles of one image
    exact    see `Options`
    """

    node: Node
    weights: Any
    choice: Any
    layout: Layout
    workers: int
    exact: bool


class Lowering:
    """One operation on the CPU; see `npresnet.plan.lowering`. The defaults are those of an operation without weights.

    shares_weights  several images at once read the weights once: where a network has none left, it is not cut in two
    reads_planes    it reads an image channel by channel, as the caller has it, and not pixel by pixel
    """

    shares_weights = False
    reads_planes = False

    def prepare(self, node: Node) -> Any:
        """What the operation keeps of its parameters, made once a network."""
        return None

    def choose(self, request: Request) -> Any:
        """The algorithm; None where there is only one."""
        return None

    def halo(self, request: Request, choice: Any) -> Halo:
        """The zeros that it reads around its first input."""
        return NO_HALO

    def prepacked(self, weights: Any, choice: Any) -> Any:
        """Which prepacked form of its weights (a `filters.Key`) the tiles read; None for none."""
        return None

    def probe(self, bound: Bound) -> None:
        """Try out on this machine's BLAS whatever the tiles depend on."""

    def scratch(self, bound: Bound) -> Mapping[str, int]:
        """Purpose -> floats that the largest tile needs."""
        return {}

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        """The calls of every tile."""
        raise NotImplementedError

    def algorithm(self, bound: Bound) -> str:
        """How it is computed, in a few words."""
        return "" if bound.choice is None else str(bound.choice)
