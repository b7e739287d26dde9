"""Winograd's matrices: exact in rational numbers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from npresnet.ops.winograd import BALANCED_POINTS, POINTS, cook_toom, transforms
from tests.support.checks import assert_same
from tests.support.winograd_checks import SIZES, bilinear, check_identity

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


@pytest.mark.parametrize(("m", "r"), EVERY_SIZE)
def test_identity_in_rational_numbers(m, r):
    check_identity(cook_toom(m, r))


@pytest.mark.parametrize(("m", "r"), SIZES)
def test_identity_at_other_points(m, r):
    if m + r - 2 <= len(BALANCED_POINTS):
        check_identity(cook_toom(m, r, BALANCED_POINTS))
    check_identity(cook_toom(m, r, tuple(map(Fraction, (7, 1, -3, 0, 5, 2, 9)))))


@pytest.mark.parametrize(("m", "r"), SIZES)
def test_correlation_of_fractions(m, r):
    """The same on numbers, in the words of the header, one and two dimensions."""
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
    """Product by product the same: the sign or scale of a row may stand in another of the three matrices."""
    published = [rational(text) for text in PUBLISHED[m, r]]
    check_identity(published)
    assert_same(bilinear(*cook_toom(m, r))[1], bilinear(*published)[1])
    for ours, theirs in zip(cook_toom(m, r), published, strict=True):
        assert_same(abs(ours), abs(theirs))


def test_f43_is_lavin_and_gray_to_the_sign():
    for ours, text in zip(cook_toom(4, 3), PUBLISHED[4, 3], strict=True):
        assert_same(ours, rational(text))


@pytest.mark.parametrize(
    ("m", "r", "points"),
    [(*size, POINTS) for size in EVERY_SIZE] + [(4, 3, BALANCED_POINTS)],
    ids=str,
)
def test_float64_matrices(m, r, points):
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


def test_made_once():
    assert transforms(4) is transforms(4)
    assert transforms(4).r == 3


@pytest.mark.parametrize(("m", "r"), SIZES)
@pytest.mark.parametrize("which", [0, 1, 2], ids=["input", "kernel", "output"])
def test_one_wrong_sign_breaks_the_identity(m, r, which):
    matrix = cook_toom(m, r)[which]
    for index in np.argwhere(matrix != 0):
        faulty = [a.copy() for a in cook_toom(m, r)]
        faulty[which][tuple(index)] *= -1
        with pytest.raises(AssertionError):
            check_identity(faulty)
