"""The blended heat map: the equation, a uniform colour map, and refused arguments."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from npresnet import images
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


# --- over the whole photo -------------------------------------------------------------------------------------------


def photo_of(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)


def on_photo(photo: np.ndarray, heat: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    return np.asarray(overlay.on_photo(Image.fromarray(photo), heat.astype(np.float32), box))


def test_where_the_crop_is_the_photo_it_is_the_same_picture():
    photo, heat = photo_of(30, 50), np.random.default_rng(0).random((30, 50))
    assert np.array_equal(on_photo(photo, heat, (0, 0, 50, 30)), overlay.cam(photo, heat))


@pytest.mark.parametrize("box", [(10, 0, 40, 30), (0, 7, 50, 20), (3.4, 5.6, 20.4, 22.6)])
def test_outside_the_crop_the_photo_is_dim(box):
    photo, heat = photo_of(30, 50), np.full((8, 8), 0.5)
    left, top, right, bottom = map(round, box)
    inside = np.zeros((30, 50), bool)
    inside[top:bottom, left:right] = True
    out = on_photo(photo, heat, box)
    assert np.array_equal(out[~inside], np.rint(photo[~inside] * np.float32(overlay.DIM)).astype(np.uint8))
    expected = overlay.cam(photo, np.full((30, 50), 0.5))
    assert np.array_equal(out[inside], expected[inside])


def test_the_map_lies_where_the_crop_was():
    """A hot quarter of the map is the same quarter of the box, also where the photo is many times larger."""
    heat = np.zeros((16, 16))
    heat[:8, 8:] = 1
    for height, width, box in ((100, 160, (30, 0, 130, 100)), (640, 480, (0, 80, 480, 560)), (12, 20, (4, 0, 16, 12))):
        photo = np.full((height, width, 3), 128, np.uint8)
        hot = on_photo(photo, heat, box)[:, :, 0] > 150
        left, top, right, bottom = box
        x, y = (right - left) / 4, (bottom - top) / 4
        for row, column, expected in ((1, 3, True), (1, 1, False), (3, 3, False), (3, 1, False)):
            assert hot[int(top + row * y), int(left + column * x)] == expected, (height, row, column)
        rows, columns = np.nonzero(hot)
        assert abs(rows.min() - top) <= 1
        assert abs(columns.max() - (right - 1)) <= 1


def test_a_crop_that_reaches_beyond_the_photo():
    """Of a photo smaller than the crop, the part of the map on the photo's pixels."""
    heat = np.zeros((20, 20))
    heat[5:15, 5:15] = 1
    out = on_photo(np.full((10, 10, 3), 128, np.uint8), heat, (-5, -5, 15, 15))
    assert (out[1:-1, 1:-1, 0] > 180).all()


def test_bands_of_rows_join_without_a_seam(monkeypatch):
    photo, heat = photo_of(70, 40), np.random.default_rng(3).random((7, 7))
    whole = on_photo(photo, heat, (5.2, 3.3, 35.2, 66.6))
    monkeypatch.setattr(overlay, "BAND", 9)
    assert np.abs(on_photo(photo, heat, (5.2, 3.3, 35.2, 66.6)).astype(int) - whole).max() <= 1


SIZES = [(500, 375), (375, 500), (224, 224), (100, 80), (30, 30), (4000, 300)]


@pytest.mark.parametrize(
    "how", ["V1", "V2", "cifar10", {"resize": (64, 48), "crop": None}, {"resize": None, "crop": 64}]
)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_crop_in_the_photo_is_what_the_network_sees(how, size):
    """Cut from the photo there and scaled, the pixels are those of `cropped`, but for how they were resized."""
    x, y = np.meshgrid(np.linspace(0, 250, size[0]), np.linspace(0, 250, size[1]))
    photo = Image.fromarray(np.stack([x, y, x], axis=2).astype(np.uint8))
    expected = images.cropped(photo, how)
    left, top, right, bottom = images.crop_in_photo(size, how)
    place = ((right - left) / expected.shape[1], 0, left, 0, (bottom - top) / expected.shape[0], top)
    found = photo.transform(expected.shape[1::-1], Image.Transform.AFFINE, place, Image.Resampling.BILINEAR)
    same = np.abs(np.asarray(found).astype(int) - expected).max(axis=2) <= 4
    assert same.mean() > 0.96, (left, top, right, bottom)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (1, 40), (40, 1), (2, 4), (3, 2)])
@pytest.mark.parametrize("how", ["V1", "cifar10", {"resize": 32, "crop": (8, 24)}])
def test_the_map_is_on_a_photo_of_few_pixels_as_well(size, how):
    photo = Image.new("RGB", size, (200, 200, 200))
    heat = np.ones(images.cropped(photo, how).shape[:2], np.float32)
    shown = np.asarray(overlay.on_photo(photo, heat, images.crop_in_photo(size, how)))
    assert shown.shape == (*size[::-1], 3)
    assert (shown == overlay.cam(np.full((1, 1, 3), 200, np.uint8), np.ones((1, 1)))).all(axis=2).any()
