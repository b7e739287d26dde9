"""add, activation, batch_norm, shortcut_a under the emulator, against npresnet.ops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from npresnet import ops
from npresnet.cuda.elements import ELEMENTS, Element, restore, store
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers import activation, add, batch_norm, shortcut_a
from npresnet.errors import DeviceError
from npresnet.network import Node
from npresnet.passes.fold_batch_norm import scale_and_shift
from tests.cuda import activations, faults
from tests.emulator import emulator, memory

pytestmark = [emulator.needed, pytest.mark.in_a_child]

# tf32 is stored as float32 is, and these kernels multiply nothing on tensor cores: the same program
every_storage = pytest.mark.parametrize(
    "element", [ELEMENTS[name] for name in ("float32", "float16", "bfloat16")], ids=lambda element: element.name
)
CHANNELS = (1, 3, 7, 16, 33, 64)


def numbers(element: Element, *size: int, seed: int = 0) -> np.ndarray:
    """Normal random numbers as stored, a NaN and infinities among them."""
    x = np.random.default_rng(seed).standard_normal(size)
    x.flat[:: max(1, x.size // 3)] = [np.nan, -np.inf, np.inf, 0][: len(x.flat[:: max(1, x.size // 3)])]
    return store(x, element)


def run(launches: list[Launch], *arrays: np.ndarray, **how: Any) -> None:
    emulator.run(launches, **how)
    memory.check_guards(*arrays)


@every_storage
def test_add(element: Element) -> None:
    for count, name in ((count, name) for count in (1, 7, 33, 2048, 2400) for name in activations.EVERY):
        a, b = (memory.guarded(numbers(element, count, seed=seed)) for seed in (0, 1))
        y = memory.poisoned((count,), element.storage)
        addresses = {"a": a.ctypes.data, "b": b.ctypes.data, "y": y.ctypes.data}
        run(add.launches(count, element, **addresses, activation=activations.of(name)), a, b, y)
        with np.errstate(invalid="ignore"):
            total = ops.add(restore(a, element), restore(b, element))
        activations.assert_applied(restore(y, element), total, name, element)


@every_storage
def test_activation(element: Element) -> None:
    for count, name in ((count, name) for count in (1, 7, 33, 2048, 2400) for name in activations.NAMES):
        stored = store(4 * restore(numbers(element, count), element), element)  # beyond 3 and 6 as well
        x, y = memory.guarded(stored), memory.poisoned((count,), element.storage)
        run(activation.launches(count, element, activations.of(name), x=x.ctypes.data, y=y.ctypes.data), x, y)
        activations.assert_applied(restore(y, element), restore(x, element), name, element)
        run(activation.launches(count, element, activations.of(name), x=x.ctypes.data, y=x.ctypes.data), x)  # in place
        assert np.array_equal(x.view(np.uint8), y.view(np.uint8))


@pytest.mark.parametrize("clamp", [False, True])
@every_storage
def test_batch_norm(element: Element, clamp: bool) -> None:
    for channels in CHANNELS:
        wrong, y = batch_norm_errors(element, channels, clamp)
        assert not wrong.any()
        assert np.isnan(y).any()


@every_storage
def test_activations_of_batch_norm(element: Element) -> None:
    """With a scale and a shift of whole numbers, so that the line itself is exact."""
    for channels, name in ((channels, name) for channels in (7, 16) for name in activations.EVERY):
        x = memory.guarded(store(np.random.default_rng(0).integers(-8, 9, (30, channels)), element))
        scale, shift = (memory.guarded(np.full(channels, value, np.float32)) for value in (2, -3))
        y = memory.poisoned(x.shape, element.storage)
        addresses = {key: a.ctypes.data for key, a in {"x": x, "scale": scale, "shift": shift, "y": y}.items()}
        run(batch_norm.launches(30, channels, element, **addresses, activation=activations.of(name)), x, y)
        activations.assert_applied(restore(y, element), restore(x, element) * 2 - 3, name, element)


def batch_norm_errors(
    element: Element, channels: int, clamp: bool, edits: tuple[tuple[str, str], ...] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Which of y (N, C, H, W) lie further from float64 than three roundings and that of storing y; and y."""
    rng = np.random.default_rng(channels)
    mean, weight, bias = rng.standard_normal((3, channels))
    variance = rng.uniform(1e-3, 2, channels)
    eps = 1e-3
    x = memory.guarded(numbers(element, 2, 5, 3, channels))
    params = {"running_mean": mean, "running_var": variance, "weight": weight, "bias": bias}
    line = scale_and_shift(Node("norm", "batch_norm", (), attrs={"eps": eps}, params=params))
    scale, shift = (memory.guarded(array.astype(np.float32)) for array in line)
    y = memory.poisoned(x.shape, element.storage)
    addresses = {name: a.ctypes.data for name, a in {"x": x, "scale": scale, "shift": shift, "y": y}.items()}
    run(
        batch_norm.launches(30, channels, element, **addresses, activation=activations.of("relu" if clamp else None)),
        x,
        scale,
        shift,
        y,
        edits=edits,
    )

    wide = restore(x, element).astype(np.float64).transpose(0, 3, 1, 2)
    right = ops.batch_norm(wide, mean, variance, weight, bias, eps=eps)
    size = np.abs(wide) * np.abs(scale)[:, None, None] + np.abs(shift)[:, None, None]
    slack = size * 3 * 2.0**-23
    right = ops.relu(right) if clamp else right
    step = {"float16": 2.0**-11, "bfloat16": 2.0**-8}.get(element.name, 0.0)
    out = restore(y, element).transpose(0, 3, 1, 2).astype(np.float64)
    with np.errstate(invalid="ignore"):
        close = np.abs(out - right) <= slack * (1 + step) + np.abs(right) * step + 2.0**-25
    same = (out == right) | (np.isnan(out) & np.isnan(right))
    return ~(close | same), out


