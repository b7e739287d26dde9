"""Images in, stem and max pool as one kernel: exact on integers, and the very bits of three kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from npresnet.cuda.compiler import cost
from npresnet.cuda.compiler.choices import Processor
from npresnet.cuda.elements import ELEMENTS
from npresnet.cuda.launchers import conv2d_max_pool2d, stem_mma_pool
from npresnet.cuda.launchers.stem_pool import Tile
from npresnet.window import Window
from tests.cuda import faults, pooled_stems
from tests.cuda.pooled_stems import Case, shape
from tests.emulator import emulator

pytestmark = [emulator.needed, pytest.mark.in_a_child]

SHAPES = {
    "ResNet's": shape((1, 64, 67), (3, 64)),
    "two images, odd, ragged filters": shape((2, 45, 37), (3, 70)),
    "grey, ceil mode": shape((1, 30, 43), (1, 33), ceil_mode=True, relu=False),
    "four channels, 2x2 pool": shape((1, 31, 70), (4, 24), Window.of(3, 1, 1), Window.of(2, 2)),
    "not square": shape((2, 29, 40), (2, 9), Window.of((2, 8), (3, 2), (1, 0)), Window.of((3, 2), (1, 3), (1, 0))),
    "stride 3, wide pool": shape((1, 50, 70), (3, 40), Window.of((1, 6), (1, 3), (0, 3)), Window.of((9, 5), 2, 2)),
    "smaller than a window": shape((3, 3, 2), (2, 8)),
    "first window a row below the first tile": shape((1, 40, 21), (3, 8), pool=Window.of((9, 2), 2)),
    "pool with gaps": shape((1, 40, 40), (3, 16), Window.of(4, 2), Window.of(2, 3), relu=False),
}
ELEMENT_NAMES = ("float16", "bfloat16", "tf32")


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("element", ELEMENT_NAMES)
def test_integers_bit_for_bit(element: str, name: str) -> None:
    for turn, pixels in enumerate((False, True)):
        case = Case(SHAPES[name], ELEMENTS[element], pixels, seed=turn)
        for tile in (Tile(1 + turn), Tile(64)):
            pooled_stems.check(stem_mma_pool, case, tile)


@pytest.mark.parametrize("pixels", [False, True], ids=["float32", "pixels"])
@pytest.mark.parametrize("element", ELEMENT_NAMES)
def test_the_very_bits_of_three_kernels(element: str, pixels: bool) -> None:
    for name in ("two images, odd, ragged filters", "grey, ceil mode", "not square"):
        case = Case(SHAPES[name], ELEMENTS[element], pixels, exact=False, nan=not pixels)
        assert np.array_equal(
            pooled_stems.run(stem_mma_pool, case, Tile(4)).view(np.uint8), pooled_stems.chain(case).view(np.uint8)
        )


@pytest.mark.parametrize("how", emulator.EVERY_WAY, ids=lambda how: "-".join(how.values()))
def test_exact_whatever_the_schedule(how: dict[str, str]) -> None:
    for pixels in (False, True):
        case = Case(SHAPES["two images, odd, ragged filters"], ELEMENTS["float16"], pixels)
        pooled_stems.check(stem_mma_pool, case, Tile(5), **how)


@pytest.mark.parametrize("capability", [75, 80])
def test_older_gpus(capability: int) -> None:
    case = Case(SHAPES["ResNet's"], ELEMENTS["float16"], pixels=True)
    pooled_stems.check(stem_mma_pool, case, Tile(7), capability=capability, architecture=capability)


# ---- what the launcher says

RESNETS = shape((1, 224, 224), (3, 64))


@pytest.mark.parametrize("element", ELEMENT_NAMES)
def test_resnets_stem_fits_every_architecture(element: str) -> None:
    first = 75 if element == "float16" else 80
    for capability in (first, 80, 86, 90, 120):
        assert stem_mma_pool.supports(RESNETS, ELEMENTS[element], capability)


def test_what_stays_three_kernels() -> None:
    half = ELEMENTS["float16"]
    for wrong in (
        shape((1, 32, 32), (8, 8), Window.of(3, 1, 1)),
        shape((1, 32, 32), (3, 8), Window.of(11, 4, 2)),
        shape((1, 32, 32), (3, 8), pool=Window.of(3, 2, 1, 2)),
        shape((1, 64, 64), (3, 8), pool=Window.of((10, 3), 2, 1)),
        shape((1, 64, 64), (3, 8), pool=Window.of((3, 17), 2, 1)),
        shape((1, 320, 320), (3, 8), Window.of(7, 32, 3)),
    ):
        assert not stem_mma_pool.supports(wrong, half, 90), wrong
    assert not stem_mma_pool.supports(RESNETS, ELEMENTS["float32"], 90)
    assert not stem_mma_pool.supports(RESNETS, ELEMENTS["bfloat16"], 75)


def test_long_bands_where_there_are_images_enough() -> None:
    half, gpu = ELEMENTS["float16"], Processor("NVIDIA H200", 90, 132)

    def rows(images: int) -> int:
        found = conv2d_max_pool2d.candidates(shape((images, 224, 224), (3, 64)), half, gpu, has_pixels=True)
        card = cost.card_of(gpu.name, gpu.multiprocessors)
        return min(found, key=lambda one: cost.predicted_us(one.work(half, 90), card)).tile.rows

    assert rows(256) > 14 > rows(1)


# ---- planted faults

OTHER_KERNELS = [  # left out, so that there is less to compile
    ("STEM_MMA_POOL(stem_mma_pool_32, 32, 0, true)\n", ""),
    ("STEM_MMA_POOL(stem_mma_pool_32_apart, 32, 0, false)\n", ""),
]
SYNC = "__syncthreads();  // "
FAULTS = {
    "a patch read before it is written": (f"{SYNC}the patch is there", f"if (!PLANTED) {SYNC}the patch is there"),
    "rows pooled before they are written": (f"{SYNC}the rows", f"if (!PLANTED) {SYNC}the rows"),
    "a table read before it is filled": (f"{SYNC}the table", f"if (!PLANTED) {SYNC}the table"),
    "0 instead of -infinity": ("__uint_as_float(0xFF800000u)", "__uint_as_float(PLANTED ? 0 : 0xFF800000u)"),
    "NaN loses": ("|| value != value", "|| (value != value && !PLANTED)"),
    "a halo of one row too few": (
        "% (height + pool.KH - 1) *",
        "% (height + pool.KH - (PLANTED ? 2 : 1)) *",
    ),
    "rows pooled that are not there yet": (
        "computed - pool.KH + pool.padding_h",
        "computed - pool.KH + pool.padding_h + (PLANTED ? 1 : 0)",
    ),
    "bias of other filters": ("? bias[first + k]", "? bias[PLANTED ? k : first + k]"),
    "no ReLU": ("sums[j][2 * half] + b.x, activation", "sums[j][2 * half] + b.x, PLANTED ? 0 : activation"),
    "pixels of another channel": ("table[c * 256 + first[c]]", "table[c * 256 + first[PLANTED ? 0 : c]]"),
    "planes of another image": ("x + n * conv.C * plane", "x + (PLANTED ? 0 : n) * conv.C * plane"),
    "a halo off by one column": (
        "left = q * pool.stride_w - pool.padding_w;",
        "left = q * pool.stride_w - (PLANTED ? pool.padding_h : pool.padding_w);",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str) -> None:
    with faults.caught():
        check_every_way(faults.number(FAULTS, fault))


def test_without_a_fault_nothing_is_caught() -> None:
    check_every_way(planted=0)


def check_every_way(planted: int) -> None:
    """More rows than the ring has, filters beyond a block, padding of one axis."""
    pool = Window.of((3, 2), (1, 2), (1, 0))
    how: dict[str, Any] = {"edits": (*OTHER_KERNELS, *faults.edits_of(FAULTS)), "planted": planted}
    shapes = [shape((2, 37, 35), (3, 70), Window.of((3, 7), 2, (1, 3)), pool, relu=relu) for relu in (False, True)]
    for way in emulator.EVERY_WAY:
        for turn, pixels in enumerate((False, True)):
            case = Case(shapes[turn], ELEMENTS["float16"], pixels, nan=not pixels)
            pooled_stems.check(stem_mma_pool, case, Tile(16), **how, **way)
