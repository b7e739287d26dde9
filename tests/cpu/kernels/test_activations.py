"""The activations' arithmetic on the CPU: errors against PyTorch's float32, and the same bits in any block."""

from __future__ import annotations

import math

import numpy as np
import pytest

from npresnet.cpu.kernels import activation_functions
from npresnet.cpu.kernels.activation_functions import BLOCK_FLOATS, FUNCTIONS, in_blocks
from npresnet.cpu.runtime.running import arithmetic
from npresnet.ops.registry import ACTIVATIONS
from tests.support import torch_run

torch = torch_run.torch
ATTRS = {"leaky_relu": ({}, {"negative_slope": 0.3}, {"negative_slope": 2.0}, {"negative_slope": -0.5},
                        {"negative_slope": 0.0}),
         "elu": ({}, {"alpha": 0.4}), "celu": ({}, {"alpha": 2.5})}  # fmt: skip


def computed(name: str, x: np.ndarray, **attrs: float) -> np.ndarray:
    out = np.empty_like(x)
    with arithmetic():
        in_blocks(FUNCTIONS[name], x, attrs, out)
    return out


def rms(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(error))))


def test_every_activation_but_relu_is_here():
    assert set(FUNCTIONS) == set(ACTIVATIONS) - {"relu"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_error_is_at_most_twice_that_of_pytorch(name):
    x = np.random.default_rng(0).normal(0, 2, 100_000).astype(np.float32)
    for attrs in ATTRS.get(name, ({},)):
        function = torch_run.ACTIVATIONS[name]
        exact = function(torch.from_numpy(x).double(), **attrs).numpy()
        theirs = rms(function(torch.from_numpy(x), **attrs).numpy() - exact)
        assert rms(computed(name, x, **attrs) - exact) <= 2 * theirs


def test_gelu_against_float64():
    """The bounds that its docstring states; erfc keeps the digits of the tail that 1 + erf loses."""
    x = np.linspace(-12, 12, 400_001).astype(np.float32)
    exact = np.array([0.5 * z * math.erfc(-z / math.sqrt(2)) for z in x.astype(np.float64)])
    error = np.abs(computed("gelu", x) - exact)
    assert (error[x > 0] <= 2.5e-7 * exact[x > 0]).all()
    middle = (x > -2) & (x < 0)
    assert (error[middle] <= 1e-6 * -exact[middle]).all()
    assert (error[x <= -2] <= 2e-8 * -x[x <= -2]).all()


def test_a_wrong_coefficient_of_gelu_is_detected(monkeypatch):
    x = np.linspace(-6, 6, 10_001).astype(np.float32)
    right = computed("gelu", x)
    for role in ("GELU_NUMERATOR", "GELU_DENOMINATOR"):
        numbers = list(getattr(activation_functions, role))
        for place in range(len(numbers)):
            changed = [number * (1 + 1e-2 * (i == place)) for i, number in enumerate(numbers)]
            monkeypatch.setattr(activation_functions, role, changed)
            assert np.abs(computed("gelu", x) - right).max() > 1e-6
        monkeypatch.undo()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bits_depend_neither_on_the_block_nor_on_strides(name):
    x = np.random.default_rng(1).normal(0, 3, (3, 37, 31, 72)).astype(np.float32)
    assert x.size > 4 * BLOCK_FLOATS
    expected = computed(name, x)
    np.testing.assert_array_equal(np.stack([computed(name, row) for row in x[1]]), expected[1])
    wider = np.zeros((3, 40, 33, 100), np.float32)
    part = wider[:, 1:38, 2:, 20:92]
    part[...] = x
    with arithmetic():
        in_blocks(FUNCTIONS[name], part, {}, part)  # in place
    np.testing.assert_array_equal(part, expected)
    assert not wider[..., :20].any()
    assert not wider[:, 0].any()


def test_rows_longer_than_a_block():
    x = np.random.default_rng(2).normal(size=(2, 1, 2, 3 * BLOCK_FLOATS + 5)).astype(np.float32)
    for view in (x, x[..., 1:], x[:, :, ::-1]):
        np.testing.assert_array_equal(computed("relu6", view), np.clip(view, 0, 6))
