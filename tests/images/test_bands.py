"""In bands or whole, resizing gives torchvision's bits; and what is not kept is not held."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image

from npresnet.images import Preprocess, bands, bilinear, deep, preprocess, read
from npresnet.images.presets import INTERPOLATIONS
from tests.images.pictures import by_torchvision, noise, picture, same_bits

SIZES = [(1, 1), (1, 90), (90, 1), (3, 700), (700, 5), (64, 64), (133, 207), (208, 131)]  # (height, width)
HOWS = [
    Preprocess(resize=75, crop=60),
    Preprocess(resize=30, crop=(64, 20)),
    Preprocess(resize=50, crop=None),
    Preprocess(resize=(40, 170), crop=(33, 61)),
    Preprocess(resize=(133, 40), crop=None),
    Preprocess(resize=None, crop=50),
    Preprocess(resize=None, crop=None),
    Preprocess(resize=64, crop=None),
]


@pytest.fixture(params=[1, 300, 5000], ids=lambda pixels: f"bands of {pixels}")
def banded(request, monkeypatch):
    """Bands so small that every picture needs several, of one row or column at least."""
    for module in (bands, bilinear):
        monkeypatch.setattr(module, "BAND_PIXELS", request.param)
    monkeypatch.setattr(bilinear, "GROUP_PIXELS", request.param)
    monkeypatch.setattr(deep, "CACHED_PIXELS", request.param // 3)


@pytest.mark.parametrize("how", HOWS, ids=str)
def test_grey_pictures_have_the_bits_of_rgb(banded, how):
    """Resized as one channel, whatever order Pillow scales the axes in."""
    for size in SIZES:
        image = picture("L", *size)
        assert same_bits(preprocess(image, how), by_torchvision(image.convert("RGB"), how)), size


@pytest.mark.parametrize("name", INTERPOLATIONS)
def test_grey_pictures_with_every_filter(name):
    for size in ((133, 207), (90, 31), (2, 40), (400, 100)):
        for resize, crop in ((40, 33), (211, 150), ((200, 50), None)):
            how, image = Preprocess(resize=resize, crop=crop, interpolation=name), picture("LA", *size)
            assert same_bits(preprocess(image, how), by_torchvision(image.convert("RGB"), how)), (size, resize)


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "P", "RGBA", "RGBX", "CMYK", "1", "YCbCr", "HSV", "PA"])
def test_bands_of_every_mode(banded, mode):
    """Grey pictures stay grey until they are resized: RGB has the same channel three times."""
    image = picture("RGB", 60, 71).convert("P" if mode == "PA" else "RGB").convert(mode)
    if mode in ("P", "L"):
        image.info["transparency"] = 3
    how = Preprocess(resize=40, crop=36)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rgb, grey = image.convert("RGB"), image.convert("L")
    assert same_bits(preprocess(image, how), by_torchvision(rgb, how))
    assert np.array_equal(np.asarray(read(image)), np.asarray(rgb))
    one = Preprocess(resize=40, crop=36, mean=(0.5,), std=(0.25,))
    assert same_bits(preprocess(image, one), by_torchvision(grey, one))


@pytest.mark.filterwarnings("ignore:.*more than 8 bits")
@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I", "F"])
def test_bands_of_deep_pictures(banded, mode):
    values = np.random.default_rng(5).integers(0, 60_000, (41, 37))
    values[-1, -1] = 65_535  # in the last band: the scale is the whole picture's
    if mode.startswith("I;16"):
        image = Image.frombytes(mode, (37, 41), values.astype(">u2" if mode.endswith("B") else "<u2").tobytes())
        grey = (values + 128) // 257
    elif mode == "I":
        image, grey = (
            Image.fromarray((values * 9 - 7).astype(np.int32)),
            values * 9.0 * (255 / (65_535 * 9 - 9 * values.min())),
        )
        low = 9 * values.min()
        grey = (values * 9.0 - low) * (255 / (65_535 * 9 - low))
    else:
        image = Image.fromarray((values / 65_535).astype(np.float32))
        grey = np.asarray(image) * 255
    expected = Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    assert np.array_equal(np.asarray(read(image)), np.asarray(expected))
    how = Preprocess(resize=30, crop=24)
    assert same_bits(preprocess(image, how), by_torchvision(expected, how))


def test_bands_without_antialias(banded):
    from npresnet.images.bilinear import bilinear as whole

    for size in SIZES:
        for wanted in ((20, 31), (90, 77)):
            image, how = picture("RGB", *size), Preprocess(resize=wanted, crop=(19, 30), antialias=False)
            full = whole(np.asarray(image), *wanted)
            top, left = round((wanted[0] - 19) / 2), round((wanted[1] - 30) / 2)
            expected = by_torchvision(
                Image.fromarray(full[top : top + 19, left : left + 30].copy()), Preprocess(resize=None, crop=None)
            )
            assert same_bits(preprocess(image, how), expected), (size, wanted)


def test_long_strips_are_torchvisions():
    """Their resized pictures have tens of millions of pixels, of which 224 x 224 are kept."""
    for size in ((700, 1), (1, 700), (1100, 2)):
        image = Image.fromarray(noise(*size))
        assert image.size[::-1] == size
        how = Preprocess(resize=256, crop=224)
        assert same_bits(preprocess(image, how), by_torchvision(image, how)), size


def test_bands_cover_every_row_once(monkeypatch):
    monkeypatch.setattr(bands, "BAND_PIXELS", 1000)
    for height in (1, 2, 99, 100, 101, 1000):
        image = Image.fromarray(noise(height, 10))
        found = [(top, np.asarray(band)) for top, band in bands.row_bands(image)]
        assert [top for top, _ in found] == list(range(0, height, 100))
        assert np.array_equal(np.concatenate([rows for _, rows in found]), np.asarray(image))
