"""Max, average and global average pool under the emulator, against npresnet.ops."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from npresnet import ops
from npresnet.cuda.elements import ELEMENTS, Element, restore, store
from npresnet.cuda.launchers import avg_pool2d, global_avg_pool, max_pool2d
from npresnet.cuda.shapes import PoolShape
from npresnet.window import Window
from tests.cuda import faults
from tests.emulator import emulator, memory

pytestmark = [emulator.needed, pytest.mark.in_a_child]

# tf32 is stored as float32 is, and these kernels multiply nothing: the same program
every_storage = pytest.mark.parametrize(
    "element", [ELEMENTS[name] for name in ("float32", "float16", "bfloat16")], ids=lambda element: element.name
)
CHANNELS = (1, 3, 7, 16, 33, 72)
WINDOWS = {
    "ResNet's": Window.of(3, 2, 1),
    "average of a downsample": Window.of(2, 2),
    "not square": Window.of((3, 2), (1, 3), (1, 0)),
    "wide": Window.of(5, 3, 2),
}
DILATED = Window.of(3, (1, 2), 1, 2)


def images(shape: PoolShape, element: Element, seed: int = 0) -> np.ndarray:
    """Small integers, (N, H, W, C): their sums are exact. All below 0, so that a 0 from outside would win."""
    drawn = np.random.default_rng(seed).integers(-40, 0, shape[:4])
    return store(drawn.astype(np.float64), element)


def run_pool(launcher: ModuleType, shape: PoolShape, element: Element, x: np.ndarray, **how: Any) -> np.ndarray:
    """(N, C, OH, OW) float32, as ops gives it."""
    x, y = memory.guarded(x), memory.poisoned((shape.images, *shape.out_size, shape.channels), element.storage)
    emulator.run(launcher.launches(shape, element, x=x.ctypes.data, y=y.ctypes.data), **how)
    memory.check_guards(x, y)
    return restore(y, element).transpose(0, 3, 1, 2)


def right_max(shape: PoolShape, element: Element, x: np.ndarray) -> np.ndarray:
    window = shape.window
    return ops.max_pool2d(
        restore(x, element).transpose(0, 3, 1, 2),
        window.kernel_size,
        stride=window.stride,
        padding=window.padding,
        dilation=window.dilation,
        ceil_mode=shape.ceil_mode,
    )


def right_avg(shape: PoolShape, element: Element, x: np.ndarray) -> np.ndarray:
    """ops in float32, rounded once to what y can hold: the sums are exact, and a division is one rounding."""
    window = shape.window
    mean = ops.avg_pool2d(
        restore(x, element).transpose(0, 3, 1, 2),
        window.kernel_size,
        stride=window.stride,
        padding=window.padding,
        ceil_mode=shape.ceil_mode,
        count_include_pad=shape.count_include_pad,
    )
    return mean if element.item_bytes == 4 else restore(store(mean, element), element)


@pytest.mark.parametrize("channels", CHANNELS)
@every_storage
def test_max_pool(element: Element, channels: int) -> None:
    for number, window in enumerate((*WINDOWS.values(), DILATED)):
        shape = PoolShape(2, 7, 10, channels, window, ceil_mode=number % 2 == 1)
        x = images(shape, element)
        assert np.array_equal(run_pool(max_pool2d, shape, element, x), right_max(shape, element, x))


@pytest.mark.parametrize("channels", [3, 16])
@pytest.mark.parametrize("element", ["float32", "float16", "bfloat16"])
def test_nan_wins(element: str, channels: int) -> None:
    kind = ELEMENTS[element]
    for window in (WINDOWS["ResNet's"], WINDOWS["wide"]):
        shape = PoolShape(2, 7, 9, channels, window)
        x = restore(images(shape, kind), kind)
        x[1, 3, 4, channels - 1] = np.nan
        x[0, 0, 0, 0], x[0, 6, 8, 0] = np.inf, -np.inf
        x = store(x, kind)
        y = run_pool(max_pool2d, shape, kind, x)
        assert np.isnan(y[1, channels - 1]).any()
        assert np.array_equal(y, right_max(shape, kind, x), equal_nan=True)


@pytest.mark.parametrize("channels", CHANNELS)
@every_storage
def test_avg_pool(element: Element, channels: int) -> None:
    for number, window in enumerate(WINDOWS.values()):
        for counted in (True, False):
            shape = PoolShape(2, 8, 9, channels, window, number % 2 == 0, counted)
            x = images(shape, element)
            assert np.array_equal(run_pool(avg_pool2d, shape, element, x), right_avg(shape, element, x))


@pytest.mark.parametrize("size", [(7, 7), (1, 1), (5, 3), (8, 20)])
@every_storage
def test_global_avg_pool(element: Element, size: tuple[int, int]) -> None:
    for channels in CHANNELS:
        shape = PoolShape(3, *size, channels, Window.of(1))
        x = images(shape, element)
        mean = ops.global_avg_pool(restore(x, element).transpose(0, 3, 1, 2))[:, :, 0, 0]
        right = mean if element.item_bytes == 4 else restore(store(mean, element), element)
        assert np.array_equal(run_global(shape, element, x), right)


@pytest.mark.parametrize("how", emulator.EVERY_WAY, ids=lambda how: "-".join(how.values()))
def test_global_avg_pool_whatever_the_schedule(how: dict[str, str]) -> None:
    """Bit for bit, also where sums are rounded: the order of additions is fixed."""
    shape, element = PoolShape(2, 7, 7, 40, Window.of(1)), ELEMENTS["float32"]
    x = np.random.default_rng(1).standard_normal(shape[:4]).astype(np.float32)
    y = run_global(shape, element, x, **how)
    assert np.array_equal(y, run_global(shape, element, x))
    wide = x.astype(np.float64).mean(axis=(1, 2))
    assert np.abs(y - wide).max() <= 49 * 2.0**-24 * np.abs(x).mean(axis=(1, 2)).max()


def run_global(shape: PoolShape, element: Element, x: np.ndarray, **how: Any) -> np.ndarray:
    x, y = memory.guarded(x), memory.poisoned((shape.images, shape.channels), element.storage)
    launches = global_avg_pool.launches(
        shape.images, shape.height * shape.width, shape.channels, element, x=x.ctypes.data, y=y.ctypes.data
    )
    emulator.run(launches, **how)
    memory.check_guards(x, y)
    return restore(y, element)


OTHER_KERNELS = [  # left out where a fault is planted, so that there is less to compile
    ("MAX_POOL2D(max_pool2d_vector_3x3, VECTOR, 3, 3)\n", ""),
    ("MAX_POOL2D(max_pool2d_vector, VECTOR, 0, 0)\n", ""),
]
MAX_FAULTS = {
    "0 instead of -infinity": ("__uint_as_float(0xFF800000u)", "__uint_as_float(PLANTED ? 0 : 0xFF800000u)"),
    "NaN loses": (" || value != value", " || (value != value && !PLANTED)"),
    "dilation forgotten": ("s * pool.dilation_w", "s * (PLANTED ? 1 : pool.dilation_w)"),
    "height for width": ("(unsigned)w < (unsigned)pool.W", "(unsigned)w < (unsigned)(PLANTED ? pool.H : pool.W)"),
}


@pytest.mark.parametrize("fault", MAX_FAULTS)
def test_a_fault_in_max_pool_is_caught(fault: str) -> None:
    assert not max_pool_is_right(faults.number(MAX_FAULTS, fault))


def test_without_a_fault_max_pool_is_right() -> None:
    assert max_pool_is_right(planted=0)


def max_pool_is_right(planted: int) -> bool:
    shape, element = PoolShape(1, 7, 9, 3, DILATED), ELEMENTS["float32"]
    x = images(shape, element)
    x[0, 3, 5, 1] = np.nan  # the dilated windows see odd columns
    edits = (*OTHER_KERNELS, *faults.edits_of(MAX_FAULTS))
    y = run_pool(max_pool2d, shape, element, x, edits=edits, planted=planted)
    return np.array_equal(y, right_max(shape, element, x), equal_nan=True)


AVG_FAULTS = {
    "count_include_pad ignored": ("include_padding ? padding : 0", "include_padding || PLANTED ? padding : 0"),
    "count_include_pad always off": ("int border = include_padding", "int border = !PLANTED && include_padding"),
    "beyond the far padding counted": (
        "min(first + window, size + border)",
        "min(first + window, PLANTED ? first + window : size + border)",
    ),
}


@pytest.mark.parametrize("fault", AVG_FAULTS)
def test_a_fault_in_avg_pool_is_caught(fault: str) -> None:
    assert wrong_averages(faults.number(AVG_FAULTS, fault)) > 0


def test_without_a_fault_avg_pool_is_right() -> None:
    assert wrong_averages(planted=0) == 0


def wrong_averages(planted: int) -> int:
    """How often a result is wrong, where padding counts and where it does not."""
    element, wrong = ELEMENTS["float32"], 0
    for counted in (True, False):
        shape = PoolShape(1, 8, 9, 3, WINDOWS["ResNet's"], ceil_mode=True, count_include_pad=counted)
        x = images(shape, element)
        y = run_pool(avg_pool2d, shape, element, x, edits=faults.edits_of(AVG_FAULTS), planted=planted)
        wrong += not np.array_equal(y, right_avg(shape, element, x))
    return wrong


def test_a_missing_barrier_in_global_avg_pool_is_caught() -> None:
    shape, element = PoolShape(1, 5, 5, 3, Window.of(1)), ELEMENTS["float32"]
    x = images(shape, element)
    edits = (("    __syncthreads();  // the rows below have written what is added here\n", ""),)
    right = run_global(shape, element, x)
    results = [run_global(shape, element, x, edits=edits, **how) for how in emulator.EVERY_WAY]
    assert any(not np.array_equal(y, right) for y in results)
