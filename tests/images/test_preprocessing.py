"""Preprocessing is bit-identical to torchvision's, and the comparison detects small deviations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from npresnet.errors import ArchitectureError, ImageError
from npresnet.images import PRESETS, Preprocess, cropped, preprocess, preprocessing, read
from npresnet.images.draft import whole
from npresnet.images.presets import INTERPOLATIONS
from npresnet.images.reading import decoded
from tests.images.pictures import by_torchvision, encoded, noise, picture, same_bits
from tests.support.torchvision_import import import_torchvision

# (height, width): smaller than the crop, at its edges, odd remainders, strips
SIZES = [(1, 1), (2, 3), (20, 17), (31, 33), (32, 32), (223, 224), (224, 224), (225, 300), (224, 500), (500, 224)]
SIZES += [(232, 232), (256, 256), (256, 227), (227, 256), (255, 257), (375, 500), (499, 333), (600, 450), (1, 500)]
SIZES += [(500, 1), (3, 700), (700, 5), (1000, 999)]


def different_photos(photos: list[Path], name: str) -> Iterator[str]:
    """Yield the photos whose preprocessing by a preset differs from torchvision's."""
    for path in photos:
        with Image.open(path) as image:
            expected = by_torchvision(image.convert("RGB"), PRESETS[name])
        if not same_bits(preprocess(path, name), expected):
            yield path.name


@pytest.mark.parametrize("name", ["V1", "V2"])
def test_all_photos(photos, name):
    assert list(different_photos(photos, name)) == []


@pytest.mark.parametrize("weights", ["IMAGENET1K_V1", "IMAGENET1K_V2"])
def test_the_transforms_of_torchvisions_weights(photos, weights):
    transform = getattr(import_torchvision().models.ResNet50_Weights, weights).transforms()
    for path in photos[::10]:
        with Image.open(path) as image:
            expected = transform(image.convert("RGB")).numpy()[np.newaxis]
        assert same_bits(preprocess(path, weights), expected)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_size(size):
    image = picture("RGB", *size)
    for how in PRESETS.values():
        if not how.antialias:
            continue  # see test_clips.py
        if max(size) / min(size) > 300 and how.resize == 232:
            continue  # such long strips take a second each; one preset is enough
        assert same_bits(preprocess(image, how), by_torchvision(image, how)), how


def test_every_remainder_of_the_crop():
    """Python rounds halves to even: 1/2 to 0, 3/2 to 2. All four remainders, on both axes."""
    for extra in range(8):
        image = picture("RGB", 32 + extra, 40 - extra)
        how = Preprocess(resize=None, crop=32)
        assert same_bits(preprocess(image, how), by_torchvision(image, how)), extra


def test_every_padding():
    """Smaller than the crop along one axis or both, by odd and even numbers: padded with black."""
    how = Preprocess(resize=None, crop=(8, 9), mean=(0.0,) * 3, std=(1.0,) * 3)
    for height in range(1, 12):
        for width in range(1, 13):
            image = picture("RGB", height, width)
            assert same_bits(preprocess(image, how), by_torchvision(image, how)), (height, width)


OWN = [
    Preprocess(resize=None, crop=None),
    Preprocess(resize=None, crop=50),
    Preprocess(resize=64, crop=None),
    Preprocess(resize=(40, 70), crop=(33, 61)),
    Preprocess(resize=(90, 30), crop=(101, 100)),
    Preprocess(resize=64, crop=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.25, 1.0)),
    Preprocess(resize=48, crop=48, mean=(0.0, 0.0, 0.0), std=(1 / 3, 1e-3, 7.0)),
    *(Preprocess(resize=75, crop=60, interpolation=name) for name in INTERPOLATIONS),
    *(Preprocess(resize=300, crop=224, interpolation=name) for name in INTERPOLATIONS),
]


@pytest.mark.parametrize("how", OWN, ids=str)
def test_custom_preprocessing(how):
    image = picture("RGB", 133, 207)
    assert same_bits(preprocess(image, how), by_torchvision(image, how))


def test_grey_networks():
    how = Preprocess(resize=28, crop=28, mean=(0.1307,), std=(0.3081,))
    image = picture("RGB", 50, 61)
    x = preprocess(image, how)
    assert x.shape == (1, 1, 28, 28)
    assert same_bits(x, by_torchvision(image.convert("L"), how))
    assert cropped(image, how).shape == (28, 28, 3)


def test_cifar_pixels_are_not_resized():
    pixels = noise(32, 32)
    assert np.array_equal(cropped(pixels, "cifar10"), pixels)
    assert same_bits(preprocess(pixels, "cifar10"), by_torchvision(Image.fromarray(pixels), PRESETS["cifar10"]))


def test_the_array_is_contiguous_float32_and_owned_by_the_caller():
    x = preprocess(noise(300, 250), "V1")
    assert x.shape == (1, 3, 224, 224)
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    assert x.flags.writeable
    assert x.flags.owndata


