"""Launches conv2d/direct.cu: any convolution, one thread for each output."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from npresnet.cuda.compiler.cost import FMA, Phase, Work, bytes_of, products
from npresnet.cuda.elements import Element
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launch import Launch, Source
from npresnet.cuda.launchers.filters import krsc as pack

__all__ = ["FILE", "Tile", "launches", "pack", "supports", "tiles", "work", "workspace_bytes"]

FILE = "conv2d/direct.cu"
OF_PEAK = 0.02  # a guess: two loads for each multiply-add


class Tile(NamedTuple):
    """Threads of a block: there is one compiled variant only."""

    threads: int = 256

    def __str__(self) -> str:
        return str(self.threads)


def supports(shape: ConvShape, element: Element, capability: int) -> bool:
    """Everything, everywhere."""
    return True


def tiles(shape: ConvShape, element: Element, capability: int) -> list[Tile]:
    """The one there is."""
    return [Tile()]


def work(shape: ConvShape, element: Element, tile: Tile, *, has_residual: bool) -> list[Work]:
    """One launch; a block's threads have an output each."""
    phase = Phase(flops=2 * tile.threads * shape.K / OF_PEAK)
    blocks = -(-shape.M * shape.out_channels // tile.threads)
    return [Work(bytes_of(shape, element, has_residual=has_residual), blocks, (phase,), products(FMA, element))]


def workspace_bytes(shape: ConvShape, element: Element, tile: Tile) -> int:
    """None."""
    return 0


def launches(
    shape: ConvShape,
    element: Element,
    tile: Tile,
    *,
    x: int,
    weight: int,
    bias: int,
    residual: int,
    y: int,
    workspace: int,
    tickets: int,
) -> list[Launch]:
    """One thread for each number of y."""
    outputs = shape.M * shape.out_channels
    addresses = tuple(np.uint64(address) for address in (x, weight, bias, residual, y))
    return [
        Launch(
            Source(FILE, (("ELEMENT", element.macro),)),
            "conv2d_direct",
            grid=(-(-outputs // tile.threads), 1, 1),
            block=(tile.threads, 1, 1),
            args=(*addresses, shape.struct()),
        )
    ]
