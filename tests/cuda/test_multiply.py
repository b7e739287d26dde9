"""multiply and sigmoid under the emulator, against NumPy's float32 products."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from npresnet.cuda.activation import Activation, Code
from npresnet.cuda.elements import ELEMENTS, Element, restore, store
from npresnet.cuda.launchers import activation, multiply
from tests.cuda import activations, faults
from tests.emulator import emulator, memory

pytestmark = [emulator.needed, pytest.mark.in_a_child]

every_element = pytest.mark.parametrize("element", ELEMENTS.values(), ids=lambda element: element.name)


def numbers(element: Element, *size: int, seed: int) -> np.ndarray:
    """Normal random numbers as stored, a NaN and infinities among them."""
    x = np.random.default_rng(seed).standard_normal(size)
    x.flat[:4] = [np.nan, -np.inf, np.inf, 0][: x.size]
    return memory.guarded(store(x, element))


def product(
    element: Element,
    size: tuple[int, int, int],
    name: str | None,
    *,
    per_position: bool = False,
    is_sum: bool = False,
    has_residual: bool = False,
    **how: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """y (N, P, C) float32 of one launch, and the float32 results before the activation."""
    images, positions, channels = size
    a, b = numbers(element, *size, seed=0), numbers(element, images, positions if per_position else channels, seed=1)
    residual = numbers(element, *size, seed=2)
    y = memory.poisoned(size, element.storage)
    addresses = {"a": a.ctypes.data, "b": b.ctypes.data, "y": y.ctypes.data}
    options = {"is_sum": is_sum, "per_position": per_position, "activation": activations.of(name)}
    if has_residual:
        addresses["residual"] = residual.ctypes.data
    emulator.run(multiply.launches(*size, element, **addresses, **options), **how)
    memory.check_guards(a, b, residual, y)
    gate = restore(b, element)[:, :, None] if per_position else restore(b, element)[:, None]
    with np.errstate(invalid="ignore"):
        found = restore(a, element) + gate if is_sum else restore(a, element) * gate
        return restore(y, element), found + restore(residual, element) if has_residual else found


@every_element
@pytest.mark.parametrize("channels", [1, 3, 7, 16, 33, 64])
def test_one_number_a_channel(element: Element, channels: int) -> None:
    for positions in (1, 15, 100):
        for name in activations.EVERY:
            y, exact = product(element, (3, positions, channels), name)
            activations.assert_applied(y, exact, name, element)


@every_element
@pytest.mark.parametrize("count", [1, 7, 33, 2048, 2400])
def test_two_maps(element: Element, count: int) -> None:
    y, exact = product(element, (1, 1, count), None)
    activations.assert_applied(y, exact, None, element)


@every_element
@pytest.mark.parametrize("is_sum", [False, True])
def test_one_number_a_position_and_a_residual(element: Element, is_sum: bool) -> None:
    for number, (positions, channels) in enumerate([(1, 16), (15, 7), (12, 64), (33, 8)]):
        for name in (None, "relu"):
            how = {"per_position": number % 2 == 0, "is_sum": is_sum, "has_residual": number != 2}
            y, exact = product(element, (3, positions, channels), name, **how)
            activations.assert_applied(y, exact, name, element)


FAULTS = {
    "the position's number instead of the channel's": (
        "v % of_pixel * width",
        "(PLANTED ? v / of_pixel : v % of_pixel) * width",
    ),
    "every image multiplied by the first one's numbers": (
        "b + (size_t)n * gate.C",
        "b + (PLANTED ? 0 : (size_t)n * gate.C)",
    ),
    "the residual forgotten": ("if (residual)", "if (residual && !PLANTED)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str) -> None:
    with faults.caught():
        check_small(faults.number(FAULTS, fault))


def test_without_a_fault_nothing_is_caught() -> None:
    check_small(planted=0)


def check_small(planted: int) -> None:
    element = ELEMENTS["float16"]
    y, exact = product(element, (2, 4, 8), None, has_residual=True, edits=faults.edits_of(FAULTS), planted=planted)
    activations.assert_applied(y, exact, None, element)


@every_element
def test_sigmoid(element: Element) -> None:
    """1 / (1 + exp(-x)): within a few units of float64, 0 and 1 at the infinities, NaN stays NaN."""
    for count in (1, 7, 2048):
        x = memory.guarded(store(8 * restore(numbers(element, count, seed=2), element), element))
        y = memory.poisoned((count,), element.storage)
        launches = activation.launches(count, element, Activation(Code.SIGMOID), x=x.ctypes.data, y=y.ctypes.data)
        emulator.run(launches)
        memory.check_guards(x, y)
        wide = restore(x, element).astype(np.float64)
        with np.errstate(over="ignore"):
            right = 1 / (1 + np.exp(-wide))
        step = {"float16": 2.0**-11, "bfloat16": 2.0**-8}.get(element.name, 0.0)
        with np.errstate(invalid="ignore"):
            allowed = right * ((8 + np.abs(wide)) * 2.0**-23 + step) + 2.0**-25
        found = restore(y, element)
        assert (np.isnan(wide) == np.isnan(found)).all()
        assert (np.isnan(wide) | np.isinf(wide) | (np.abs(found - right) <= allowed)).all()
        assert (found[wide == np.inf] == 1).all()
        assert (found[wide == -np.inf] == 0).all()
