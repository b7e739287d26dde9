"""The two ceilings of this GPU, measured: how fast memory is copied, how fast matrices are multiplied.

A kernel's share of the roofline in the other tables is the time that the nearer ceiling allows over the time it takes.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from npresnet.bench.gpu_bench import Bench
from npresnet.bench.gpu_stages import Case, Finding
from npresnet.cuda import ELEMENTS, Element
from npresnet.cuda.activation import RELU
from npresnet.cuda.compiler import choices
from npresnet.cuda.compiler.choices import Choice, Layer, Processor
from npresnet.cuda.elements import store
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers import activation
from npresnet.cuda.runtime.gpu import Buffer
from npresnet.window import Window

COPY_BYTES = 1 << 30  # far more than any L2 cache
RANDOM_NUMBERS = 1 << 20  # different ones; then they repeat
SIDE = 4096  # of the matrices: (4 * SIDE, SIDE) by (SIDE, SIDE)


class Ceilings(NamedTuple):
    """flops: {dtype: per second}; bytes_per_s: read and written together."""

    flops: Mapping[str, float]
    bytes_per_s: float

    def floor_ms(self, dtype: str, flops: float, size_bytes: float) -> float:
        """The least time that work takes."""
        return 1e3 * max(flops / self.flops[dtype], size_bytes / self.bytes_per_s)


def ceilings(entry: Mapping[str, Any]) -> Ceilings | None:
    """The best that anybody reached, from the results of this stage; None where no copy was timed."""
    found = entry.get("stages", {}).get("ceilings", {})
    rates = {name: max(case["rates"].values()) for name, case in found.items() if case.get("rates")}
    flops = {dtype: rates[f"product {dtype}"] * 1e12 for dtype in ELEMENTS if f"product {dtype}" in rates}
    return Ceilings(flops, rates["copy"] * 1e12) if "copy" in rates else None


def cases(bench: Bench) -> Iterator[Case]:
    """The copy, then a product in each precision."""
    yield Case("copy", functools.partial(_copy, bench))
    for dtype in bench.dtypes(ELEMENTS):
        yield Case(f"product {dtype}", functools.partial(_product, bench, dtype))


def _copy(bench: Bench) -> Finding:
    size_bytes = 1 << 16 if bench.emulated else COPY_BYTES
    source, target = (bench.gpu.allocate(size_bytes, "the copy") for _ in range(2))
    element = ELEMENTS["float32"]
    calls = bench.gpu.bind(activation.launches(size_bytes // 4, element, RELU, x=source.address, y=target.address))
    racers = [bench.racer("relu kernel", calls)]
    if bench.peer is not None:
        racers.append(bench.peer.copy(size_bytes))
    times = bench.race(racers)
    return {"unit": "TB/s", "bytes": 2 * size_bytes, "times": times, "rates": _rates(times, 2 * size_bytes)}


def _product(bench: Bench, dtype: str) -> Finding:
    """A 1x1 convolution is the product (M, K) by (K, O); every kernel and tile that takes it has a try."""
    side = 64 if bench.emulated else SIDE
    shape = ConvShape(4, side // 8, 8, side, side, Window.of(1))
    layer, element = Layer(shape, side, has_residual=False), ELEMENTS[dtype]
    gpu = Processor(bench.gpu.name, bench.gpu.capability, bench.gpu.multiprocessors)
    found = choices.candidates(layer, element, gpu)
    with buffers(bench, shape, element) as place:
        tried = {str(choice): _quick_ms(bench, choice, place(choice)) for choice in found}
        best = min(found, key=lambda choice: tried[str(choice)])
        racers = [bench.racer(str(best), bench.gpu.bind(place(best)))]
        with bench.peer.precision(dtype) if bench.peer else contextlib.nullcontext():
            if bench.peer:
                racers.append(bench.peer.product(shape.M, shape.K, side, dtype))
            times = bench.race(racers)
    flops = 2 * shape.M * shape.K * shape.out_channels
    return {"unit": "TFLOP/s", "flops": flops, "times": times, "rates": _rates(times, flops), "tried": len(found)}


Place = Callable[[Choice], "list[Launch]"]


@contextlib.contextmanager
def buffers(bench: Bench, shape: ConvShape, element: Element) -> Iterator[Place]:
    """A function that binds a choice to memory: random x and weights (zeros would draw less power), y, a workspace."""
    kept: dict[str, Buffer] = {}
    inputs = shape.images * shape.height * shape.width * shape.in_channels
    for name, count in (("x", inputs), ("weight", shape.out_channels * shape.K)):
        kept[name] = _random_numbers(bench, count, element)
    kept["bias"] = bench.gpu.allocate(4 * shape.out_channels, "a bias")
    kept["y"] = bench.gpu.allocate(element.item_bytes * shape.M * shape.out_channels, "a product")

    def place(choice: Choice) -> list[Launch]:
        needed = max(1, choice.module.workspace_bytes(shape, element, choice.tile))
        if "workspace" not in kept or kept["workspace"].size_bytes < needed:
            kept["workspace"] = bench.gpu.allocate(needed, "a workspace")
        addresses = {name: buffer.address for name, buffer in kept.items()}
        launches: list[Launch] = choice.module.launches(shape, element, choice.tile, residual=0, **addresses)
        return launches

    yield place
    bench.stream.synchronize()


def _random_numbers(bench: Bench, count: int, element: Element) -> Buffer:
    some = np.random.default_rng(0).standard_normal(min(count, RANDOM_NUMBERS), dtype=np.float32)
    numbers = np.resize(store(some, element), count)
    buffer = bench.gpu.allocate(numbers.nbytes, "a matrix")
    with bench.gpu.active():
        bench.gpu.upload(buffer.address, numbers, bench.stream)
        bench.stream.synchronize()
    return buffer


def _quick_ms(bench: Bench, choice: Choice, launches: list[Launch]) -> float:
    calls = bench.gpu.bind(launches)
    if bench.emulated:
        return 0.0
    bench.gpu.time_ms(calls, bench.stream)
    return bench.gpu.time_ms(calls, bench.stream, 3)


def _rates(times: Mapping[str, Mapping[str, float]], work: int) -> dict[str, float]:
    """Bytes or FLOPs per second, in units of 1e12."""
    return {name: float(f"{work / time['ms'] / 1e9:.4g}") for name, time in times.items() if "ms" in time}
