"""The fully connected kernels under the emulator, against npresnet.ops."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from npresnet import ops
from npresnet.cuda.activation import RELU
from npresnet.cuda.elements import ELEMENTS, Element, restore, store
from npresnet.cuda.launchers import linear, linear_mma, linear_tile, linear_warp
from npresnet.cuda.shapes import LinearShape
from tests.cuda import activations, faults
from tests.emulator import emulator, memory

pytestmark = [emulator.needed, pytest.mark.in_a_child]

KERNELS = (linear_warp, linear_tile, linear_mma)
SHAPES = (
    LinearShape(1, 512, 10),
    LinearShape(1, 2048, 33, RELU),
    LinearShape(3, 7, 33),
    LinearShape(33, 64, 40, RELU),
    LinearShape(65, 40, 5),
    LinearShape(2, 1, 1),
    LinearShape(40, 328, 70),  # 8 warps take unequal shares of its channels
)


def numbers(shape: LinearShape, element: Element, exact: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x (N, C) and weight (O, C) as stored, bias (O,) float32."""
    rng = np.random.default_rng(shape.images)

    def draw(*size: int) -> np.ndarray:
        return rng.integers(-3, 4, size).astype(np.float64) if exact else rng.standard_normal(size)

    N, C, O, _ = shape  # noqa: E741  out_features
    return store(draw(N, C), element), store(draw(O, C), element), draw(O).astype(np.float32)


def run_linear(
    launcher: ModuleType, shape: LinearShape, element: Element, arrays: tuple[np.ndarray, ...], **how: Any
) -> np.ndarray:
    x, weight, bias = buffers = [memory.guarded(array) for array in arrays]
    y = memory.poisoned((shape.images, shape.out_features), np.float32)
    addresses = {name: array.ctypes.data for name, array in zip(("x", "weight", "bias"), buffers, strict=True)}
    emulator.run(launcher.launches(shape, element, **addresses, y=y.ctypes.data), **how)
    memory.check_guards(x, weight, bias, y)
    return y


