"""Every kernel and tile that each convolution of a network can take, timed: what `npresnet bench --tune` would keep.

Nothing is kept but the results: whether these times become the built-in choices is decided by people.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.stages import Case, Finding
from benchmarks.gpu.subjects import MAIN
from npresnet.bench.tune_gpu import QUICK_ROUNDS, ROUNDS, Where, tune_model
from npresnet.cuda import ELEMENTS

BATCHES = (256, 1, 32, 8, 128)


def cases(bench: Bench) -> Iterator[Case]:
    """resnet50 first: it has the most layers, and what is known of them serves resnet18."""
    for name in bench.networks(MAIN[::-1]):
        for images in bench.batches(BATCHES):
            for dtype in bench.dtypes(("float16",)):
                yield Case(f"{name} {dtype} batch {images}", functools.partial(_tune, bench, name, dtype, images))


def _tune(bench: Bench, name: str, dtype: str, images: int) -> Finding:
    if bench.emulated:
        return {"absent": "the emulator takes no times"}
    where, rounds = Where(bench.gpu, ELEMENTS[dtype]), QUICK_ROUNDS if bench.quick else ROUNDS
    rows = []
    for tuned in tune_model(name, images, bench.image_size, where, rounds=rounds, known=()):
        times = {str(m.choice): float(f"{m.time_us:.4g}") for m in tuned.measured}
        rows.append({"layer": tuned.key, "built_in": str(tuned.built_in), "best": str(tuned.best), "us": times})
    return {"dtype": dtype, "batch": images, "layers": rows}
