"""Whole networks: images a second by graph replay, and PyTorch on the same GPU in the same rounds.

The timed part starts with the images on the GPU, for us (N, C, H, W) float32, and ends with the logits there. Each
round replays a graph of the whole network again and again on the same images, ours and PyTorch's alike; it lasts longer
than its launch takes.
"numpy_ms" is the whole call, from the caller's NumPy array to the logits' array, by the host's clock, without the peer.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from benchmarks.gpu import subjects
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.stages import Case, Finding
from benchmarks.gpu.subjects import MAIN
from npresnet.bench import torchvision_models
from npresnet.bench.gpu_timer import Racer
from npresnet.bench.timing import median, time_calls
from npresnet.cuda import ELEMENTS, Executable

OURS = "npresnet"
BATCHES = (1, 32, 256)


def peers(bench: Bench) -> Iterator[Case]:
    """MAIN in float16 with eager PyTorch."""
    for name in bench.networks(MAIN):
        for images in bench.batches(BATCHES):
            for dtype in bench.dtypes(("float16",)):
                yield _case(bench, name, dtype, images)


def precisions(bench: Bench) -> Iterator[Case]:
    """MAIN in the other precisions with eager PyTorch, and in float16 at the batches between."""
    for name in bench.networks(MAIN):
        for dtype in bench.dtypes(ELEMENTS):
            for images in bench.batches((8, 128) if dtype == "float16" else BATCHES):
                yield _case(bench, name, dtype, images)


def compiled(bench: Bench) -> Iterator[Case]:
    """The same in float16 with torch.compile(mode="max-autotune"), which takes minutes to compile."""
    for name in bench.networks(MAIN):
        for images in bench.batches((1, 256)):
            for dtype in bench.dtypes(("float16",)):
                yield _case(bench, name, dtype, images, compiles=True)


def others(bench: Bench) -> Iterator[Case]:
    """All other networks with eager PyTorch, at a small and a large batch."""
    for name in bench.networks([name for name in torchvision_models.names() if name not in MAIN]):
        for images in bench.batches((1, 128)):
            for dtype in bench.dtypes(("float16", "float32")):
                yield _case(bench, name, dtype, images)


def _case(bench: Bench, name: str, dtype: str, images: int, *, compiles: bool = False) -> Case:
    return Case(f"{name} {dtype} batch {images}", functools.partial(_race, bench, name, dtype, images, compiles))


def _race(bench: Bench, name: str, dtype: str, images: int, compiles: bool) -> Finding:
    x = subjects.images(images, bench.image_size)
    finding: Finding = {"network": name, "dtype": dtype, "batch": images}
    if compiles and bench.peer is None:
        finding["absent"] = "PyTorch does not see this GPU"
    with ExitStack() as stack:
        executable = stack.enter_context(subjects.executable(bench.gpu, name, dtype, keeps_images=True))
        whole = _numpy_ms(bench, executable, x)
        racers = [_ours(bench, executable, images)]
        if bench.peer is not None:
            stack.enter_context(bench.peer.precision(dtype))
            make = bench.peer.compiled if compiles else bench.peer.eager
            racers.append(make(name, dtype, x))
        times = bench.race(racers)
    return {**finding, "times": times, **whole}


def _ours(bench: Bench, executable: Executable, images: int) -> Racer:
    """The executable's own launches, bound to its arena, as one graph."""
    steps = executable.steps((3, bench.image_size, bench.image_size), images)
    return bench.replayed(OURS, bench.gpu.bind([launch for step in steps for launch in step.tiles]), copies=1)


def _numpy_ms(bench: Bench, executable: Executable, x: Any) -> dict[str, float]:
    executable(x)
    if bench.emulated:
        return {}
    times_ms = time_calls(lambda: executable(x), seconds=bench.round_ms / 1e3, min_calls=5)
    return {"numpy_ms": float(f"{median(times_ms):.5g}")}
