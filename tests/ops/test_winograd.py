"""Winograd's minimal filtering: exact in rationals, equal to conv2d in float64, bounded error in float32."""

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

SIZES = [(2, 3), (4, 3), (6, 3), (4, 2), (2, 5)]  # (m, r)
EVERY_SIZE = [(m, r) for m in range(2, 12) for r in range(2, 12) if m + r - 1 <= len(POINTS) + 1]

# Lavin and Gray 2015, section 4: B^T, G, A^T
PUBLISHED = {
    (2, 3): (
        "1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1",
        "1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1",
        "1 1 1 0; 0 1 -1 -1",
    ),
    (4, 3): (
        "4 0 -5 0 1 0; 0 -4 -4 1 1 0; 0 4 -4 -1 1 0; 0 -2 -1 2 1 0; 0 2 -1 -2 1 0; 0 4 0 -5 0 1",
        "1/4 0 0; -1/6 -1/6 -1/6; -1/6 1/6 -1/6; 1/24 1/12 1/6; 1/24 -1/12 1/6; 0 0 1",
        "1 1 1 1 1 0; 0 1 -1 2 -2 0; 0 1 1 4 4 0; 0 1 -1 8 -8 1",
    ),
}


def rational(text):
    return np.array([[Fraction(entry) for entry in row.split()] for row in text.split(";")])


def bilinear(input_transform, kernel_transform, output_transform):
    """W[i,u,k]: the coefficient of g[u] * d[k] in Y[i], summed over the products, and each product's part of it."""
    parts = np.einsum("ij,ju,jk->jiuk", output_transform, kernel_transform, input_transform)
    return parts.sum(axis=0), parts


def check_identity(matrices):
    """Y[i] = sum over u of g[u] * d[i+u], for all g and d: exact, as the entries are Fractions."""
    m, (tile, r) = len(matrices[2]), matrices[1].shape
    correlation = np.zeros((m, r, tile), int)
    for i, u in itertools.product(range(m), range(r)):
        correlation[i, u, i + u] = 1
    assert_same(bilinear(*matrices)[0], correlation)


