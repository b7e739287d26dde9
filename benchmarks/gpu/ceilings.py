"""The ceilings of this GPU, with PyTorch's rates: bytes copied and FLOPs of matrix products a second; a node's gap.

A kernel's share of the roofline in the other tables is the time at the limiting ceiling over its measured time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.stages import Case, Finding
from npresnet.bench import hopper_ceilings
from npresnet.bench.gpu_ceilings import copy_bytes, product_shape, time_copy, time_node_gap, time_product
from npresnet.cuda import ELEMENTS


class Ceilings(NamedTuple):
    """flops: {dtype: per second}; bytes_per_s: read plus written."""

    flops: Mapping[str, float]
    bytes_per_s: float

    def floor_ms(self, dtype: str, flops: float, size_bytes: float) -> float:
        """The least time for this work."""
        return 1e3 * max(flops / self.flops[dtype], size_bytes / self.bytes_per_s)


def ceilings(entry: Mapping[str, Any]) -> Ceilings | None:
    """The highest rates of this stage's results, ours or PyTorch's; None where no copy was timed."""
    found = entry.get("stages", {}).get("ceilings", {})
    rates = {name: max(case["rates"].values()) for name, case in found.items() if case.get("rates")}
    flops = {dtype: rates[f"product {dtype}"] * 1e12 for dtype in ELEMENTS if f"product {dtype}" in rates}
    return Ceilings(flops, rates["copy"] * 1e12) if "copy" in rates else None


def cases(bench: Bench) -> Iterator[Case]:
    """The copy, a node of a graph, then a product in each precision; and what only a Hopper has."""
    yield Case("copy", functools.partial(_copy, bench))
    yield Case("node gap", functools.partial(time_node_gap, bench))
    for dtype in bench.dtypes(ELEMENTS):
        yield Case(f"product {dtype}", functools.partial(_product, bench, dtype))
    blocks = 2 if bench.emulated else bench.gpu.multiprocessors
    for name, measure, arguments in (
        ("L2 copies", hopper_ceilings.time_copies, (blocks,)),
        ("L2 copies to one multiprocessor", hopper_ceilings.time_copies, (1,)),
        ("wgmma from shared memory", hopper_ceilings.time_products, (blocks,)),
        ("node gap pdl", hopper_ceilings.time_nodes, ()),
    ):
        yield Case(name, functools.partial(_of_hopper, bench, functools.partial(measure, bench, *arguments)))


def _of_hopper(bench: Bench, measure: Callable[[], Finding]) -> Finding:
    if bench.gpu.capability != hopper_ceilings.HOPPER:
        return {"absent": f"it needs compute capability 9.0 (Hopper); this GPU has {bench.gpu.capability / 10:.1f}"}
    return measure()


def _copy(bench: Bench) -> Finding:
    return time_copy(bench, [bench.peer.copy(copy_bytes(bench))] if bench.peer else [])


def _product(bench: Bench, dtype: str) -> Finding:
    if bench.peer is None:
        return time_product(bench, dtype)
    shape = product_shape(bench)
    with bench.peer.precision(dtype):
        return time_product(bench, dtype, [bench.peer.product(shape.M, shape.K, shape.out_channels, dtype)])