@every_storage
def test_shortcut_a(element: Element) -> None:
    for channels, pads in ((16, (8, 8)), (16, (0, 16)), (3, (1, 2)), (8, (4, 4)), (7, (0, 0)), (64, (32, 32))):
        for stride in (1, 2, 3):
            y, right = shortcut_results(element, channels, pads, stride)
            assert np.array_equal(y, right, equal_nan=True)


def shortcut_results(
    element: Element, channels: int, pads: tuple[int, int], stride: int, **how: Any
) -> tuple[np.ndarray, np.ndarray]:
    """What the kernel gives, and what is right: (N, before + C + after, OH, OW)."""
    x = memory.guarded(numbers(element, 2, 7, 10, channels))
    right = ops.shortcut_a(restore(x, element).transpose(0, 3, 1, 2), stride=stride, pad_channels=pads)
    y = memory.poisoned((2, *right.shape[2:], right.shape[1]), element.storage)
    launches = shortcut_a.launches(
        2, 7, 10, channels, element, stride=stride, pad_channels=pads, x=x.ctypes.data, y=y.ctypes.data
    )
    run(launches, x, y, **how)
    return restore(y, element).transpose(0, 3, 1, 2), right


SHORTCUT_FAULTS = {
    "columns not strided": ("* W + j * stride", "* W + j * (PLANTED ? 1 : stride)"),
    "a channel too many": ("c >= before && c < before + C", "c >= before && c < before + C + PLANTED"),
}


@pytest.mark.parametrize(("pads", "fault"), [((1, 2), "columns not strided"), ((0, 3), "a channel too many")])
def test_faults_in_shortcut_a_are_noticed(pads: tuple[int, int], fault: str) -> None:
    for planted in (0, faults.number(SHORTCUT_FAULTS, fault)):
        how = {"edits": faults.edits_of(SHORTCUT_FAULTS), "planted": planted}
        y, right = shortcut_results(ELEMENTS["float32"], 3, pads, 2, **how)
        assert np.array_equal(y, right, equal_nan=True) is (planted == 0)


def test_a_fault_in_batch_norm_is_noticed() -> None:
    element = ELEMENTS["float32"]
    wrong, _ = batch_norm_errors(element, 7, False, (("v % (unsigned)(C / width)", "v % (unsigned)(C / width - 1)"),))
    assert wrong.any()


def test_a_batch_norm_beyond_what_the_kernel_counts_is_refused():
    addresses = {"x": 0, "scale": 0, "shift": 0, "y": 0}
    (launch,) = batch_norm.launches((2**32 - 1) // 65, 65, ELEMENTS["float32"], **addresses)
    assert launch.grid[0] * batch_norm.THREADS >= (2**32 - 1) // 65 * 65
    with pytest.raises(DeviceError, match="65 channels is too large; give fewer images"):
        batch_norm.launches(2**32 // 65 + 1, 65, ELEMENTS["float32"], **addresses)
