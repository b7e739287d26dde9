"""Preprocessing and changes of layout under the emulator: the CPU's very numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from npresnet import images
from npresnet.cuda.elements import ELEMENTS, Element, restore, store
from npresnet.cuda.launchers import layout, preprocess
from npresnet.images import Preprocess
from tests.cuda import faults
from tests.emulator import emulator, memory

pytestmark = [emulator.needed, pytest.mark.in_a_child]

HOWS = {
    "colour": Preprocess(resize=None, crop=None),
    "other numbers": Preprocess(resize=None, crop=None, mean=(0.5, 0.1, 1 / 3), std=(0.7, 0.3, 1e-3)),
    "grey": Preprocess(resize=None, crop=None, mean=(0.4,), std=(0.3,)),
}


def pictures(how: Preprocess) -> np.ndarray:
    """Two pictures with all 256 values in each channel: (N, H, W, channels) uint8."""
    values = np.arange(2 * 17 * 19 * how.channels) * 7 % 256
    return values.reshape(2, 17, 19, how.channels).astype(np.uint8)


def run_preprocess(
    x: np.ndarray, how: Preprocess, padded: int, element: Element, edits: emulator.Edits = (), planted: int = 0
) -> np.ndarray:
    x, y = memory.guarded(x), memory.poisoned((*x.shape[:3], padded), element.storage)
    pixels = int(np.prod(x.shape[:3]))
    emulator.run(
        preprocess.launches(pixels, how.mean, how.std, padded, element, x=x.ctypes.data, y=y.ctypes.data),
        edits=edits,
        planted=planted,
    )
    memory.check_guards(x, y)
    return restore(y, element)


def on_the_cpu(x: np.ndarray, how: Preprocess) -> np.ndarray:
    """(N, H, W, channels) float32, by npresnet.images."""
    sources = x if how.channels == 3 else np.repeat(x, 3, axis=3)  # a grey network reads a colour picture's brightness
    return np.concatenate([images.preprocess(picture, how) for picture in sources]).transpose(0, 2, 3, 1)


@pytest.mark.parametrize(
    ("name", "padded"),
    [(name, padded) for name, how in HOWS.items() for padded in preprocess.PADDED_CHANNELS if padded >= how.channels],
)
@pytest.mark.parametrize(
    "element", [ELEMENTS[name] for name in ("float32", "float16", "bfloat16")], ids=lambda e: e.name
)
def test_the_cpus_very_bits(element: Element, name: str, padded: int) -> None:
    how = HOWS[name]
    x = pictures(how)
    y = run_preprocess(x, how, padded, element)
    right = on_the_cpu(x, how)
    if element.item_bytes == 2:
        right = restore(store(right, element), element)
    assert np.array_equal(y[..., : how.channels].view(np.uint32), right.view(np.uint32))
    assert not y[..., how.channels :].any()


OTHER_ARITHMETIC = {
    "times a rounded 1/255": ("/ 255.f", "/ (PLANTED ? 1.f : 255.f) * (PLANTED ? 1 / 255.f : 1.f)"),
    "times a rounded 1/std": (
        "- how.mean[c]) / how.std[c]",
        "- how.mean[c]) / (PLANTED ? 1.f : how.std[c]) * (PLANTED ? 1 / how.std[c] : 1.f)",
    ),
    "BGR": ("* how.channels + c]", "* how.channels + (PLANTED ? 2 - c : c)]"),
}


@pytest.mark.parametrize("fault", OTHER_ARITHMETIC)
def test_other_arithmetic_is_noticed(fault: str) -> None:
    assert not is_the_cpus(faults.number(OTHER_ARITHMETIC, fault))


def test_without_a_fault_the_arithmetic_is_the_cpus() -> None:
    assert is_the_cpus(planted=0)


def is_the_cpus(planted: int) -> bool:
    how, element = HOWS["colour"], ELEMENTS["float32"]
    x, edits = pictures(how), faults.edits_of(OTHER_ARITHMETIC)
    return np.array_equal(run_preprocess(x, how, 4, element, edits, planted)[..., :3], on_the_cpu(x, how))


SIZES = [(1, 3, 50, 4), (2, 3, 300, 8), (2, 1, 9, 4), (3, 4, 33, 4), (2, 33, 31, 40), (1, 7, 1, 7), (2, 64, 49, 64)]


def numbers(*size: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(size).astype(np.float32)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("element", ["float32", "float16", "bfloat16"])
def test_images_in(element: str, size: tuple[int, int, int, int]) -> None:
    (N, C, L, P), kind = size, ELEMENTS[element]
    x, y = memory.guarded(numbers(N, C, L)), memory.poisoned((N, L, P), kind.storage)
    emulator.run(layout.nchw_to_nhwc(*size, kind, x=x.ctypes.data, y=y.ctypes.data))
    memory.check_guards(x, y)
    assert np.array_equal(y[..., :C], store(x.transpose(0, 2, 1), kind))
    assert not y[..., C:].any()


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("element", ["float32", "float16", "bfloat16"])
def test_features_out(element: str, size: tuple[int, int, int, int]) -> None:
    N, C, L, P = size
    kind = ELEMENTS[element]
    y = run_out(kind, size)
    assert np.array_equal(y, restore(features(kind, size), kind)[..., :C].transpose(0, 2, 1))


def features(element: Element, size: tuple[int, int, int, int]) -> np.ndarray:
    N, _, L, P = size
    return store(numbers(N, L, P), element)


def run_out(
    element: Element, size: tuple[int, int, int, int], edits: tuple[tuple[str, str], ...] = (), **how: Any
) -> np.ndarray:
    N, C, L, _ = size
    x, y = memory.guarded(features(element, size)), memory.poisoned((N, C, L), np.float32)
    emulator.run(layout.nhwc_to_nchw(*size, element, x=x.ctypes.data, y=y.ctypes.data), edits=edits, **how)
    memory.check_guards(x, y)
    return y


OTHER_KERNELS = [  # left out where a fault is planted, so that there is less to compile
    ("NCHW_TO_NHWC_PIXEL(nchw_to_nhwc_pixel_4, 4)\n", ""),
    ("NCHW_TO_NHWC_PIXEL(nchw_to_nhwc_pixel_8, 8)\n", ""),
]
FAULTS = {
    "read before it is written": (
        "__syncthreads();\n#pragma unroll\n  for (int row = threadIdx.y; row < TILE; row += ROWS) {\n    int c =",
        "if (!PLANTED) __syncthreads();\n  for (int row = threadIdx.y; row < TILE; row += ROWS) {\n    int c =",
    ),
    "another stride": (
        "to_float(x[((size_t)n * L + p) * P + c])",
        "to_float(x[((size_t)n * L + p) * (PLANTED ? C : P) + c])",
    ),
    "no transposition": (
        "* L + p] = tile[threadIdx.x][row]",
        "* L + p] = PLANTED ? tile[row][threadIdx.x] : tile[threadIdx.x][row]",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_on_the_way_out_is_caught(fault: str) -> None:
    with faults.caught():
        check_every_way(faults.number(FAULTS, fault))


def test_without_a_fault_nothing_is_caught() -> None:
    check_every_way(planted=0)


@pytest.mark.parametrize("how", emulator.EVERY_WAY, ids=lambda how: "-".join(how.values()))
def test_features_out_whatever_the_schedule(how: dict[str, str]) -> None:
    size, element = (2, 33, 31, 40), ELEMENTS["float32"]
    assert np.array_equal(run_out(element, size, **how), features(element, size)[..., :33].transpose(0, 2, 1))


def check_every_way(planted: int) -> None:
    size, element, edits = (2, 33, 31, 40), ELEMENTS["float32"], (*OTHER_KERNELS, *faults.edits_of(FAULTS))
    for how in emulator.EVERY_WAY:
        y = run_out(element, size, edits, planted=planted, **how)
        assert np.array_equal(y, features(element, size)[..., :33].transpose(0, 2, 1))
