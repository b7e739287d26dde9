"""The pools of ops bit for bit on integers; padding, NaN, refused arguments."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import ops
from npresnet.errors import ShapeError
from tests.support import torch_ops
from tests.support.cases import pool_cases
from tests.support.checks import (
    assert_same,
    check_avg_pool_exact,
    check_global_avg_pool_exact,
    check_max_pool_exact,
)


def test_max_pool_equals_torch_and_loops():
    check_max_pool_exact(ops.max_pool2d)


def test_avg_pool_equals_torch():
    check_avg_pool_exact(ops.avg_pool2d)


def test_global_avg_pool_equals_torch():
    check_global_avg_pool_exact(ops.global_avg_pool)


def test_pool_cases_cover_all_combinations():
    cases = list(pool_cases())
    assert {case.batch for case in cases} == {1, 2, 3}
    assert {n for case in cases for n in case.size} == {1, 3, 7, 33}
    rounded_up = [c for c in cases if c.window.output_size(c.size, ceil_mode=True) != c.window.output_size(c.size)]
    assert sum(case.ceil_mode for case in rounded_up) > 200
    assert len(cases) > 2_000


def test_the_padding_of_a_max_pool_is_never_the_maximum():
    x = np.full((1, 1, 4, 4), -7, np.float32)
    assert_same(ops.max_pool2d(x, 3, stride=2, padding=1), np.full((1, 1, 2, 2), -7))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_special_values_as_in_torch(bad):
    x = np.arange(32, dtype=np.float32).reshape(1, 2, 4, 4)
    x[0, 1, 2, 2] = bad
    for pool in ("max_pool2d", "avg_pool2d"):
        got, expected = (getattr(module, pool)(x, 2, stride=1, padding=1) for module in (ops, torch_ops))
        assert_same(got, expected)
    assert_same(ops.global_avg_pool(x), torch_ops.global_avg_pool(x))


def test_a_mean_is_one_division():
    """The quotient of integers, rounded once; multiplying by a rounded 1/9 gives a different last digit."""
    x = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3) + 1  # sums to 45
    assert ops.global_avg_pool(x * 11)[0, 0, 0, 0] == np.float32(495) / np.float32(9)
    sums = np.arange(1, 200, dtype=np.float32)
    exact = sums / np.float32(49)
    assert (exact != sums * np.float32(1 / 49)).any()  # the next assertion distinguishes the two
    images = np.zeros((199, 1, 7, 7), np.float32)
    images[:, 0, 3, 3] = sums
    assert_same(ops.global_avg_pool(images)[:, 0, 0, 0], exact)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_keeps_the_dtype(dtype):
    x = np.ones((1, 2, 4, 4), dtype)
    assert ops.max_pool2d(x, 3, padding=1).dtype == dtype
    assert ops.avg_pool2d(x, 3, padding=1).dtype == dtype
    assert ops.global_avg_pool(x).dtype == dtype


@pytest.mark.parametrize("pool", [ops.max_pool2d, ops.avg_pool2d])
def test_invalid_arguments_are_refused(pool):
    with pytest.raises(ShapeError, match="smaller than the window"):
        pool(np.ones((1, 1, 2, 2)), 3)
    with pytest.raises(ShapeError, match="at most half"):
        pool(np.ones((1, 1, 8, 8)), 2, padding=2)
    with pytest.raises(ShapeError, match="N, C, H, W"):
        pool(np.ones((1, 8, 8)), 2)
