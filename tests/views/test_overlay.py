"""The blended heat map: the equation, a uniform colour map, and refused arguments."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet.errors import ShapeError
from npresnet.views import overlay


def lightness(colours: np.ndarray) -> np.ndarray:
    """CIE 1976 L*, 0 to 100, of sRGB colours (..., 3) uint8."""
    c = colours / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(y > (6 / 29) ** 3, 116 * np.cbrt(y) - 16, y * (29 / 3) ** 3)


def test_lightness_increases_uniformly():
    steps = np.diff(lightness(overlay.colours(np.linspace(0, 1, 33))))
    assert (steps > 0).all()
    assert steps.max() < 2 * steps.mean()
    assert steps.min() > steps.mean() / 3


def test_the_ends_and_the_stops():
    table = overlay.colours(np.linspace(0, 1, 9))
    assert table[0].tolist() == [0, 0, 4]
    assert table[-1].tolist() == [252, 255, 164]
    assert np.abs(table.astype(int) - overlay.INFERNO).max() <= 3  # a stop may be between two of the 256 entries


def test_the_equation():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (13, 17, 3), np.uint8)
    heat = rng.random((13, 17)).astype(np.float32)
    got = overlay.cam(picture, heat)
    assert got.dtype == np.uint8
    for i, j in np.ndindex(13, 17):
        red, green, blue = map(float, picture[i, j])
        grey = 0.299 * red + 0.587 * green + 0.114 * blue
        a = overlay.COLD + (overlay.HOT - overlay.COLD) * float(heat[i, j])
        for c in range(3):
            mixed = (1 - a) * grey + a * overlay.colours(heat[i, j])[c]
            assert abs(got[i, j, c] - mixed) <= 0.501


def test_opacity_of_cold_and_hot_positions():
    picture = np.full((4, 4, 3), 128, np.uint8)
    heat = np.zeros((4, 4), np.float32)
    heat[1, 2] = 1
    out = overlay.cam(picture, heat)
    assert (out[0, 0] == [83, 83, 85]).all()
    assert out[1, 2, 0] > 180
    assert out[1, 2, 1] > 180


def test_inputs_are_not_modified_and_may_be_strided():
    picture = np.random.default_rng(1).integers(0, 256, (8, 10, 3), np.uint8)
    heat = np.linspace(0, 1, 80).reshape(8, 10)
    before = picture.copy(), heat.copy()
    out = overlay.cam(picture, heat)
    assert np.array_equal(picture, before[0])
    assert np.array_equal(heat, before[1])
    assert np.array_equal(overlay.cam(picture[::-1, ::2], heat[::-1, ::2]), out[::-1, ::2])


PICTURE, HEAT = np.zeros((8, 9, 3), np.uint8), np.zeros((8, 9), np.float32)
BAD = [
    (PICTURE.astype(np.float32), HEAT, r"picture must be \(H, W, 3\) uint8"),
    (PICTURE[:, :, 0], HEAT, r"picture must be \(H, W, 3\) uint8"),
    (PICTURE.transpose(2, 0, 1), HEAT, r"picture must be \(H, W, 3\) uint8"),
    (PICTURE, HEAT.T, r"height and width \(8, 9\), got \(9, 8\)"),
    (PICTURE, HEAT[:7], r"height and width \(8, 9\), got \(7, 9\)"),
    (PICTURE, HEAT.astype(np.uint8), "must be floats"),
    (PICTURE, HEAT - 0.1, r"must lie in 0\.\.1"),
    (PICTURE, HEAT + 1.1, r"must lie in 0\.\.1"),
    (PICTURE, HEAT * np.nan, r"must lie in 0\.\.1"),
]


@pytest.mark.parametrize(("picture", "heat", "match"), BAD)
def test_refused(picture, heat, match):
    with pytest.raises(ShapeError, match=match):
        overlay.cam(picture, heat)
