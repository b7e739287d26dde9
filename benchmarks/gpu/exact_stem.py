"""Images in, stem and max pool as one kernel on whole numbers, against float64: each launcher, tile and input."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.guarded import Guarded
from benchmarks.gpu.stages import Case, Finding
from npresnet import ops
from npresnet.cuda import ELEMENTS, Element, Normalisation
from npresnet.cuda.activation import Code
from npresnet.cuda.compiler.choices import Processor
from npresnet.cuda.elements import restore, store
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launchers import conv2d_max_pool2d
from npresnet.cuda.launchers.conv2d_max_pool2d import Choice
from npresnet.cuda.launchers.stem_pool import PooledStem
from npresnet.network import Array
from npresnet.window import Window

WHOLE = Normalisation((0.5, 0.0, 1.0), (0.25, 1.0, 0.5))  # 0 and 255 become -2 and 2, 0 and 1, -2 and 0
STEM, POOL = Window.of(7, 2, 3), Window.of(3, 2, 1)


def shape_of(bench: Bench) -> PooledStem:
    """Two pieces of a row, odd sizes, filters beyond a block of 64; small on the emulator."""
    images, size, filters = (1, (17, 26), 24) if bench.emulated else (3, (75, 245), 72)
    return PooledStem(ConvShape(images, *size, 3, filters, STEM, activation=Code.RELU), POOL)


def cases(bench: Bench, dtypes: Iterable[str] = ELEMENTS) -> Iterator[Case]:
    """A case for each precision, input and launcher."""
    for dtype in bench.dtypes(dtypes):
        for title, pixels in (("float32 images", None), ("pixels", WHOLE)):
            for launcher in dict.fromkeys(choice.launcher for choice in _candidates(bench, dtype, pixels)):
                measure = functools.partial(_compare, bench, dtype, launcher, pixels)
                yield Case(f"{title} to pooled stem {dtype} {launcher}", measure)


class Numbers(NamedTuple):
    """Images as they come, the network's weight and bias, and the exact result (N, PH, PW, O) float32."""

    images: Array
    weight: Array
    bias: Array
    right: Array


def numbers(shape: PooledStem, element: Element, pixels: Normalisation | None) -> Numbers:
    """Small whole numbers, so that every float32 sum of them is exact."""
    conv, rng = shape.conv, np.random.default_rng(7)
    size = (conv.images, conv.in_channels, conv.height, conv.width)
    if pixels is None:
        images = rng.integers(-2, 3, size).astype(np.float32)
        x = images.astype(np.float64)
    else:
        images = np.ascontiguousarray((rng.integers(0, 2, size) * 255).astype(np.uint8).transpose(0, 2, 3, 1))
        x = ((images / 255.0 - pixels.mean) / pixels.std).transpose(0, 3, 1, 2)
    weight = rng.integers(-2, 3, (conv.out_channels, conv.in_channels, 7, 7)).astype(np.float64)
    bias = rng.integers(-9, 9, conv.out_channels).astype(np.float32)
    y = np.maximum(ops.conv2d(x, weight, bias.astype(np.float64), stride=2, padding=3), 0)
    pooled = ops.max_pool2d(y, 3, stride=2, padding=1).transpose(0, 2, 3, 1)
    kept = ELEMENTS["float32"] if element.name == "tf32" else element
    return Numbers(images, weight, bias, restore(store(pooled, kept), kept))


def _candidates(bench: Bench, dtype: str, pixels: Normalisation | None) -> list[Choice]:
    gpu = Processor(bench.gpu.name, bench.gpu.capability, bench.gpu.multiprocessors)
    return list(conv2d_max_pool2d.candidates(shape_of(bench), ELEMENTS[dtype], gpu, has_pixels=pixels is not None))


def _compare(bench: Bench, dtype: str, launcher: str, pixels: Normalisation | None) -> Finding:
    element, found = ELEMENTS[dtype], [one for one in _candidates(bench, dtype, pixels) if one.launcher == launcher]
    images, weight, bias, right = numbers(shape_of(bench), element, pixels)
    packed = found[0].module.pack(weight, element)
    inputs = {"images": Guarded(bench, images), "weight": Guarded(bench, packed), "bias": Guarded(bench, bias)}
    y = Guarded.poisoned(bench, right.size * element.item_bytes)
    addresses = {name: buffer.address for name, buffer in inputs.items()} | {"y": y.address}
    problems = []
    for choice in found:
        print(choice, file=sys.stderr, flush=True)  # the last words, should it hang or die
        y.reset()
        calls = bench.gpu.bind(
            choice.module.launches(choice.shape, element, choice.tile, bench.gpu.capability, **addresses, pixels=pixels)
        )
        with bench.gpu.active():
            bench.gpu.run(calls, bench.stream)
            bench.stream.synchronize()
        content, beside = y.read()
        wrong = int((restore(content.view(element.storage).reshape(right.shape), element) != right).sum())
        faults = [f"{wrong} of {right.size} numbers differ"] if wrong else []
        faults += [f"{name}: {fault}" for name, fault in ({"y": beside} | _faults(inputs)).items() if fault]
        problems += [f"{choice}: {'; '.join(faults)}"] if faults else []
    finding: Finding = {"candidates": len(found)}
    return finding | ({"problem": f"{len(problems)} of {len(found)} are wrong: {problems[0]}"} if problems else {})


def _faults(inputs: dict[str, Guarded]) -> dict[str, str]:
    return {name: buffer.fault() for name, buffer in inputs.items()}
