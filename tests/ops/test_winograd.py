"""Winograd's minimal filtering: equal to conv2d in float64, and its error in float32."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from npresnet import ops
from npresnet.errors import ShapeError
from npresnet.ops import winograd
from npresnet.ops.winograd import BALANCED_POINTS, POINTS, conv2d_winograd, cook_toom, transform_kernel, transforms
from npresnet.window import Window
from tests.support.checks import assert_same
from tests.support.float_error import rms_error
from tests.support.winograd_checks import SIZES, arrays, check_equals_conv2d


@pytest.mark.parametrize("m", [2, 3, 4, 6])
@pytest.mark.parametrize("padding", [0, 1, 2, (0, 1), (2, 0), (1, 2)], ids=str)
def test_equals_conv2d_in_float64(m, padding):
    below = 3 if padding in (0, (0, 1), (2, 0)) else 1
    sizes = [size for size in itertools.product((1, 3, 7, 33), repeat=2) if min(size) >= below]
    for size in sizes:
        check_equals_conv2d(size, padding, m)
    assert {(7, 33), (33, 7), (33, 33), (3, 3)} <= set(sizes)


@pytest.mark.parametrize(("m", "r"), [*SIZES, (3, 4), (8, 3)])
def test_other_kernel_sizes(m, r):
    for size, padding in itertools.product([(5, 8), (12, 7)], (0, 2)):
        check_equals_conv2d(size, padding, m, kernel_size=r)


def test_balanced_points_equal_conv2d():
    check_equals_conv2d((7, 33), 1, m=4, points=BALANCED_POINTS)


def test_complete_tiles_need_no_cropping():
    check_equals_conv2d((8, 12), 1, m=4)


def test_transform_kernel_of_each_filter():
    t, weight = transforms(4), arrays(1, 3, (1, 1), 5)[1]
    found = transform_kernel(weight, t)
    assert found.shape == (6, 6, 3, 5)
    assert found.flags.c_contiguous
    for o, c in itertools.product(range(5), range(3)):
        one = t.kernel_transform @ weight[o, c] @ t.kernel_transform.T
        np.testing.assert_allclose(found[:, :, c, o], one, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_keeps_the_dtype_and_its_arguments(dtype):
    given = arrays(1, 2, (6, 5), 3)
    x, weight, bias = given[0].astype(dtype), *given[1:]
    for array in (x, weight, bias):
        array.setflags(write=False)
    assert conv2d_winograd(x, weight, bias, m=2).dtype == dtype
    assert transform_kernel(weight.astype(dtype), transforms(2)).dtype == dtype


def test_any_strides_no_bias_no_images():
    x, weight, _ = arrays(2, 3, (8, 14), 4)
    view = x[:, ::-1, :, ::2]
    assert_same(conv2d_winograd(view, weight), conv2d_winograd(view.copy(), weight))
    assert conv2d_winograd(x[:0], weight).shape == (0, 4, 8, 14)


# --- Float32


def relative_error(m, points=POINTS):
    x, weight, bias = arrays(2, 64, (24, 24), 32, seed=1, dtype=np.float32)
    exact = ops.conv2d(*(a.astype(np.float64) for a in (x, weight, bias)), padding=1)
    return rms_error(conv2d_winograd(x, weight, bias, m=m, points=points), exact) / np.sqrt(np.mean(exact**2))


def test_float32_error_grows_with_m():
    two, four, six = (relative_error(m) for m in (2, 4, 6))
    assert 0 < two < four < six < 1e-5
    assert two < four / 3


def test_balanced_points_have_a_smaller_error():
    assert relative_error(2) < relative_error(4, BALANCED_POINTS) < 0.6 * relative_error(4)


# --- Refused arguments


@pytest.mark.parametrize(
    ("x", "weight", "bias", "m"),
    [
        ((3, 8, 8), (4, 3, 3, 3), None, 4),
        ((1, 3, 8, 8), (4, 3, 3), None, 4),
        ((1, 4, 8, 8), (4, 2, 3, 3), None, 4),
        ((1, 3, 8, 8), (4, 3, 3, 3), (3,), 4),
        ((1, 3, 8, 8), (4, 3, 1, 3), None, 4),
        ((1, 3, 8, 8), (4, 3, 1, 1), None, 4),
        ((1, 3, 8, 8), (4, 3, 3, 3), None, 1),
        ((1, 3, 8, 8), (4, 3, 3, 3), None, 11),
        ((1, 3, 1, 8), (4, 3, 5, 5), None, 2),
    ],
    ids=str,
)
def test_invalid_arguments_are_refused(x, weight, bias, m):
    with pytest.raises(ShapeError):
        conv2d_winograd(np.zeros(x), np.zeros(weight), None if bias is None else np.zeros(bias), m=m)


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 3},
        {"dilation": 2},
        {"stride": (1, 2)},
        {"kernel_size": (1, 3)},
        {"kernel_size": 5, "stride": 2},
        {"stride": 2, "dilation": 2},
    ],
    ids=str,
)
def test_unsupported_windows_are_refused(options):
    winograd.check_window(Window.of(3, padding=1))
    winograd.check_window(Window.of(3, 2, padding=1))
    with pytest.raises(ShapeError, match=r"square window with stride 1 and dilation 1, or 3x3 .*, got .* use conv2d"):
        winograd.check_window(Window.of(**{"kernel_size": 3, **options}))


def test_integers_are_refused():
    floats, integers = np.zeros((1, 1, 3, 3)), np.zeros((1, 1, 3, 3), int)
    with pytest.raises(ShapeError, match=r"floating-point numbers, .* got input of int"):
        conv2d_winograd(integers, floats)
    with pytest.raises(ShapeError, match=r"floating-point numbers, .* got weight of int"):
        transform_kernel(integers, transforms(2))


def test_filters_of_a_wrong_size_are_refused():
    with pytest.raises(ShapeError, match=r"F\(4, 3\) expects filters \(out_channels, in_channels, 3, 3\), got"):
        transform_kernel(np.zeros((1, 1, 5, 5)), transforms(4))


def test_points_that_are_not_distinct_are_refused():
    with pytest.raises(ValueError, match="the points must be distinct, got 0, 1, 1"):
        cook_toom(2, 3, tuple(map(Fraction, "0 1 1".split())))


def transposed(matrix):
    return matrix.T


def second_and_third_row_swapped(matrix):
    return matrix[[0, 2, 1, *range(3, len(matrix))]]


@pytest.mark.parametrize(
    ("field", "fault"),
    [
        ("input_transform", transposed),
        ("input_transform", second_and_third_row_swapped),
        ("kernel_transform", second_and_third_row_swapped),
        ("output_transform", second_and_third_row_swapped),
    ],
)
def test_faulty_matrices_are_rejected(monkeypatch, field, fault):
    good = transforms(4)
    matrices = {name: getattr(good, name) for name in ("input_transform", "kernel_transform", "output_transform")}
    faulty = winograd.Transforms(4, 3, **{**matrices, field: fault(matrices[field])})
    monkeypatch.setattr(winograd, "transforms", lambda *args: faulty)
    with pytest.raises(AssertionError):
        check_equals_conv2d((7, 33), 1, m=4)


def test_a_transposed_filter_and_a_misplaced_bias_are_rejected(monkeypatch):
    working = winograd.transform_kernel
    with monkeypatch.context() as patch:
        patch.setattr(winograd, "transform_kernel", lambda weight, t: working(weight.swapaxes(2, 3), t))
        with pytest.raises(AssertionError):
            check_equals_conv2d((7, 33), 1, m=4)
    t = transforms(4)
    for position in itertools.product(range(6), repeat=2):
        lone = np.zeros((6, 6))
        lone[position] = 1
        everywhere = (t.output_transform @ lone @ t.output_transform.T == 1).all()
        assert everywhere == (position == (1, 1))
