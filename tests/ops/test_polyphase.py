"""Winograd's filtering with stride 2: exact in rationals, equal to conv2d in float64, bounded error in float32."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from npresnet import ops
from npresnet.errors import ShapeError
from npresnet.ops import polyphase
from npresnet.ops.winograd import balanced, conv2d_winograd, cook_toom, transforms
from tests.support.checks import assert_same
from tests.support.float_error import rms_error

TILES = (2, 4)


def derived(m):
    return polyphase.interleave(*cook_toom(m, 2, polyphase.POINTS[m]))


def check_identity(input_transform, kernel_transform, output_transform):
    """Y[i] = sum over u of g[u] * d[2*i + u], for all g and d: exact, as the entries are Fractions."""
    m, size = output_transform.shape
    expected = np.zeros((m, 3, size), int)
    for i, u in itertools.product(range(m), range(3)):
        expected[i, u, 2 * i + u] = 1
    assert_same(np.einsum("ij,ju,jk->iuk", output_transform, kernel_transform, input_transform), expected)


def check_equals_conv2d(size, padding, m, dtype=np.float64, most=None):
    rng = np.random.default_rng(0)
    shapes = (2, 5, *size), (3, 5, 3, 3), (3,)
    x, weight, bias = (
        (rng.standard_normal(shape) if most is None else rng.integers(-most, most + 1, shape)).astype(dtype)
        for shape in shapes
    )
    got = conv2d_winograd(x, weight, bias, padding, m, polyphase.POINTS[m], stride=2)
    expected = ops.conv2d(x, weight, bias, padding=padding, stride=2)
    assert got.dtype == dtype
    assert got.shape == expected.shape
    if most is None:
        assert np.abs(got - expected).max() <= 1e-12 * max(1, np.abs(expected).max())
    else:
        assert_same(got, expected)


@pytest.mark.parametrize("m", range(2, 9))
def test_identity_in_rational_numbers(m):
    check_identity(*polyphase.interleave(*cook_toom(m, 2)))


@pytest.mark.parametrize("m", TILES)
def test_identity_at_the_chosen_points(m):
    check_identity(*derived(m))


def test_f2_equals_the_formulas_in_the_docstring():
    d, g = np.array([3, -5, 7, 2, -4]), np.array([2, 9, -6])
    input_transform, kernel_transform, output_transform = derived(2)
    products = (kernel_transform @ g) * (input_transform @ d)
    written = [(d[2] - d[0]) * -g[0], d[2] * (g[0] + g[2]), (d[4] - d[2]) * g[2], d[1] * g[1], d[3] * g[1]]
    assert_same(products, np.array(written))
    assert_same(output_transform @ products, np.array([d[:3] @ g, d[2:] @ g]))


@pytest.mark.parametrize("m", TILES)
def test_the_matrices(m):
    t = balanced(m, stride=2)
    assert (t.m, t.r, t.stride, t.tile) == (m, 3, 2, 2 * m + 1)
    for matrix, exact in zip((t.input_transform, t.kernel_transform, t.output_transform), derived(m), strict=True):
        assert not matrix.flags.writeable
        np.testing.assert_allclose(matrix, exact.astype(float), rtol=2.0**-53, atol=0)
    for exact in derived(m)[::2]:  # B^T and A^T: no rounding, even in float32
        assert all(Fraction(float(np.float32(entry))) == entry for entry in exact.flat)
    assert (t.output_transform[:, 1] == 1).all(), "so a bias is added at one position"
    assert len(np.unique(t.kernel_transform, axis=0)) == m + 2
    assert (t.kernel_transform[m + 1 :] == (0, 1, 0)).all()


@pytest.mark.parametrize("m", TILES)
@pytest.mark.parametrize("padding", [0, 1, 2, (0, 1), (2, 0)], ids=str)
def test_equals_conv2d_in_float64(m, padding):
    for size in itertools.product((1, 2, 3, 4, 7, 8, 17, 20), repeat=2):
        if min(n + 2 * p for n, p in zip(size, np.broadcast_to(padding, 2), strict=True)) >= 3:
            check_equals_conv2d(size, padding, m)


def test_f2_is_exact_on_integers():
    for size in ((3, 4), (9, 9), (14, 20)):
        check_equals_conv2d(size, 1, m=2, dtype=np.float32, most=4)


def relative_error(m, points, stride=2):
    rng = np.random.default_rng(1)
    x, weight = rng.standard_normal((2, 64, 32, 32), np.float32), rng.standard_normal((32, 64, 3, 3), np.float32)
    exact = ops.conv2d(x.astype(np.float64), weight.astype(np.float64), padding=1, stride=stride)
    direct = rms_error(ops.conv2d(x, weight, padding=1, stride=stride), exact)
    return rms_error(conv2d_winograd(x, weight, m=m, points=points, stride=stride), exact) / direct


def test_float32_error():
    assert relative_error(2, polyphase.POINTS[2]) < 1.1
    assert relative_error(4, polyphase.POINTS[4]) < 1.7


def test_the_chosen_points_have_the_smallest_error():
    """Compared with the usual points; the best of all fractions that give exact matrices."""
    usual = tuple(map(Fraction, (0, 1, -1, Fraction(1, 2))))
    assert relative_error(4, polyphase.POINTS[4]) < 0.75 * relative_error(4, usual)


@pytest.mark.parametrize("r", [2, 4, 5])
def test_other_filters_are_refused(r):
    with pytest.raises(ShapeError, match="stride 2 needs filters of 3 taps" if r > 2 else "needs m, r >= 2"):
        transforms(4, r, stride=2)
    with pytest.raises(ShapeError, match="3x3 with stride 2"):
        conv2d_winograd(np.zeros((1, 1, 9, 9)), np.zeros((1, 1, r, r)), stride=2)


# --- Planted faults: the checks above reject them


@pytest.mark.parametrize("m", TILES)
@pytest.mark.parametrize("which", [0, 1, 2], ids=["input", "kernel", "output"])
def test_one_wrong_sign_breaks_the_identity(m, which):
    for index in np.argwhere(derived(m)[which] != 0):
        faulty = list(derived(m))
        faulty[which][tuple(index)] *= -1
        with pytest.raises(AssertionError):
            check_identity(*faulty)


@pytest.mark.parametrize("m", TILES)
def test_two_odd_positions_swapped(m):
    input_transform, kernel_transform, output_transform = derived(m)
    input_transform[[m + 1, m + 2]] = input_transform[[m + 2, m + 1]]
    with pytest.raises(AssertionError):
        check_identity(input_transform, kernel_transform, output_transform)
