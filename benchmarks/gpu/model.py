"""Predictions for whole networks: what every step that the code would launch takes by `npresnet.cuda.compiler.cost`.

No GPU, no memory, no packed weights: a program is compiled and bound to address 0, and its launches are counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple, cast

from npresnet.cuda.compiler.choices import Processor
from npresnet.cuda.compiler.cost import FMA, MMA, WGMMA, Card, Work, limit, predicted_us, products, rounds
from npresnet.cuda.compiler.lowerings import LOWERINGS
from npresnet.cuda.compiler.program import COPY_IN, COPY_OUT, Program, compile_program
from npresnet.cuda.compiler.reduction import segmentations
from npresnet.cuda.elements import ELEMENTS, Element
from npresnet.cuda.pixels import Normalisation
from npresnet.cuda.runtime.weights import Weights
from npresnet.network import INPUT, Array, Network
from npresnet.plan import Step

FLOAT_BYTES = 4  # of images as they come, and of results


class Row(NamedTuple):
    """A step, or several.

    layers       that it stands for
    kernels      algorithm and tile, without repetitions, as limits
    launches     nodes of the graph
    tiles        of the longest launch; rounds: of them on the busiest multiprocessor
    dram_bytes   as executed
    flops        of the direct method
    measured_us  of a results file; None where it does not have every step
    """

    name: str
    layers: int
    kernels: tuple[str, ...]
    limits: tuple[str, ...]
    launches: int
    tiles: int
    rounds: int
    dram_bytes: float
    flops: float
    us: float
    floor_us: float
    measured_us: float | None = None


class NoWeights:
    """In the place of `Weights`: nothing is packed, nothing is uploaded."""

    def address(self, key: Hashable, make: Callable[[], Array]) -> int:
        """None."""
        return 0


def predict(
    network: Network,
    images: int,
    element: Element,
    gpu: Processor,
    card: Card,
    input_shape: tuple[int, ...],
    pixels: Normalisation | None = None,
    *,
    apart: bool = False,
) -> list[Row]:
    """Every step of `images` images of (C, H, W), of a network after `passes.optimize`.

    pixels  they come as bytes; else normalised, float32
    apart   every operation has a kernel of its own: no segments of several
    """
    ways = segmentations(network)
    program = compile_program(ways[:1] if apart else ways, input_shape, images, element, gpu, pixels)
    steps = program.bind(0, cast(Weights, NoWeights()), tickets=0)
    return [_row(step, _works(step, program), card, _peak_tflops(element, gpu, card)) for step in steps]


def together(name: str, rows: Sequence[Row]) -> Row:
    """Rows one after the other, as one; tiles and rounds are the slowest step's."""
    slowest = max(rows, key=lambda row: row.us)
    measured = [row.measured_us for row in rows if row.measured_us is not None]
    return slowest._replace(
        name=name,
        layers=sum(row.layers for row in rows),
        kernels=tuple(dict.fromkeys(kernel for row in rows for kernel in row.kernels)),
        limits=tuple(dict.fromkeys(name for row in rows for name in row.limits)),
        launches=sum(row.launches for row in rows),
        dram_bytes=sum(row.dram_bytes for row in rows),
        flops=sum(row.flops for row in rows),
        us=sum(row.us for row in rows),
        floor_us=sum(row.floor_us for row in rows),
        measured_us=sum(measured) if len(measured) == len(rows) else None,
    )


