"""Whole networks from uint8 pixels, as `predict` runs them: the graph alone, and batches one after the other.

The timed graph begins with the pixels on the GPU and ends with the logits there. "numpy_ms" is one batch's share of
several in a row through the pipeline, by the host's clock: from arrays of pixels on the host to logits, probabilities
and best classes there. Reading files is not in it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.gpu import subjects
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.networks import BATCHES, OURS
from benchmarks.gpu.stages import Case, Finding
from benchmarks.gpu.subjects import MAIN
from npresnet import passes
from npresnet.bench.timing import median
from npresnet.cuda import ELEMENTS, Normalisation, Pipeline, Weights
from npresnet.cuda.compiler.reduction import segmentations
from npresnet.cuda.runtime.programs import Captured, Programs
from npresnet.images import preset
from npresnet.network import Array

PIXELS = Normalisation(preset("V1").mean, preset("V1").std)
IN_A_ROW, TURNS, TOP = 8, 5, 5  # batches of one turn; turns; best classes


def cases(bench: Bench) -> Iterator[Case]:
    """MAIN in float16."""
    for name in bench.networks(MAIN):
        for images in bench.batches(BATCHES):
            for dtype in bench.dtypes(("float16",)):
                measure = functools.partial(_measure, bench, name, dtype, images)
                yield Case(f"{name} {dtype} batch {images} of pixels", measure)


def _measure(bench: Bench, name: str, dtype: str, images: int) -> Finding:
    network, element, weights = passes.optimize(subjects.network(name)), ELEMENTS[dtype], Weights(bench.gpu)
    pictures = pixels(images, bench.image_size)
    how: Any = {"pixels": PIXELS, "keeps_images": True}
    programs = Programs(segmentations(network), bench.gpu, element, weights, bench.stream, **how)
    captured = programs.get((3, bench.image_size, bench.image_size), images)
    bring(bench, captured, pictures)
    calls = [call for step in captured.calls for call in step]
    times = bench.race([bench.replayed(OURS, calls, copies=1)])
    pipeline = Pipeline(network, bench.gpu, element, weights, PIXELS)
    try:
        whole = _numpy_ms(bench, pipeline, pictures)
    finally:
        pipeline.close()
    return {"network": name, "dtype": dtype, "batch": images, "times": times, **whole}


def pixels(images: int, size: int) -> Array:
    """(images, size, size, 3) uint8."""
    return np.random.default_rng(subjects.SEED).integers(0, 256, (images, size, size, 3), np.uint8)


def bring(bench: Bench, captured: Captured, pictures: Array) -> None:
    """To where the graph reads them."""
    with bench.gpu.active():
        bench.gpu.upload(captured.images_address, pictures, bench.stream)
        bench.stream.synchronize()


def _numpy_ms(bench: Bench, pipeline: Pipeline, pictures: Array) -> dict[str, float]:
    _turn_ms(pipeline, pictures)  # compiles, and makes room
    if bench.emulated:
        return {}
    return {"numpy_ms": float(f"{median([_turn_ms(pipeline, pictures) for _ in range(TURNS)]):.5g}")}


def _turn_ms(pipeline: Pipeline, pictures: Array) -> float:
    """Milliseconds of a batch, the mean of IN_A_ROW."""
    start = perf_counter()
    for pending in [pipeline.submit(list(pictures), top=TOP) for _ in range(IN_A_ROW)]:
        pending.result()
    return (perf_counter() - start) * 1e3 / IN_A_ROW
