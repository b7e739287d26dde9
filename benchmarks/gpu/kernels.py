"""Step by step: the time of each kernel of a network, and how close it is to the GPU's ceilings.

A step is timed alone, as a graph of many runs, so that its input may still be in the L2 cache: a small one can appear
to exceed the ceiling of memory. The time of the whole network, by graph, is reported with the sum.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.gpu import subjects
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.stages import Case, Finding

NETWORKS = ("resnet18", "resnet50", "resnext50_32x4d")
BATCHES = (1, 32, 256)
DTYPES = ("float16", "float32")


def cases(bench: Bench) -> Iterator[Case]:
    """Networks with every kind of convolution, at small and large batches."""
    for name in bench.networks(NETWORKS):
        for dtype in bench.dtypes(DTYPES):
            for images in bench.batches(BATCHES):
                yield Case(f"{name} {dtype} batch {images}", functools.partial(_time_steps, bench, name, dtype, images))


def _time_steps(bench: Bench, name: str, dtype: str, images: int) -> Finding:
    with subjects.executable(bench.gpu, name, dtype, keeps_images=True) as executable:
        executable(subjects.images(images, bench.image_size))  # every step is timed on its own inputs
        steps = executable.steps((3, bench.image_size, bench.image_size), images)
        bound = [bench.gpu.bind(step.tiles) for step in steps]
        every = [call for calls in bound for call in calls]
        whole = bench.race([bench.replayed("graph", every, copies=1)])["graph"]
        rows = []
        for step, calls in zip(steps, bound, strict=True):
            ms = _milliseconds(bench, calls) if calls else None
            row = {"step": step.name, "kernel": step.algorithm, "flops": step.flops, "bytes": step.size_bytes}
            rows.append(row if ms is None else row | {"ms": ms})
    return {"graph": whole, "steps": rows, "dtype": dtype}


def _milliseconds(bench: Bench, calls: list[Any]) -> float | None:
    """The best of a few rounds: other work of the GPU can only increase it."""
    racer = bench.replayed("step", calls)
    if bench.emulated:
        racer.time_ms(1)
        return None
    once = max(racer.time_ms(3), 1e-3)
    repeats = max(3, min(200, round(bench.round_ms / 20 / once)))
    return float(f"{min(racer.time_ms(repeats) for _ in range(3)):.4g}")


def by_kernel(finding: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The steps of one case summed by kernel, the slowest first."""
    found: dict[str, dict[str, Any]] = {}
    for row in finding["steps"]:
        sums = found.setdefault(row["kernel"], {"kernel": row["kernel"], "steps": 0, "flops": 0, "bytes": 0, "ms": 0.0})
        sums["steps"] += 1
        for what in ("flops", "bytes", "ms"):
            sums[what] += row.get(what, 0)
    return sorted(found.values(), key=lambda sums: -sums["ms"])
