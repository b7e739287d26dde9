"""Cost: how long work should take on a GPU, by what it moves and multiplies. A model: nothing here was measured.

    us = gap + ramp + the slower of DRAM and tiles + tail      of one launch; launches follow each other

    DRAM    its bytes at the memory's rate
    tiles   rounds of tiles x the time of one tile, the sum of its phases; a phase is as slow as its slowest limit:
            bytes from L2, bytes through shared memory, products
    ramp    until all multiprocessors are busy, and at the end: of a short launch half as much as it works
    tail    what the last block of a tile still has to do when all others have ended

Choices are compared by it, so that kernels, tiles and fused segments are weighed alike (benchmarks/gpu_model.py shows
the figures). Where it is wrong, a network is slower than it could be, never wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from types import MappingProxyType
from typing import NamedTuple

from npresnet.cuda.elements import Element
from npresnet.cuda.geometry import ConvShape

SHARPNESS = 6  # a guess: of two equal limits both take an eighth longer, for neither is kept busy all the time
LIMITS = ("L2", "shared", "products")
WGMMA, MMA, FMA = "wgmma", "mma", "fma"  # what multiplies


class Phase(NamedTuple):
    """A part of a tile's time, on the multiprocessor that computes the tile.

    l2_bytes      between L2 and the multiprocessor
    shared_bytes  written to or read from shared memory, by threads, by wgmma and by the copy engine
    flops         2 a multiply-add, as executed: with the products of padding
    clocks        of waiting, in addition
    """

    l2_bytes: float = 0
    shared_bytes: float = 0
    flops: float = 0
    clocks: float = 0


class Work(NamedTuple):
    """One launch as executed; without tiles only DRAM counts, as for what goes number by number: Work(bytes).

    dram_bytes  every tensor once, but what a launch just before has left in L2
    tiles       of all blocks, equally dear; a multiprocessor computes them one after the other
    phases      of one tile, one after the other
    products    "wgmma float16": what multiplies, see `products`
    tail        phases of one block after the last round
    """

    dram_bytes: float
    tiles: int = 0
    phases: tuple[Phase, ...] = ()
    products: str = "fma float32"
    tail: tuple[Phase, ...] = ()


class Card(NamedTuple):
    """The constants of one GPU.

    clock_ghz                of the multiprocessors at work
    dram_tbs                 that kernels reach, reading and writing
    copy_tbs                 that a plain copy reaches: for floors
    l2_tbs                   from L2 to all multiprocessors
    l2_bytes_per_clock       from L2 to one multiprocessor, where few are busy
    shared_bytes_per_clock   of a multiprocessor
    tflops                   `products` -> TFLOP/s that large products reach
    gap_us                   between two nodes of a graph
    pdl_gap_us               the same by programmatic dependent launch, which no launch of a network uses yet
    latency_us               that every launch waits for its first operands
    ramp_us                  that a long launch loses at its two ends
    """

    name: str
    multiprocessors: int
    clock_ghz: float
    dram_tbs: float
    copy_tbs: float
    l2_tbs: float
    l2_bytes_per_clock: float
    shared_bytes_per_clock: float
    tflops: Mapping[str, float]
    gap_us: float
    pdl_gap_us: float
    latency_us: float
    ramp_us: float

    def scaled(self, name: str, multiprocessors: int) -> Card:
        """A GPU with other multiprocessors, each of which has its share of everything."""
        ratio = multiprocessors / self.multiprocessors
        rates = {"dram_tbs": self.dram_tbs * ratio, "copy_tbs": self.copy_tbs * ratio, "l2_tbs": self.l2_tbs * ratio}
        tflops = {key: rate * ratio for key, rate in self.tflops.items()}
        return self._replace(name=name, multiprocessors=multiprocessors, tflops=tflops, **rates)


# How each figure is known. R: read in public logs and data sheets; C: computed from such; G: guessed.
H200 = Card(
    name="NVIDIA H200",
    multiprocessors=132,
    clock_ghz=1.755,  # G
    dram_tbs=4.0,  # G
    copy_tbs=4.3,  # R
    l2_tbs=8.0,  # C, of a public log of an H100: 704 TFLOP/s by tiles of 128 x 256
    l2_bytes_per_clock=64,  # R
    shared_bytes_per_clock=128,  # G: that this counts what wgmma reads and what the copy engine writes
    tflops=MappingProxyType(
        {
            **{f"wgmma {name}": 790.0 for name in ("float16", "bfloat16")},  # R
            **{f"mma {name}": 490.0 for name in ("float16", "bfloat16")},  # G: 0.62 of wgmma's
            "wgmma tf32": 395.0,  # C
            "mma tf32": 245.0,  # C
            "fma float32": 55.0,  # R
        }
    ),
    gap_us=1.3,  # R
    pdl_gap_us=0.5,  # G
    latency_us=0.6,  # G
    ramp_us=2.2,  # G: 3.5 with the gap
)


@cache
def card_of(name: str, multiprocessors: int) -> Card:
    """A GPU's constants; of all but the H200 those of an H200 with as many multiprocessors."""
    return H200 if (name, multiprocessors) == H200[:2] else H200.scaled(name, multiprocessors)


