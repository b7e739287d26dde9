"""Tensor cores cut the last 13 bits off a tf32 factor. Each kernel rounds its activations to the nearest before.

Activations are 1024 to 2048 and a fraction, of either sign: a tf32 there is a whole number, and sums of whole products
are exact. Some fractions are ties: after an odd number both ways of rounding them agree, after an even one threads
round away from zero and the copy engine to even.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from npresnet import ops
from npresnet.cuda.elements import ELEMENTS
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launchers import conv2d_mma, conv2d_mma_grouped, conv2d_wgmma, conv2d_wgmma_tma
from npresnet.cuda.runtime import tensor_map
from npresnet.window import Window
from tests.cuda import conv_cases
from tests.cuda.conv_cases import Case, Numbers, run_conv
from tests.emulator import emulator

pytestmark = [emulator.needed, pytest.mark.in_a_child]

HOPPER = 90
TF32 = ELEMENTS["tf32"]
FRACTIONS = np.array([0, 0.5, 2**-13, 0.25, 0.5 - 2**-13, 0.5 + 2**-13, 1 - 2**-13])
POINTWISE, WINDOW = Window.of(1), Window.of(3, 2, 1)


def away(x: np.ndarray) -> np.ndarray:
    """Ties away from zero, as cvt.rna.tf32."""
    return np.copysign(np.floor(np.abs(x) + 0.5), x)


def run(monkeypatch, launcher: ModuleType, shape: ConvShape, **how: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x, weight, y): float64, NCHW; y as the kernel's first tile computes it."""
    rng = np.random.default_rng(0)
    x = rng.integers(1024, 2048, (shape.images, shape.height, shape.width, shape.in_channels)).astype(np.float64)
    x = (x + rng.choice(FRACTIONS, x.shape)) * rng.choice([-1, 1], x.shape)
    filters = (shape.out_channels, shape.in_channels // shape.groups, *shape.window.kernel_size)
    weight = rng.integers(-3, 4, filters).astype(np.float64)
    assert (x == x.astype(np.float32)).all()
    assert 3 * 2048 * weight[0].size < 2**24
    arrays = Numbers(x.astype(np.float32), weight, np.zeros(shape.out_channels, np.float32), None)
    monkeypatch.setattr(conv_cases, "numbers", lambda case: arrays)
    y, _ = run_conv(launcher, Case(shape, TF32), launcher.tiles(shape, TF32, HOPPER)[0], **how)
    return x.transpose(0, 3, 1, 2), weight, y.transpose(0, 3, 1, 2)


@pytest.mark.parametrize("window", [POINTWISE, WINDOW], ids=["1x1", "3x3"])
@pytest.mark.parametrize(
    ("launcher", "groups", "rounded"),
    [
        (conv2d_mma, 1, away),
        (conv2d_mma_grouped, 4, away),
        (conv2d_wgmma, 1, away),
        (conv2d_wgmma_tma, 1, np.rint),
    ],
    ids=["mma", "mma_grouped", "wgmma", "wgmma_tma"],
)
def test_activations_are_rounded_to_the_nearest(monkeypatch, launcher, groups, rounded, window):
    shape = ConvShape(2, 7, 6, 64, 72 if groups == 1 else 64, window, groups)
    x, weight, y = run(monkeypatch, launcher, shape)
    settings = {"stride": window.stride, "padding": window.padding, "groups": groups}
    np.testing.assert_array_equal(y, ops.conv2d(rounded(x), weight, **settings))
    assert not np.array_equal(y, ops.conv2d(np.trunc(x), weight, **settings))
    assert not np.array_equal(y, ops.conv2d(x, weight, **settings))


def test_a_kernel_that_cuts_off_is_caught(monkeypatch):
    """And so is a tensor map that does not round."""
    shape = ConvShape(2, 7, 6, 64, 72, WINDOW)
    not_rounded = (("loader.round(shared + slab % STAGES * STAGE_BYTES);", ""),)
    x, weight, y = run(monkeypatch, conv2d_wgmma, shape, edits=not_rounded)
    cut = ops.conv2d(np.trunc(x), weight, stride=2, padding=1)
    np.testing.assert_array_equal(y, cut)
    assert (cut != ops.conv2d(away(x), weight, stride=2, padding=1)).mean() > 0.9

    def of_float32(make):
        return lambda *args: make(*args)._replace(element=ELEMENTS["float32"])

    for name in ("tile", "im2col"):
        monkeypatch.setattr(tensor_map, name, of_float32(getattr(tensor_map, name)))
    x, weight, y = run(monkeypatch, conv2d_wgmma_tma, shape)
    np.testing.assert_array_equal(y, ops.conv2d(np.trunc(x), weight, stride=2, padding=1))