def by_group(rows: Sequence[Row]) -> list[Row]:
    """The layers of a stage that do the same in its blocks together: "layer1 conv2"."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        block = re.fullmatch(r"(layer\d+)\.\d+\.(\w+)(\.0)?", row.name)
        groups.setdefault(f"{block[1]} {block[2]}" if block else row.name, []).append(row)
    return [together(name, found) for name, found in groups.items()]


def measured_card(card: Card, entry: Mapping[str, Any], gpu: Processor) -> Card:
    """The constants, replaced where a results file of gpu_report.py has measured them.

    A node of a chain that does next to nothing takes the gap and the latency. Of L2 counts the slower kind of box.
    Through shared memory goes what the busiest kernel gets through: where products and copies together are not held up
    by it, the constant becomes too low, and never too high.
    """
    cases = {name: case for name, case in entry.get("stages", {}).get("ceilings", {}).items() if case.get("rates")}
    rates = {name: case["rates"] for name, case in cases.items()}
    found: dict[str, Any] = {"tflops": dict(card.tflops)}
    for name, reached in rates.items():
        kind, _, dtype = name.partition(" ")
        if kind == "product":
            found["tflops"][_peak_key(dtype, gpu)] = max(reached.values())
    if "copy" in rates:
        ours = next(iter(rates["copy"].values()))
        found |= {"dram_tbs": ours, "copy_tbs": max(rates["copy"].values())}
    if "node gap" in rates:
        found["gap_us"] = max(min(rates["node gap"].values()) - card.latency_us, 0.0)
    if "pdl" in (nodes := rates.get("node gap pdl", {})):
        found["pdl_gap_us"] = max(nodes["pdl"] - card.latency_us, 0.0)
    if "L2 copies" in rates:
        found["l2_tbs"] = min(rates["L2 copies"].values())
    if one := rates.get("L2 copies to one multiprocessor"):
        found["l2_bytes_per_clock"] = min(one.values()) * 1e3 / card.clock_ghz
    if shared_tbs := cases.get("wgmma from shared memory", {}).get("shared_tbs"):
        found["shared_bytes_per_clock"] = max(shared_tbs.values()) * 1e3 / card.clock_ghz / card.multiprocessors
    return card._replace(**found)


def measured_ms(entry: Mapping[str, Any], *, pixels: bool) -> dict[tuple[str, str, int], float]:
    """(network, dtype, batch) -> milliseconds of a batch by graph replay, by a results file, from bytes or not."""
    return {
        (case["network"], case["dtype"], case["batch"]): case["times"]["npresnet"]["ms"]
        for stage, cases in entry.get("stages", {}).items()
        for case in cases.values()
        if (stage == "pixels") == pixels and "network" in case and "ms" in case.get("times", {}).get("npresnet", {})
    }


def with_measured(rows: Sequence[Row], entry: Mapping[str, Any], case: str) -> list[Row]:
    """The rows with what the results file's stage "kernels" has for "NETWORK DTYPE batch IMAGES", by steps' names."""
    found = entry.get("stages", {}).get("kernels", {}).get(case, {}).get("steps", [])
    times_us = {step["step"]: 1e3 * step["ms"] for step in found if "ms" in step}
    return [row._replace(measured_us=times_us.get(row.name)) for row in rows]


def _works(step: Step, program: Program) -> list[Work]:
    """One a launch."""
    name = INPUT if step.name == COPY_IN else step.name.removesuffix(f" {COPY_OUT}")
    value = program.layout.values[name]
    if step.name == COPY_IN:
        return [Work(program.layout.images_bytes + value.size_bytes)]
    if step.name.endswith(COPY_OUT):
        return [Work(value.size_bytes + value.images * prod(value.shape) * FLOAT_BYTES)]
    bound = program.bound[name]
    works = LOWERINGS[bound.node.op].work(bound)
    in_place = len(step.tiles) - len(works)  # an activation that the kernel does not apply
    return [*works, *(Work(2 * value.size_bytes) for _ in range(in_place))]


def _row(step: Step, works: list[Work], card: Card, peak_tflops: float) -> Row:
    longest = max(works, key=lambda work: predicted_us([work], card))
    dram_bytes = sum(work.dram_bytes for work in works)
    # of a node only what windows see, and no padding; a step beside the nodes counts one of its two sides
    needed = dram_bytes if COPY_IN in step.name or COPY_OUT in step.name else min(dram_bytes, step.size_bytes)
    floor_us = max(needed / card.copy_tbs, step.flops / peak_tflops) / 1e6
    return Row(
        *(step.name, 1, (step.algorithm,), (limit(longest, card),)),
        *(len(works), longest.tiles, rounds(longest, card)),
        *(dram_bytes, step.flops, predicted_us(works, card), floor_us),
    )


def _peak_tflops(element: Element, gpu: Processor, card: Card) -> float:
    return card.tflops[_peak_key(element.name, gpu)]


def _peak_key(dtype: str, gpu: Processor) -> str:
    """The fastest way to multiply."""
    unit = FMA if dtype == "float32" else WGMMA if gpu.capability == 90 else MMA
    return products(unit, ELEMENTS[dtype])