def test_cropped_is_the_networks_input():
    how = Preprocess(resize=64, crop=48, mean=(0.0,) * 3, std=(1.0,) * 3)
    pixels = cropped(noise(100, 90), how)
    assert pixels.shape == (48, 48, 3)
    assert pixels.flags.writeable
    x = preprocess(noise(100, 90), how)[0].transpose(1, 2, 0)
    assert np.array_equal(np.rint(x * 255).astype(np.uint8), pixels)


def test_the_source_is_not_changed():
    image, array = picture("RGB", 40, 40), noise(40, 40)
    for how in (Preprocess(), Preprocess(resize=None, crop=None)):
        preprocess(image, how)
        preprocess(array, how)
        cropped(image, how)[:] = 0
        cropped(array, how)[:] = 0
    assert np.array_equal(np.asarray(image), np.asarray(picture("RGB", 40, 40)))
    assert np.array_equal(array, noise(40, 40))


def test_a_strip_that_would_exceed_memory():
    with pytest.raises(ImageError, match="1x60000 pixels and would be resized to 256x15360000"):
        preprocess(Image.new("L", (1, 60_000)))


def test_an_invalid_preset_is_not_an_image_error(photos):
    with pytest.raises(ArchitectureError, match="V1, V2, cifar10"):
        preprocess(photos[0], "V3")


def test_all_sources_of_an_encoded_image_agree(tmp_path):
    data = encoded(picture("RGB", 300, 280), "PNG")
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    expected = by_torchvision(picture("RGB", 300, 280), PRESETS["V1"])
    with open(path, "rb") as file:
        for source in (path, str(path), data, bytearray(data), memoryview(data), file, Image.open(path)):
            assert same_bits(preprocess(source), expected), type(source)
    assert same_bits(preprocess(noise(300, 280)), expected)


# --- planted faults: each must make the comparison with torchvision fail --------------------------------------------


def without_antialias(image, size, interpolation, box):
    return image.transform(size, Image.Transform.EXTENT, (0, 0, *image.size), Image.Resampling.BILINEAR)


def resize_rounding_the_long_side(size, wanted):
    width, height = size
    short = min(size)
    return round(wanted * width / short), round(wanted * height / short)


def decoded_bgr(source, **options):
    options = {name: value for name, value in options.items() if name not in ("check", "draft")}
    image = Image.fromarray(np.asarray(read(source, **options))[:, :, ::-1].copy())
    return image, None, whole(image.size)


def decoded_in_draft_mode(source, **options):
    image = Image.open(source)
    image.draft("RGB", (256, 256))
    image = image.convert("RGB")
    return image, None, whole(image.size)


def decoded_turned(source, **options):
    return decoded(source, **{**options, "exif": True})


def table_by_reciprocal(mean, std):
    values = np.arange(256, dtype=np.float32) * np.float32(1 / 255)
    return ((values - np.float32(mean)[:, None]) / np.float32(std)[:, None]).astype(np.float32)


def table_in_one_step(mean, std):
    """The common shortcut x * scale + shift."""
    scale = 1 / (255 * np.array(std))[:, None]
    return (np.arange(256) * scale - (np.array(mean) / std)[:, None]).astype(np.float32)


FAULTS = [
    ("_resize", without_antialias),
    ("resized_size", resize_rounding_the_long_side),
    ("_offset", lambda size, wanted: (size - wanted) // 2),
    ("_offset", lambda size, wanted: int((size - wanted) / 2 + 0.5)),
    ("decoded", decoded_bgr),
    ("decoded", decoded_in_draft_mode),
    ("decoded", decoded_turned),
    ("_table", table_by_reciprocal),
    ("_table", table_in_one_step),
    ("_filter", lambda name: Image.Resampling.BICUBIC),
]


@pytest.mark.parametrize(("part", "fault"), FAULTS, ids=lambda value: getattr(value, "__name__", value))
def test_planted_faults_are_caught(photos, monkeypatch, part, fault):
    monkeypatch.setattr(preprocessing, part, fault)
    assert next(different_photos(photos, "V1"), None) is not None


def test_planted_padding_faults_are_caught(monkeypatch):
    right = preprocessing._offset
    for fault in (
        lambda size, wanted: right(size, wanted) - (size < wanted),
        lambda size, wanted: -((wanted - size + 1) // 2) if size < wanted else right(size, wanted),
        lambda size, wanted: round((size - wanted) / 2),
    ):
        monkeypatch.setattr(preprocessing, "_offset", fault)
        with pytest.raises(AssertionError):
            test_every_padding()


def test_blue_green_red():
    """The channels in reverse order, to the bit; also as the pixels that a GPU normalises."""
    image = noise(40, 50)
    how = Preprocess(resize=36, crop=32, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    x = preprocess(image, how)
    assert same_bits(preprocess(image, how.evolve(bgr=True)), x[:, ::-1])
    turned = preprocessing.pixels(image, how.evolve(bgr=True))
    assert same_bits(turned, preprocessing.pixels(image, how)[:, :, ::-1])
    assert turned.flags.c_contiguous
    assert same_bits(cropped(image, how.evolve(bgr=True)), cropped(image, how))
