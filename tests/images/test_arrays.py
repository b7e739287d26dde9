"""Arrays as images: accepted arrays, their pixels, and messages for refused ones."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from npresnet.errors import ImageError
from npresnet.images import PRESETS, preprocess, read
from tests.images.pictures import by_torchvision, noise, picture, same_bits
from tests.support.torchvision_import import import_torchvision


def test_uint8_of_every_accepted_shape():
    rgb, grey = noise(30, 20), noise(30, 20, 1)
    assert np.array_equal(np.asarray(read(rgb)), rgb)
    assert np.array_equal(np.asarray(read(np.dstack([rgb, grey]))), rgb)  # alpha is dropped, not composited
    assert np.array_equal(np.asarray(read(grey)), np.repeat(grey, 3, axis=2))
    assert np.array_equal(np.asarray(read(grey[:, :, 0])), np.repeat(grey, 3, axis=2))


def test_strided_arrays():
    rgb = noise(31, 45)
    for view in (rgb[::-1], rgb[:, ::2], rgb[:, :, ::-1], rgb.transpose(1, 0, 2), np.asfortranarray(rgb)):
        assert np.array_equal(np.asarray(read(view)), view)
    rgb.setflags(write=False)
    assert np.array_equal(np.asarray(read(rgb)), rgb)


def test_arrays_are_preprocessed_like_images():
    assert same_bits(preprocess(noise(260, 300)), by_torchvision(picture("RGB", 260, 300), PRESETS["V1"]))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_every_pixel_value_round_trips_as_a_float(dtype):
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    floats = (pixels / np.float64(255)).astype(dtype)
    assert np.array_equal(np.asarray(read(floats, mode="L")), pixels)


def test_floats_become_pixels_as_in_torchvision():
    to_pil = import_torchvision().transforms.ToPILImage()
    for dtype in (np.float32, np.float64):
        floats = np.random.default_rng(0).random((40, 50, 3)).astype(dtype)
        assert np.array_equal(np.asarray(read(floats)), np.asarray(to_pil(floats)))


def test_torch_tensors_in_image_order():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    rgb = noise(12, 10)
    assert np.array_equal(np.asarray(read(torch.from_numpy(rgb))), rgb)
    with pytest.raises(ImageError, match=r"looks like \(C, H, W\)"):
        read(torch.from_numpy(rgb).permute(2, 0, 1))
    for image, way_out in (
        (torch.from_numpy(rgb).permute(2, 0, 1), r"channels must be last: image\.permute\(1, 2, 0\)"),
        (torch.zeros(1, 9, 9), r"image\.permute\(1, 2, 0\)"),
        (torch.zeros(9, 9, 3, dtype=torch.int64), r"pass image\.to\(torch\.uint8\) if"),
        (torch.zeros(9, 9, 3, dtype=torch.bool), r"pass image\.to\(torch\.uint8\) \* 255"),
    ):
        with pytest.raises(ImageError, match=way_out):
            read(image)
    with pytest.raises(ImageError, match="requires grad"):
        read(torch.zeros(4, 4, 3, requires_grad=True))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("beyond", [0, 1e-6, 5e-4, 1e-3])
def test_floats_a_thousandth_above_one_are_one(dtype, beyond):
    floats = np.full((6, 5, 3), 0.25, dtype)
    expected = np.array(read(floats))
    floats[1, 2, 0] = np.dtype(dtype).type(1 + beyond)
    expected[1, 2, 0] = 255
    before = floats.copy()
    assert np.array_equal(np.asarray(read(floats)), expected)
    assert np.array_equal(floats, before)


def test_what_resizing_leaves_above_one_is_read():
    torch = pytest.importorskip("torch")
    image = torch.from_numpy(np.random.default_rng(4).random((1, 3, 64, 64), np.float32) > 0.5).float()
    large = torch.nn.functional.interpolate(image, scale_factor=1.7, mode="bilinear", align_corners=True)
    large = large * (1 / 3) * 3 + 1e-4 * large
    assert large.max() > 1
    read(large[0].permute(1, 2, 0))


BAD = [
    (np.zeros((3, 32, 40), np.uint8), r"\(3, 32, 40\), uint8, looks like \(C, H, W\); .* image.transpose\(1, 2, 0\)"),
    (np.zeros((1, 28, 28), np.float32), r"looks like \(C, H, W\)"),
    (np.zeros((1, 3, 32, 40), np.float32), r"model\(x\)"),
    (np.zeros((2, 32, 40, 3), np.uint8), "as a list"),
    (np.zeros((32, 40, 2), np.uint8), "has 2 channels"),
    (np.zeros((32, 40, 5), np.uint8), "has 5 channels"),
    (np.zeros(100, np.uint8), r"has one axis; if it holds a file, .*array.tobytes\(\)"),
    (np.zeros(100, np.float32), "has 1 axes"),
    (np.uint8(5), "has 0 axes"),
    (np.zeros((0, 10, 3), np.uint8), "has no pixels"),
    (np.zeros((10, 0, 3), np.uint8), "has no pixels"),
    (np.zeros((10, 10, 0), np.uint8), "has no pixels"),
    (np.zeros((8, 8, 3), np.uint16), r"image // 257"),
    (np.zeros((8, 8, 3), np.int64), r"image.astype\(np.uint8\)"),
    (np.zeros((8, 8, 3), np.int8), r"image.astype\(np.uint8\)"),
    (np.zeros((8, 8), bool), "is boolean"),
    (np.zeros((8, 8, 3), complex), "unsupported dtype; expected uint8"),
    (np.full((8, 8, 3), "a"), r"array.ravel\(\).tolist\(\)"),
    (np.full((8, 1), None), r"holds no pixels; if it holds paths"),
    (np.full((8, 8, 3), 254.0), "holds 254; .* divide by 255"),
    (np.full((8, 8, 3), 1.0011), r"holds 1\.0011; .* divide by 255"),
    (np.full((8, 8, 3), 1.01, np.float16), r"holds 1\.\d+; .* divide by 255"),
    (np.full((8, 8, 3), -0.5, np.float32), r"holds -0.5; .* already normalised, pass it to model\(x\)"),
]
NOT_FINITE = [
    (np.full((8, 8, 3), bad, dtype), "NaN or infinity") for bad in (np.nan, np.inf, -np.inf) for dtype in "fde"
]


@pytest.mark.parametrize(("array", "match"), BAD + NOT_FINITE, ids=lambda value: "" if isinstance(value, str) else None)
def test_refused_arrays(array, match):
    with pytest.raises(ImageError, match=match):
        read(array)


def test_one_invalid_value_is_enough():
    floats = np.full((50, 50, 3), 0.5, np.float32)
    floats[49, 49, 2] = np.nan
    with pytest.raises(ImageError, match="NaN"):
        preprocess(floats)
    floats[49, 49, 2] = -1e-6
    with pytest.raises(ImageError, match=r"0\.\.1"):
        preprocess(floats)


def test_a_pil_image_is_not_read_through_its_array_interface():
    palette = picture("P", 10, 10)
    assert not np.array_equal(
        np.asarray(read(palette)), np.asarray(Image.fromarray(np.asarray(palette)).convert("RGB"))
    )