def products(unit: str, element: Element) -> str:
    """The key of `Card.tflops`; ordinary threads multiply float32 whatever is stored."""
    return "fma float32" if unit == FMA else f"{unit} {element.name}"


def predicted_us(works: Sequence[Work], card: Card) -> float:
    """Launches one after the other."""
    return sum(_launch_us(work, card) for work in works)


def limit(work: Work, card: Card) -> str:
    """What binds: "DRAM", or the limit that tiles spend the most time at: "L2", "shared", "products"."""
    if _dram_us(work, card) >= _tiles_us(work, card):
        return "DRAM"
    spent = dict.fromkeys(LIMITS, 0.0)
    for phase in work.phases:
        clocks = _phase_clocks(phase, work, card)
        slowest = max(clocks, key=lambda name: clocks[name])
        spent[slowest] += clocks[slowest]
    return max(spent, key=lambda name: spent[name])


def rounds(work: Work, card: Card) -> int:
    """Tiles of the busiest multiprocessor."""
    return -(-work.tiles // card.multiprocessors)


@lru_cache(maxsize=1024)  # every candidate asks
def bytes_of(shape: ConvShape, element: Element, *, has_residual: bool) -> int:
    """That a convolution must move: what its windows see of x, weights, bias, the residual, y."""
    window, (height, width) = shape.window, shape.out_size
    seen = [
        min(size, out * min(stride, extent) + max(extent - stride, 0))
        for size, out, stride, extent in zip(
            (shape.height, shape.width), (height, width), window.stride, window.extent, strict=True
        )
    ]
    x = shape.images * seen[0] * seen[1] * shape.in_channels
    y = shape.M * shape.out_channels * (2 if has_residual else 1)
    return (x + y + shape.out_channels * shape.K) * element.item_bytes + 4 * shape.out_channels


def _launch_us(work: Work, card: Card) -> float:
    busy = float((_dram_us(work, card) ** SHARPNESS + _tiles_us(work, card) ** SHARPNESS) ** (1 / SHARPNESS))
    tail = _phases_us(work.tail, work._replace(tiles=1), card)  # few multiprocessors share L2 then
    return card.gap_us + max(card.latency_us, min(busy / 2, card.ramp_us)) + busy + tail


def _dram_us(work: Work, card: Card) -> float:
    return work.dram_bytes / card.dram_tbs / 1e6


def _tiles_us(work: Work, card: Card) -> float:
    return rounds(work, card) * _phases_us(work.phases, work, card)


def _phases_us(phases: Sequence[Phase], work: Work, card: Card) -> float:
    """One after the other."""
    clocks = sum(phase.clocks + max(_phase_clocks(phase, work, card).values()) for phase in phases)
    return clocks / card.clock_ghz / 1e3


def _phase_clocks(phase: Phase, work: Work, card: Card) -> dict[str, float]:
    """Clocks by limit, of one multiprocessor: those that are busy share L2."""
    busy = min(work.tiles, card.multiprocessors)
    l2_per_clock = min(card.l2_bytes_per_clock, card.l2_tbs * 1e3 / card.clock_ghz / busy)
    flops_per_clock = card.tflops[work.products] * 1e3 / card.clock_ghz / card.multiprocessors
    return {
        "L2": phase.l2_bytes / l2_per_clock,
        "shared": phase.shared_bytes / card.shared_bytes_per_clock,
        "products": phase.flops / flops_per_clock,
    }
