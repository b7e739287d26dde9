"""Distances in float32 numbers."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet.teach.ulps import bits, ulps

ONE = np.float32(1)


@pytest.mark.parametrize("start", [0.0, 1.0, -1.0, 1e-45, 3e38, -7.25])
def test_neighbours_are_one_apart(start):
    here = np.float32(start)
    up = np.nextafter(here, np.float32(np.inf))
    assert (ulps(here, up), ulps(up, here), ulps(here, here)) == (1, 1, 0)


def test_across_zero():
    least = np.nextafter(np.float32(0), ONE)
    assert ulps(-least, least) == 2
    assert ulps(np.float32(-0.0), np.float32(0.0)) == 0
    assert ulps(-ONE, ONE) == 2 * ulps(np.float32(0), ONE)


def test_a_power_of_two_holds_two_to_the_23():
    assert ulps(ONE, np.float32(2)) == 2**23


def test_nan_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        ulps(np.float32(np.nan), ONE)


def test_bits():
    assert bits(ONE) == "3f800000"
