"""ops.conv2d bit for bit on integers, over the full cross product; im2col; refused arguments."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from npresnet import ops
from npresnet.errors import ShapeError
from npresnet.window import Window
from tests.support import torch_ops
from tests.support.cases import CHANNELS, DILATIONS, KERNELS, PADDINGS, SIZES, STRIDES, conv_cases, wide_conv_cases
from tests.support.checks import assert_same, check_conv_exact, check_conv_naive


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_equals_torch(kernel, channels):
    check_conv_exact(ops.conv2d, conv_cases([kernel], [channels]))


def test_equals_torch_on_wide_layers():
    check_conv_exact(ops.conv2d, wide_conv_cases())


@pytest.mark.parametrize("channels", CHANNELS)
def test_equals_seven_nested_loops(channels):
    assert check_conv_naive(ops.conv2d, conv_cases(channels=[channels])) > 500


def test_cases_cover_all_combinations():
    cases = list(conv_cases())
    assert {case.batch for case in cases} == {1, 2, 3}
    assert {case.size for case in cases} == set(product(SIZES, SIZES))
    windows = {Window(*axes) for axes in product(KERNELS, STRIDES, PADDINGS, DILATIONS)}
    assert {(case.window, case.groups) for case in cases} == set(product(windows, (1, 2, 3, 4)))
    assert len(cases) > 6_000


def test_without_bias():
    x, weight = np.ones((1, 2, 4, 4), np.float32), np.ones((3, 2, 3, 3), np.float32)
    assert_same(ops.conv2d(x, weight), np.full((1, 3, 2, 2), 18))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_keeps_the_dtype(dtype):
    x, weight = np.ones((1, 2, 4, 4), dtype), np.ones((3, 2, 3, 3), np.float32)
    assert ops.conv2d(x, weight, np.ones(3, np.float64)).dtype == dtype


def test_float64_is_computed_in_float64():
    rng = np.random.default_rng(0)
    x, weight, bias = rng.normal(size=(2, 6, 9, 8)), rng.normal(size=(4, 3, 3, 3)), rng.normal(size=4)
    got = ops.conv2d(x, weight, bias, stride=2, padding=1, groups=2)
    np.testing.assert_allclose(
        got, torch_ops.conv2d(x, weight, bias, stride=2, padding=1, groups=2), rtol=0, atol=1e-13
    )


def test_arguments_are_not_modified():
    (case,) = list(wide_conv_cases())[:1]
    arrays = case.arrays()
    for array in arrays:
        array.setflags(write=False)
    ops.conv2d(*arrays, stride=2, padding=3)
    for array, original in zip(arrays, case.arrays(), strict=True):
        assert_same(array, original)


def test_any_strides():
    x = np.arange(2 * 3 * 8 * 10, dtype=np.float32).reshape(2, 10, 8, 3) % 7
    weight = np.arange(4 * 3 * 3 * 3, dtype=np.float32).reshape(4, 3, 3, 3) % 5
    view = x.transpose(0, 3, 2, 1)[:, ::-1, ::2]
    assert_same(ops.conv2d(view, weight), ops.conv2d(np.ascontiguousarray(view), weight))


def test_im2col_lays_windows_out_as_columns():
    image = np.arange(1, 10, dtype=np.float32).reshape(1, 1, 3, 3)
    assert_same(ops.im2col(image, Window.of(2))[0], np.array([[1, 2, 4, 5], [2, 3, 5, 6], [4, 5, 7, 8], [5, 6, 8, 9]]))


def test_im2col_has_zeros_outside_the_image_and_channels_in_order():
    x = np.array([[[[1, 2]], [[3, 4]]]], np.float32)  # (1, 2, 1, 2)
    columns = ops.im2col(x, Window.of((1, 3), padding=(0, 1)))  # (1, 2*1*3, 2)
    assert_same(columns[0], np.array([[0, 1], [1, 2], [2, 0], [0, 3], [3, 4], [4, 0]]))


def test_the_message_for_wrong_channels():
    with pytest.raises(ShapeError) as caught:
        ops.conv2d(np.zeros((1, 3, 56, 56), np.float32), np.zeros((64, 64, 3, 3), np.float32))
    for part in ("expects 64 input channels, got 3", "(1, 3, 56, 56)   N, C, H, W", "(64, 64, 3, 3)", "groups = 1"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("x", "weight", "bias", "options"),
    [
        ((3, 8, 8), (4, 3, 3, 3), None, {}),
        ((1, 3, 8, 8), (4, 3, 3), None, {}),
        ((1, 3, 8, 8), (4, 3, 3, 3), (3,), {}),
        ((1, 4, 8, 8), (3, 2, 3, 3), None, {"groups": 2}),
        ((1, 3, 2, 8), (4, 3, 3, 3), None, {}),
        ((1, 3, 4, 8), (4, 3, 3, 3), None, {"dilation": 2}),
        ((1, 3, 8, 8), (4, 3, 3, 3), None, {"stride": 0}),
        ((1, 3, 8, 8), (4, 3, 3, 3), None, {"padding": -1}),
        ((1, 3, 8, 8), (4, 3, 3, 3), None, {"groups": 0}),
    ],
    ids=lambda value: str(value),
)
def test_invalid_arguments_are_refused(x, weight, bias, options):
    with pytest.raises(ShapeError):
        ops.conv2d(np.zeros(x), np.zeros(weight), None if bias is None else np.zeros(bias), **options)
