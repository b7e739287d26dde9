"""Every kernel and tile on whole numbers, bit for bit: against conv2d_direct on the GPU, which is held against float64.

The output and the workspace are NaN before each run, and every buffer lies between zones that are checked after it. The
kernels that are not convolutions are proved by a small network whose logits are exact, stems with their pool against
float64 alone.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator

import numpy as np

from benchmarks.gpu import exact_network, exact_stem
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.guarded import WholeNumbers
from benchmarks.gpu.stages import Case, Finding
from npresnet.cuda import ELEMENTS
from npresnet.cuda.activation import Code
from npresnet.cuda.compiler.choices import LAUNCHERS, Choice, Layer, Processor, candidates_of
from npresnet.cuda.geometry import ConvShape
from npresnet.network import Array
from npresnet.window import Window

DIRECT = "conv2d_direct"
MOST_TOLD = 5  # wrong candidates of a case


def _layer(
    images: int, size: tuple[int, int], channels: tuple[int, int], window: Window, *, groups: int = 1,
    residual: bool = False, padded: int = 0, relu: bool = True,
) -> Layer:  # fmt: skip
    activation = Code.RELU if relu else Code.NONE
    shape = ConvShape(images, *size, *channels, window, groups, activation)
    return Layer(shape, padded or channels[0], residual)


LAYERS = {
    "3x3 + residual": _layer(2, (14, 14), (64, 128), Window.of(3, padding=1), residual=True),
    "7x7/2 of images": _layer(3, (38, 46), (3, 64), Window.of(7, 2, 3), padded=4),
    "3x3 in groups": _layer(2, (10, 12), (64, 64), Window.of(3, padding=1), groups=8),
    "1x1": _layer(3, (9, 11), (128, 256), Window.of(1), relu=False),
    "1x1 + residual": _layer(2, (7, 7), (256, 128), Window.of(1), residual=True),
    "3x3/2": _layer(2, (15, 13), (64, 64), Window.of(3, 2, 1)),
    "3x3 dilated": _layer(1, (12, 14), (64, 64), Window.of(3, 1, 2, 2), relu=False),
    "3x3 of odd sizes": _layer(3, (7, 5), (33, 19), Window.of(3, padding=1)),
    "deep 3x3": _layer(1, (7, 7), (512, 128), Window.of(3, padding=1)),
    # so many tiles that blocks take up to 16 of them
    "7x7/2 of many images": _layer(2080, (9, 35), (3, 64), Window.of(7, 2, 3), padded=4),
    # boxes of every sort
    **{
        f"3x3 in groups of 4, {images}x {size}x{size}": _layer(
            images, (size, size), (16, 16), Window.of(3, padding=1), groups=4
        )
        for images, size in ((3, 2), (1, 3), (64, 10), (1, 28), (3, 56))
    },
    **{
        f"3x3 in groups of {each}, {images}x {size}x{size}": _layer(
            images, (size, size), (32 * each, 32 * each), Window.of(3, padding=1), groups=32
        )
        for each, images, size in ((32, 1, 28), (16, 32, 10), (32, 32, 10))
    },
    "3x3/2 in groups of 16": _layer(3, (28, 28), (128, 128), Window.of(3, 2, 1), groups=8),
}
TINY = {
    "3x3 + residual": _layer(2, (5, 6), (64, 64), Window.of(3, padding=1), residual=True),
    "7x7/2 of images": _layer(1, (12, 14), (3, 64), Window.of(7, 2, 3), padded=4),
}


def layers(bench: Bench) -> dict[str, Layer]:
    """Three of them with `quick`; small ones on the emulator."""
    if bench.emulated:
        return TINY
    return dict(list(LAYERS.items())[:3]) if bench.quick else LAYERS


def cases(bench: Bench) -> Iterator[Case]:
    """Layer by layer, precision by precision, launcher by launcher: one that hangs keeps no other from its proof."""
    for title, layer in layers(bench).items():
        for dtype in bench.dtypes(ELEMENTS):
            for launcher in LAUNCHERS:
                if candidates_of(launcher, layer, ELEMENTS[dtype], processor(bench)):
                    measure = functools.partial(_compare, bench, layer, dtype, launcher)
                    yield Case(f"{title} {dtype} {launcher}", measure)
    yield from exact_stem.cases(bench)
    yield from exact_network.cases(bench)


def processor(bench: Bench) -> Processor:
    """What choices may depend on."""
    return Processor(bench.gpu.name, bench.gpu.capability, bench.gpu.multiprocessors)


def _compare(bench: Bench, layer: Layer, dtype: str, launcher: str) -> Finding:
    element = ELEMENTS[dtype]
    numbers = WholeNumbers(bench, layer, element)
    (direct,) = candidates_of(DIRECT, layer, element, processor(bench))
    found = candidates_of(launcher, layer, element, processor(bench))
    numbers.prepare([direct, *found])
    right, faults = numbers.run(direct)
    images, exact = numbers.exact()
    wrong = difference(right[images], exact)
    if wrong or faults:
        return {"problem": f"{direct}, by which the others are judged: {'; '.join(filter(None, [wrong, *faults]))}"}
    told = {str(choice): _faults(numbers, choice, right) for choice in found if launcher != DIRECT}
    finding: Finding = {"candidates": len(found)}
    bad = [f"{name}: {words}" for name, words in told.items() if words]
    if bad:
        more = f"; and {len(bad) - MOST_TOLD} more" if len(bad) > MOST_TOLD else ""
        finding["problem"] = f"{len(bad)} of {len(found)} are wrong: {'; '.join(bad[:MOST_TOLD])}{more}"
    return finding


def _faults(numbers: WholeNumbers, choice: Choice, right: Array) -> str:
    print(choice, file=sys.stderr, flush=True)  # the last words, should it hang or die
    y, faults = numbers.run(choice)
    return "; ".join(filter(None, [difference(y, right), *faults]))


def difference(y: Array, right: Array) -> str:
    """ "" where two float32 arrays (N, OH, OW, O) have the same bits."""
    wrong = y.view(np.uint32) != right.view(np.uint32)
    if not wrong.any():
        return ""
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    count = f"{int(wrong.sum())} of {wrong.size} numbers differ"
    return f"{count}, the first [n, i, j, o] = {list(first)}: {y[first]:g}, expected {right[first]:g}"