def arrays(batch, channels, size, out_channels, kernel_size=3, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    shapes = [(batch, channels, *size), (out_channels, channels, kernel_size, kernel_size), (out_channels,)]
    return [rng.normal(size=shape).astype(np.float32).astype(dtype) for shape in shapes]


def check_equals_conv2d(size, padding, m, kernel_size=3, points=POINTS):
    x, weight, bias = arrays(2, 5, size, 3, kernel_size)
    got = conv2d_winograd(x, weight, bias, padding, m, points)
    expected = ops.conv2d(x, weight, bias, padding=padding)
    assert got.shape == expected.shape
    assert got.dtype == np.float64
    assert np.abs(got - expected).max() <= 1e-10 * np.abs(expected).max()


# --- The matrices


def test_identity_in_rational_numbers(subtests):
    for m, r in EVERY_SIZE:
        with subtests.test(m=m, r=r):
            check_identity(cook_toom(m, r))


@pytest.mark.parametrize(("m", "r"), SIZES)
def test_identity_at_other_points(m, r):
    check_identity(cook_toom(m, r, BALANCED_POINTS))
    check_identity(cook_toom(m, r, tuple(map(Fraction, (7, 1, -3, 0, 5, 2, 9)))))


@pytest.mark.parametrize(("m", "r"), SIZES)
def test_correlation_of_fractions(m, r):
    """The identity on numbers, by the docstring's formulas, in one and two dimensions."""
    rng = np.random.default_rng(0)
    bt, g_, at = cook_toom(m, r)
    draw = np.vectorize(lambda top, bottom: Fraction(int(top), int(bottom)), otypes=[object])
    d, g = (draw(rng.integers(-99, 99, (n, n)), rng.integers(1, 99, (n, n))) for n in (m + r - 1, r))
    assert_same(
        at @ ((g_ @ g[0]) * (bt @ d[0])), np.array([sum(g[0, u] * d[0, i + u] for u in range(r)) for i in range(m)])
    )
    direct = [[(g * d[i : i + r, j : j + r]).sum() for j in range(m)] for i in range(m)]
    assert_same(at @ ((g_ @ g @ g_.T) * (bt @ d @ bt.T)) @ at.T, np.array(direct))


@pytest.mark.parametrize(("m", "r"), list(PUBLISHED))
def test_published_matrices(m, r):
    """Equal products: sign and scale of a row may be in any of the three matrices."""
    published = [rational(text) for text in PUBLISHED[m, r]]
    check_identity(published)
    assert_same(bilinear(*cook_toom(m, r))[1], bilinear(*published)[1])
    for ours, theirs in zip(cook_toom(m, r), published, strict=True):
        assert_same(abs(ours), abs(theirs))


def test_f43_equals_lavin_and_gray_including_signs():
    for ours, text in zip(cook_toom(4, 3), PUBLISHED[4, 3], strict=True):
        assert_same(ours, rational(text))


def test_column_1_is_ones_so_a_bias_is_added_at_one_position(subtests):
    for m, r in EVERY_SIZE:
        with subtests.test(m=m, r=r):
            t = transforms(m, r)
            assert (t.output_transform[:, 1] == 1).all()
            lone = np.zeros((t.tile, t.tile))
            lone[1, 1] = 0.1
            assert_same(t.output_transform @ lone @ t.output_transform.T, np.full((m, m), 0.1))


@pytest.mark.parametrize(
    ("points", "sizes"), [(POINTS, EVERY_SIZE), (BALANCED_POINTS, SIZES)], ids=["usual", "balanced"]
)
def test_float64_matrices(subtests, points, sizes):
    for m, r in sizes:
        with subtests.test(m=m, r=r):
            check_float64_matrices(m, r, points)


def check_float64_matrices(m, r, points):
    t, exact = transforms(m, r, points), cook_toom(m, r, points)
    assert (t.m, t.r, t.tile) == (m, r, m + r - 1)
    found = (t.input_transform, t.kernel_transform, t.output_transform)
    assert [a.shape for a in found] == [(t.tile, t.tile), (t.tile, r), (m, t.tile)]
    for array, fractions in zip(found, exact, strict=True):
        assert array.dtype == np.float64
        assert not array.flags.writeable
        assert (abs(array - fractions.astype(float)) <= 2.0**-53 * abs(array)).all()
    for index in (0, 2):  # B^T and A^T: no rounding, even in float32
        assert all(
            Fraction(float(np.float32(a))) == b for a, b in zip(found[index].flat, exact[index].flat, strict=True)
        )
        if t.tile <= 6 and points is POINTS:
            assert all(entry.denominator == 1 for entry in exact[index].flat)


def test_transforms_are_cached():
    assert transforms(4) is transforms(4)
    assert transforms(4).r == 3


def test_balanced_points_are_the_usual_ones_except_for_tile_6():
    for count, same in ((3, True), (5, False), (7, True)):
        assert (set(POINTS[:count]) == set(BALANCED_POINTS[:count])) is same


# --- Convolution


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
    assert relative_error(2) < relative_error(4, BALANCED_POINTS) < 0.8 * relative_error(4)


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


@pytest.mark.parametrize("points", ["0 1 1", "1 0 -1"])
def test_invalid_points_are_refused(points):
    with pytest.raises(ValueError, match="the points must be distinct and the second one 1"):
        cook_toom(2, 3, tuple(map(Fraction, points.split())))


# --- Planted faults: the checks above reject them


@pytest.mark.parametrize(("m", "r"), SIZES)
@pytest.mark.parametrize("which", [0, 1, 2], ids=["input", "kernel", "output"])
def test_one_wrong_sign_breaks_the_identity(m, r, which):
    matrix = cook_toom(m, r)[which]
    for index in np.argwhere(matrix != 0):
        faulty = [a.copy() for a in cook_toom(m, r)]
        faulty[which][tuple(index)] *= -1
        with pytest.raises(AssertionError):
            check_identity(faulty)


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
