"""Lowering on the CPU: the interface of every operation, so that the compiler has no special cases."""

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
    """The backend's options.

    winograd  False computes every convolution by the direct sum
    exact     an image's bits do not depend on the batch; False (`fast=True`) always lets BLAS multiply images together
    """

    winograd: bool = True
    exact: bool = True


class Request(NamedTuple):
    """A node whose algorithm is to be chosen.

    weights    the result of `Lowering.prepare`
    shapes     of one image, by name
    image_size (H, W) of the network's image, also in a part of the network whose input is another value; of clips
               (T, H, W)
    images     computed at once
    core_type  of NumPy's BLAS: "SkylakeX", "Haswell", ...; "" for a BLAS that reports none
    table      this machine's measured choices
    """

    node: Node
    weights: Any
    shapes: Mapping[str, Shape]
    image_size: Shape
    images: int
    options: Options
    core_type: str
    table: Mapping[str, Any]


class Bound(NamedTuple):
    """A node with everything that is decided before memory is allocated.

    choice   the result of `Lowering.choose`
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

    shares_weights  several images at once read the weights once; a network is cut in two only before such a node
    reads_planes    reads an image channel by channel, the caller's layout, not pixel by pixel
    """

    shares_weights = False
    reads_planes = False

    def prepare(self, node: Node) -> Any:
        """The operation's prepared parameters, made once for a network."""
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
        """Test the properties of this machine's BLAS that the tiles depend on."""

    def scratch(self, bound: Bound) -> Mapping[str, int]:
        """Purpose -> floats that the largest tile needs."""
        return {}

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        """The calls of every tile."""
        raise NotImplementedError

    def barriers(self, bound: Bound) -> tuple[int, ...]:
        """Numbers of tiles that need all earlier ones, see `plan.Step`."""
        return ()

    def algorithm(self, bound: Bound) -> str:
        """The algorithm in a few words."""
        return "" if bound.choice is None else str(bound.choice)
