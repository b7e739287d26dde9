"""The stem and its pool by wgmma from raw pixels: exact on integers, and faults that must be caught."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from npresnet.cuda.elements import ELEMENTS, restore
from npresnet.cuda.launchers import stem_wgmma_pool
from npresnet.cuda.launchers.stem_pool import Tile
from npresnet.window import Window
from tests.cuda import faults, pooled_stems
from tests.cuda.pooled_stems import Case, shape
from tests.emulator import emulator

pytestmark = [emulator.needed, pytest.mark.in_a_child]

HALF = ELEMENTS["float16"]
SHAPES = {
    "a whole row": shape((1, 19, 224), (3, 64)),
    "two images, odd, ragged filters": shape((2, 33, 37), (3, 70)),
    "two pieces, grey": shape((1, 14, 243), (1, 32), relu=False),
    "four channels, five columns, strides": shape((2, 29, 41), (4, 16), Window.of((7, 5), (3, 2), (1, 0))),
    "smaller than a window": shape((3, 3, 2), (2, 8)),
    "eight columns, ceil mode": shape((1, 21, 42), (3, 24), Window.of((7, 8), (1, 2), 3), ceil_mode=True),
}


@pytest.mark.parametrize("element", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", SHAPES)
def test_integers_bit_for_bit(name: str, element: str) -> None:
    for turn, pixels in enumerate((False, True)):
        case = Case(SHAPES[name], ELEMENTS[element], pixels, seed=turn)
        for tile in (Tile(1 + turn), Tile(64)):
            pooled_stems.check(stem_wgmma_pool, case, tile)


@pytest.mark.parametrize("how", emulator.EVERY_WAY, ids=lambda how: "-".join(how.values()))
def test_exact_whatever_the_schedule(how: dict[str, str]) -> None:
    for pixels in (False, True):
        case = Case(SHAPES["two images, odd, ragged filters"], HALF, pixels)
        pooled_stems.check(stem_wgmma_pool, case, Tile(5), **how)


@pytest.mark.parametrize("pixels", [False, True], ids=["float32", "pixels"])
def test_as_three_kernels_but_for_the_order_of_sums(pixels: bool) -> None:
    case = Case(SHAPES["two images, odd, ragged filters"], HALF, pixels, exact=False)
    fused, apart = pooled_stems.run(stem_wgmma_pool, case, Tile(4)), pooled_stems.chain(case)
    found, right = restore(fused, HALF), restore(apart, HALF)
    error = np.abs(found - right)
    assert error.max() <= 2.0**-10 * np.abs(right).max()
    assert np.linalg.norm(error) <= 2.0**-13 * np.linalg.norm(right)


def test_nan_is_where_three_kernels_have_it() -> None:
    case = Case(SHAPES["two images, odd, ragged filters"], HALF, nan=True)
    found = pooled_stems.run(stem_wgmma_pool, case, Tile(4))
    assert np.isnan(restore(found, HALF)[0]).any()
    assert np.array_equal(found.view(np.uint16), pooled_stems.chain(case).view(np.uint16))


def test_what_it_takes() -> None:
    whole = shape((256, 224, 224), (3, 64))
    assert stem_wgmma_pool.supports(whole, HALF, 90)
    for capability in (80, 89, 100, 120):
        assert not stem_wgmma_pool.supports(whole, HALF, capability)
    for element in ("tf32", "float32"):
        assert not stem_wgmma_pool.supports(whole, ELEMENTS[element], 90)
    for other in (
        shape((1, 64, 64), (8, 64)),
        shape((1, 64, 64), (3, 64), Window.of(7, 1, 3)),
        shape((1, 64, 64), (3, 64), Window.of((7, 3), 2, 1)),
        shape((1, 64, 64), (3, 64), Window.of((5, 7), 2, 1)),
        shape((1, 64, 64), (3, 64), pool=Window.of(2, 2)),
        shape((1, 64, 64), (3, 64), pool=Window.of(3, 2)),
        shape((1, 64, 64), (3, 64), ceil_mode=True),
    ):
        assert not stem_wgmma_pool.supports(other, HALF, 90), other


def test_pack_is_chunks_of_64_filters() -> None:
    weight = np.random.default_rng(0).integers(-9, 9, (70, 3, 7, 6)).astype(np.float64)
    packed = stem_wgmma_pool.pack(weight, HALF)
    assert packed.shape == (2, 28, 64, 8)
    assert packed[1, 4 * 2 + 1, 3, 4 + 2] == weight[67, 2, 2, 3]
    assert not packed[1, :, 6:].any()


# ---- planted faults

SYNC = "__syncthreads();  // "
FAULTS = {
    "the table read before it is filled": (f"{SYNC}the table", f"if (!PLANTED) {SYNC}the table"),
    "pixels multiplied before all are there": (f"{SYNC}pixels and", f"if (!PLANTED) {SYNC}pixels and"),
    "no proxy fence for the first rows": ("fence_async_proxy();  // of", "if (!PLANTED) fence_async_proxy();  // of"),
    "no proxy fence for the next row": ("fence_async_proxy();  // for", "if (!PLANTED) fence_async_proxy();  // for"),
    "a pooled row staged before the one above is stored": (
        "if (complete && i % 2 == 0) __syncthreads();",
        "if (complete && i % 2 == 0 && !PLANTED) __syncthreads();",
    ),
    "no wgmma fence": ("wgmma_fence();\n    multiply_row", "if (!PLANTED) wgmma_fence();\n    multiply_row"),
    "sums looked at too early": ("wgmma_wait<0>();", "if (!PLANTED) wgmma_wait<0>();"),
    "a ring of a row too few": ("% (KH + conv.stride_h);", "% (KH + conv.stride_h - (PLANTED ? 1 : 0));"),
    "0 instead of -infinity beside the image": (
        "columns) sums[i] = __uint_as_float(0xFF800000u);",
        "columns) sums[i] = __uint_as_float(PLANTED ? 0 : 0xFF800000u);",
    ),
    "0 instead of -infinity above the image": (
        "best[i] = __uint_as_float(0xFF800000u);",
        "best[i] = __uint_as_float(PLANTED ? 0 : 0xFF800000u);",
    ),
    "0 instead of -infinity left of the image": (
        "i < 2 ? __uint_as_float(0xFF800000u)",
        "i < 2 ? __uint_as_float(PLANTED ? 0 : 0xFF800000u)",
    ),
    "a halo off by one": ("left = piece * (COLUMNS - 2);", "left = piece * (COLUMNS - (PLANTED ? 0 : 2));"),
    "a row of the halo forgotten": ("top = max(2 * p - 1, 0)", "top = max(2 * p - (PLANTED ? 0 : 1), 0)"),
    "the column before of another filter": ("before = lane / 4", "before = (PLANTED ? 0 : lane / 4)"),
    "chunks of the weights swapped": ("4 * r + 2 * half)", "4 * r + 2 * (PLANTED ? 1 - half : half))"),
    "windows 32 bytes apart": ("pixels + 32 * half, 16, 128)", "pixels + 32 * half, 16, PLANTED ? 256 : 128)"),
    "bias of the other filter": ("bias[i % 2], activation", "bias[PLANTED ? 0 : i % 2], activation"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str) -> None:
    with faults.caught():
        check_every_way(faults.number(FAULTS, fault))


def test_without_a_fault_nothing_is_caught() -> None:
    check_every_way(planted=0)


def check_every_way(planted: int) -> None:
    """Two pieces, two bands of two pooled rows, an odd number of rows, numbers below 0; pixels and float32."""
    how: dict[str, Any] = {"edits": faults.edits_of(FAULTS), "planted": planted}
    stem = shape((1, 17, 241), (3, 24), Window.of(7, 2, (1, 3)), relu=False)
    for turn, way in enumerate(emulator.EVERY_WAY):
        pooled_stems.check(stem_wgmma_pool, Case(stem, HALF, pixels=turn % 2 == 0), Tile(2), **how, **way)