def right(shape: LinearShape, element: Element, arrays: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The layer in float64, and how far float32 sums in any order may be from it; see conv_cases.expected."""
    x, weight = (restore(array, element).astype(np.float64) for array in arrays[:2])
    bias = arrays[2].astype(np.float64)
    values = ops.linear(x, weight, bias)
    slack = ops.linear(np.abs(x), np.abs(weight), np.abs(bias)) * (shape.in_features + 1) * 2.0**-23
    return ops.relu(values) if shape.activation == RELU else values, slack


def supported(launcher: ModuleType, shape: LinearShape, element: Element) -> bool:
    return launcher is not linear_mma or linear_mma.supports(shape, element, 80)


@pytest.mark.parametrize("launcher", KERNELS, ids=lambda module: module.__name__.split(".")[-1])
@pytest.mark.parametrize("element", ELEMENTS.values(), ids=str)
def test_integers_bit_for_bit(launcher: ModuleType, element: Element) -> None:
    for shape in SHAPES:
        if supported(launcher, shape, element):
            arrays = numbers(shape, element, exact=True)
            values, _ = right(shape, element, arrays)
            assert np.array_equal(run_linear(launcher, shape, element, arrays), values), shape


@pytest.mark.parametrize("how", emulator.EVERY_WAY, ids=lambda how: "-".join(how.values()))
@pytest.mark.parametrize("launcher", KERNELS, ids=lambda module: module.__name__.split(".")[-1])
def test_close_to_float64_and_the_same_bits_whatever_the_schedule(launcher: ModuleType, how: dict[str, str]) -> None:
    shape = LinearShape(34, 296, 37)
    for element in (ELEMENTS["float32"], ELEMENTS["float16"]):
        if supported(launcher, shape, element):
            arrays = numbers(shape, element, exact=False)
            values, slack = right(shape, element, arrays)
            y = run_linear(launcher, shape, element, arrays, **how)
            assert (np.abs(y - values) <= slack).all()
            assert np.array_equal(y, run_linear(launcher, shape, element, arrays))


@pytest.mark.parametrize("launcher", KERNELS, ids=lambda module: module.__name__.split(".")[-1])
def test_nan_stays_in_its_image(launcher: ModuleType) -> None:
    shape, element = LinearShape(35, 64, 9, RELU), ELEMENTS["float16"]
    x, weight, bias = numbers(shape, element, exact=True)
    x[1, 5] = np.nan
    y = run_linear(launcher, shape, element, (x, weight, bias))
    assert np.isnan(y[1]).all()
    assert not np.isnan(np.delete(y, 1, axis=0)).any()


@pytest.mark.parametrize("launcher", KERNELS, ids=lambda module: module.__name__.split(".")[-1])
def test_every_activation(launcher: ModuleType) -> None:
    """Of exact sums, in float32 whatever the element."""
    element = ELEMENTS["float16"]
    for name in activations.EVERY:
        shape = LinearShape(35, 64, 9, activations.of(name))
        arrays = numbers(shape, element, exact=True)
        arrays[0][...] = store(restore(arrays[0], element) / 8, element)  # sums of a few units
        values, _ = right(shape._replace(activation=activations.of(None)), element, arrays)
        y = run_linear(launcher, shape, element, arrays)
        activations.assert_applied(y, values.astype(np.float32), name, ELEMENTS["float32"])


def test_which_kernel() -> None:
    def kernel(shape: LinearShape, element: str, capability: int) -> str:
        (launch,) = linear.launches(shape, ELEMENTS[element], capability, x=0, weight=0, bias=0, y=0)
        return launch.kernel

    many, ragged = LinearShape(128, 2048, 1000), LinearShape(128, 2047, 1000)
    assert kernel(LinearShape(1, 2048, 1000), "float16", 90) == "linear_warp_vector"
    assert kernel(LinearShape(1, 2047, 1000), "float16", 90) == "linear_warp_scalar"
    assert [kernel(many, name, 90) for name in ELEMENTS] == ["linear_tile"] + ["linear_mma"] * 3
    assert [kernel(many, name, 75) for name in ELEMENTS] == ["linear_tile", "linear_tile", "linear_mma", "linear_tile"]
    assert kernel(ragged, "float16", 90) == "linear_tile"


FAULTS = {
    linear_tile: {
        "read before it is written": (
            "__syncthreads();\n    multiply_slice",
            "if (!PLANTED) __syncthreads();\n    multiply_slice",
        ),
        "overwritten while others read": (
            "__syncthreads();  // the next slice overwrites what others may still read",
            "if (!PLANTED) __syncthreads();",
        ),
    },
    linear_mma: {
        "partial sums read before they are written": (
            "__syncthreads();\n  for (int item",
            "if (!PLANTED) __syncthreads();\n  for (int item",
        ),
        "words of a chunk in another order": ("b[j].x, b[j].y", "b[j].x, PLANTED ? b[j].z : b[j].y"),
        "rows of the upper half twice": ("&lower = a[2 * i + 1]", "&lower = a[2 * i + !PLANTED]"),
    },
    linear_warp: {
        "lanes 16 apart not added": ("int lanes = 16;", "int lanes = PLANTED ? 8 : 16;"),
        "bias of another output": ("sum += bias[o]", "sum += bias[PLANTED ? 0 : o]"),
    },
}


@pytest.mark.parametrize(
    ("launcher", "fault"), [(launcher, fault) for launcher in FAULTS for fault in FAULTS[launcher]]
)
def test_a_planted_fault_is_caught(launcher: ModuleType, fault: str) -> None:
    with faults.caught():
        check_every_way(launcher, faults.number(FAULTS[launcher], fault))


@pytest.mark.parametrize("launcher", FAULTS)
def test_without_a_fault_nothing_is_caught(launcher: ModuleType) -> None:
    check_every_way(launcher, planted=0)


def check_every_way(launcher: ModuleType, planted: int) -> None:
    shape, element, edits = LinearShape(34, 296, 37), ELEMENTS["float16"], faults.edits_of(FAULTS[launcher])
    arrays = numbers(shape, element, exact=True)
    for how in emulator.EVERY_WAY:
        y = run_linear(launcher, shape, element, arrays, edits=edits, planted=planted, **how)
        assert np.array_equal(y, right(shape, element, arrays)[0])
