"""linear, batch_norm, relu, add, flatten, shortcut_a and softmax of ops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from npresnet import ops
from npresnet.errors import ShapeError
from tests.support import torch_ops
from tests.support.cases import SIZES, integers
from tests.support.checks import assert_same, check_batch_norm_exact, check_linear_exact


def test_linear_equals_torch():
    check_linear_exact(ops.linear)


def test_linear_refuses_a_wrong_number_of_features():
    with pytest.raises(ShapeError, match="expects 512 features, got 511"):
        ops.linear(np.ones((2, 511)), np.ones((10, 512)))
    with pytest.raises(ShapeError, match="an array of 4 axes"):
        ops.linear(np.ones((2, 512, 1, 1)), np.ones((10, 512)))


def test_batch_norm_equals_torch_exactly():
    check_batch_norm_exact(ops.batch_norm)


def test_batch_norm_equals_torch_where_eps_matters():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 4, 5, 3))
    params = {
        "running_mean": rng.normal(size=4),
        "running_var": np.array([0.0, 1e-6, 1e-5, 2.0]),
        "weight": rng.normal(size=4),
        "bias": rng.normal(size=4),
    }
    np.testing.assert_allclose(ops.batch_norm(x, **params), torch_ops.batch_norm(x, **params), rtol=1e-12, atol=1e-10)


def test_batch_norm_refuses_a_wrong_number_of_channels():
    with pytest.raises(ShapeError, match="expects 4 channels, got 3"):
        ops.batch_norm(np.ones((1, 3, 2, 2)), np.zeros(4), np.ones(4))


@pytest.mark.parametrize("shape", [(3,), (2, 5), (1, 3, 7, 33)])
def test_relu_and_add_on_integers(shape):
    rng = np.random.default_rng(0)
    a, b = integers(rng, shape), integers(rng, shape)
    assert_same(ops.relu(a), torch_ops.relu(a))
    assert_same(ops.add(a, b), a.astype(int) + b.astype(int))
    assert ops.relu(a).dtype == ops.add(a, b).dtype == np.float32


def test_relu_keeps_nan():
    x = np.array([np.nan, -np.inf, np.inf, -1.0])
    assert_same(ops.relu(x), torch_ops.relu(x))
    assert np.isnan(ops.relu(x)[0])


def test_add_does_not_broadcast():
    with pytest.raises(ShapeError, match="the same shape"):
        ops.add(np.ones((1, 4, 2, 2)), np.ones((1, 1, 2, 2)))


def test_flatten_keeps_the_order_of_channels_rows_columns():
    x = np.arange(24).reshape(2, 3, 2, 2)
    assert ops.flatten(x).tolist() == [list(range(12)), list(range(12, 24))]
    assert ops.flatten(np.ones((0, 3, 2, 2))).shape == (0, 12)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("pad_channels", [(0, 0), (2, 2), (1, 3)])
def test_shortcut_a(stride, pad_channels):
    before, after = pad_channels
    for size in itertools.product(SIZES, SIZES):
        x = integers(np.random.default_rng(0), (2, 3, *size))
        got = ops.shortcut_a(x, stride=stride, pad_channels=pad_channels)
        assert got.dtype == np.float32
        assert_same(got[:, before : before + 3], x[:, :, ::stride, ::stride])
        assert got.shape[1] == before + 3 + after
        assert not got[:, :before].any()
        assert not got[:, before + 3 :].any()


def test_softmax_equals_torch_and_never_overflows():
    logits = np.array([[1000.0, 999.0, -1000.0], [-1e30, 0.0, 1.0], [0.0, 0.0, 0.0]])
    got = ops.softmax(logits)
    np.testing.assert_allclose(got, torch_ops.softmax(logits), rtol=1e-14)
    np.testing.assert_allclose(got.sum(axis=-1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(ops.softmax(logits, axis=0), torch_ops.softmax(logits, axis=0), rtol=1e-14)
