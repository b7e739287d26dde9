"""conv3d, max_pool3d, avg_pool3d and shortcut_a of clips under the emulator, against npresnet.ops; a whole network."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from npresnet import ops, passes
from npresnet.cuda.activation import Code
from npresnet.cuda.clips import ClipShape
from npresnet.cuda.elements import ELEMENTS, Element, restore, store
from npresnet.cuda.launchers import avg_pool3d, conv3d, max_pool3d, shortcut_a
from npresnet.window import Window
from tests.cuda import faults
from tests.cuda.running import assert_within_gate, compiled
from tests.emulator import emulator, memory
from tests.support.clips import small_clip_network

pytestmark = emulator.needed

every_storage = pytest.mark.parametrize(
    "element", [ELEMENTS[name] for name in ("float32", "float16", "bfloat16")], ids=lambda element: element.name
)
CONVS = {
    "stem": ClipShape(2, (3, 7, 6), 3, 5, Window.of((3, 5, 5), (1, 2, 2), (1, 2, 2), axes=3)),
    "all strided": ClipShape(1, (5, 7, 6), 4, 8, Window.of(3, 2, 1, axes=3), activation=Code.RELU),
    "dilated": ClipShape(1, (5, 9, 8), 2, 3, Window.of((2, 3, 2), (1, 2, 1), (1, 2, 0), (3, 2, 4), axes=3)),
    "groups": ClipShape(1, (3, 5, 4), 6, 4, Window.of((3, 1, 1), 1, (1, 0, 0), axes=3), groups=2),
}
POOLS = {
    "of a stem": ClipShape(2, (5, 7, 6), 3, 3, Window.of(3, 2, 1, axes=3)),
    "not cubic": ClipShape(1, (4, 6, 9), 8, 8, Window.of((1, 3, 2), (1, 2, 3), (0, 1, 1), axes=3)),
    "rounded up": ClipShape(1, (4, 5, 6), 7, 7, Window.of(2, 3, 1, axes=3), ceil_mode=True, count_include_pad=False),
}


def whole(element: Element, *shape: int, low: int = -3, seed: int = 0) -> np.ndarray:
    """Small integers: their sums are exact."""
    return store(np.random.default_rng(seed).integers(low, 4, shape).astype(np.float64), element)


def clips(stored: np.ndarray, element: Element) -> np.ndarray:
    """(N, T, H, W, C) -> (N, C, T, H, W) float32."""
    return restore(stored, element).transpose(0, 4, 1, 2, 3)


def convolved(shape: ClipShape, element: Element, **how: Any) -> tuple[np.ndarray, np.ndarray]:
    """What the kernel gives, and what is right, with a residual."""
    window, O = shape.window, shape.out_channels  # noqa: E741
    x = memory.guarded(whole(element, shape.clips, *shape.size, shape.in_channels))
    weight = whole(element, O, shape.in_channels // shape.groups, *window.kernel_size, seed=1)
    packed = memory.guarded(conv3d.pack(restore(weight, element), element))
    bias = memory.guarded(np.arange(O, dtype=np.float32))
    residual = memory.guarded(whole(element, shape.clips, *shape.out_size, O, seed=2))
    y = memory.poisoned((shape.clips, *shape.out_size, O), element.storage)
    at = {"x": x, "weight": packed, "bias": bias, "residual": residual, "y": y}
    emulator.run(conv3d.launches(shape, element, **{name: array.ctypes.data for name, array in at.items()}), **how)
    memory.check_guards(*at.values())
    where = {"stride": window.stride, "padding": window.padding, "dilation": window.dilation}
    right = ops.conv3d(clips(x, element), restore(weight, element), bias, **where, groups=shape.groups)
    right = right + clips(residual, element)
    right = np.maximum(right, 0) if shape.activation else right
    return clips(y, element), restore(store(right.astype(np.float64), element), element)


@every_storage
@pytest.mark.parametrize("name", CONVS)
def test_convolutions_are_exact(name: str, element: Element) -> None:
    found, right = convolved(CONVS[name], element)
    np.testing.assert_array_equal(found, right)


CONV_FAULTS = {
    "time not dilated": ("out.t + k * clip.dilation_t", "out.t + k * (PLANTED ? 1 : clip.dilation_t)"),
    "the first group's channels": ("+ group * channels;", "+ (PLANTED ? 0 : group) * channels;"),
    "a filter not passed over": ("s++, filter += channels", "s++, filter += PLANTED ? 0 : channels"),
    "the last row is outside": ("for (int r = 0; r < clip.KH", "for (int r = 0; r < clip.KH - PLANTED"),
}


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ("time not dilated", "dilated"),
        ("the first group's channels", "groups"),
        ("a filter not passed over", "stem"),
        ("the last row is outside", "stem"),
    ],
)
def test_faults_in_a_convolution_are_noticed(fault: str, name: str) -> None:
    for planted in (0, faults.number(CONV_FAULTS, fault)):
        how = {"edits": faults.edits_of(CONV_FAULTS), "planted": planted}
        found, right = convolved(CONVS[name], ELEMENTS["float32"], **how)
        assert np.array_equal(found, right) is (planted == 0)


def pooled(launcher: ModuleType, shape: ClipShape, element: Element, **how: Any) -> tuple[np.ndarray, np.ndarray]:
    x = memory.guarded(whole(element, shape.clips, *shape.size, shape.in_channels, low=-40))
    y = memory.poisoned((shape.clips, *shape.out_size, shape.out_channels), element.storage)
    emulator.run(launcher.launches(shape, element, x=x.ctypes.data, y=y.ctypes.data), **how)
    memory.check_guards(x, y)
    window = shape.window
    where: dict[str, Any] = {"stride": window.stride, "padding": window.padding, "ceil_mode": shape.ceil_mode}
    if launcher is avg_pool3d:
        right = ops.avg_pool3d(
            clips(x, element), window.kernel_size, **where, count_include_pad=shape.count_include_pad
        )
    else:
        right = ops.max_pool3d(clips(x, element), window.kernel_size, **where)
    return clips(y, element), restore(store(right.astype(np.float64), element), element)


@every_storage
@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("launcher", [max_pool3d, avg_pool3d], ids=["max", "avg"])
def test_pools_are_exact(launcher: ModuleType, name: str, element: Element) -> None:
    found, right = pooled(launcher, POOLS[name], element)
    np.testing.assert_array_equal(found, right)


@every_storage
def test_shortcuts_take_every_second_frame(element: Element) -> None:
    for size, channels, pads in (((5, 7, 6), 3, (0, 2)), ((4, 5, 8), 8, (0, 8)), ((1, 3, 3), 4, (4, 4))):
        x = memory.guarded(whole(element, 2, *size, channels))
        right = ops.shortcut_a(clips(x, element), stride=2, pad_channels=pads)
        y = memory.poisoned((2, *right.shape[2:], right.shape[1]), element.storage)
        sizes = 2, *size[1:], channels
        at = {"x": x.ctypes.data, "y": y.ctypes.data}
        emulator.run(shortcut_a.launches(*sizes, element, stride=2, pad_channels=pads, frames=size[0], **at))
        memory.check_guards(x, y)
        np.testing.assert_array_equal(clips(y, element), right)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_network_for_clips(gpus, dtype: str) -> None:
    stand_in = gpus()
    network = small_clip_network()
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 11, 10)).astype(np.float32)
    exact = ops.run(network, x.astype(np.float64))
    found = compiled(passes.optimize(network), dtype)(x)
    assert_within_gate(found["logits"], exact["logits"], dtype)
    kernels = " ".join(stand_in.kernels)
    for kernel in ("conv3d", "max_pool3d", "avg_pool3d", "shortcut_a", "global_avg_pool"):
        assert kernel in kernels
    assert found["map"].shape == exact["map"].shape
