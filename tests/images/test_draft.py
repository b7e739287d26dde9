"""JPEG files that are scaled while they are decoded: when, by how much, and where the picture then is."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

import npresnet
from npresnet.errors import ArchitectureError, ImageError
from npresnet.images import Preprocess, cropped, draft, preprocess, preprocessing
from npresnet.images.orientation import ORIENTATION
from npresnet.images.reading import decoded
from tests.images.pictures import same_bits

SMALL = Preprocess(resize=48, crop=48)
DRAFT = SMALL.evolve(draft=True)


def smooth(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """A ramp from left to right, one from top to bottom, and a low wave: JPEG hardly changes it."""
    x, y = np.linspace(0, 1, width)[None, :, None], np.linspace(0, 1, height)[:, None, None]
    channels = np.concatenate([x + 0 * y, y + 0 * x, 0.5 + 0.4 * np.sin(5 * x) * np.cos(4 * y)], axis=2)
    return Image.fromarray((channels * 255).astype(np.uint8)).convert(mode)


def jpeg(image: Image.Image, orientation: int = 1, **options) -> bytes:
    exif, file = Image.Exif(), io.BytesIO()
    exif[ORIENTATION] = orientation
    image.save(file, "JPEG", quality=97, exif=exif, **options)
    return file.getvalue()


def decoded_size(data: bytes, how: Preprocess) -> tuple[int, int]:
    return decoded(data, exif=how.exif, draft=lambda size: preprocessing.resized_size(size, how.resize))[0].size


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((287, 300), (287, 300)),  # a half would be 143.5, less than three times 48
        ((288, 300), (144, 150)),
        ((700, 575), (350, 288)),
        ((700, 576), (175, 144)),
        ((1203, 1153), (151, 145)),
        ((3000, 2000), (375, 250)),  # an eighth is the least
        ((2000, 100), (2000, 100)),
    ],
)
def test_the_final_resize_always_has_three_pixels_for_one(size, expected):
    assert draft.MARGIN == 3
    assert decoded_size(jpeg(smooth(*size)), DRAFT) == expected


@pytest.mark.parametrize("size", [(1203, 905), (401, 799), (1600, 1201), (777, 1031)])
@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
def test_the_picture_stays_where_it_is(size, orientation):
    """Sizes that 8 and 4 do not divide, turned every way: a shift by one decoded pixel would be 2 or more of 255."""
    data = jpeg(smooth(*size), orientation)
    for how in (DRAFT.evolve(exif=True), DRAFT.evolve(exif=True, resize=(30, 48), crop=None)):
        assert decoded_size(data, DRAFT) != size
        found, expected = cropped(data, how), cropped(data, how.evolve(draft=False))
        assert found.shape == expected.shape
        difference = np.abs(found.astype(int) - expected)
        assert difference.max() <= 2
        assert difference.mean() < 0.45


def test_a_part_that_is_not_where_it_should_be_is_seen(monkeypatch):
    """The planted fault of the test above: the whole decoded image is taken for the picture."""
    monkeypatch.setattr(preprocessing, "_resize", lambda image, size, filter, box: image.resize(size, 2))
    with pytest.raises(AssertionError):
        test_the_picture_stays_where_it_is((1600, 1201), 6)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
@pytest.mark.parametrize("grey", [False, True])
def test_other_modes_and_networks(mode, grey):
    data = jpeg(smooth(640, 480, mode))
    how = DRAFT.evolve(mean=[0.5], std=[0.5]) if grey else DRAFT
    assert decoded_size(data, how) == (320, 240)
    found, expected = preprocess(data, how), preprocess(data, how.evolve(draft=False))
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < 0.05


def test_phones_files_with_a_second_picture():
    file = io.BytesIO()
    smooth(640, 480).save(file, "MPO", save_all=True, append_images=[smooth(64, 48)], quality=95)
    assert decoded_size(file.getvalue(), DRAFT) == (320, 240)
    assert np.abs(cropped(file.getvalue(), DRAFT).astype(int) - cropped(file.getvalue(), SMALL)).max() <= 4


def test_everything_else_keeps_its_bits(tmp_path):
    large = smooth(640, 480)
    file = io.BytesIO()
    large.save(file, "PNG")
    sources = [file.getvalue(), large, np.asarray(large), jpeg(smooth(150, 150))]
    for source in sources:
        assert same_bits(preprocess(source, DRAFT), preprocess(source, SMALL))
    data = jpeg(large)
    assert same_bits(preprocess(data, DRAFT.evolve(resize=None)), preprocess(data, SMALL.evolve(resize=None)))
    assert not same_bits(preprocess(data, DRAFT), preprocess(data, SMALL)), "else this shows nothing"


def test_a_picture_of_the_caller_is_not_changed(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(smooth(640, 480)))
    with Image.open(tmp_path / "a.jpg") as image:
        x = preprocess(image, DRAFT)
        assert image.size == (640, 480)
    assert same_bits(x, preprocess(tmp_path / "a.jpg", SMALL))


def test_limits_are_of_the_file_and_not_of_what_is_decoded():
    data = jpeg(smooth(640, 480))
    preprocess(data, DRAFT, max_pixels=640 * 480)
    with pytest.raises(ImageError, match="640x480 = 307200 pixels, more than max_pixels = 307199"):
        preprocess(data, DRAFT, max_pixels=640 * 480 - 1)


def test_a_cut_file_is_told_as_ever():
    data = jpeg(smooth(640, 480))[:4000]
    with pytest.raises(ImageError) as with_draft:
        preprocess(data, DRAFT)
    with pytest.raises(ImageError) as without:
        preprocess(data, SMALL)
    assert str(with_draft.value) == str(without.value)


@pytest.mark.parametrize("fields", [{"interpolation": "nearest"}, {"antialias": False}])
def test_what_takes_single_pixels_refuses_it(fields):
    with pytest.raises(ArchitectureError, match="draft=True takes averages"):
        DRAFT.evolve(**fields)


def test_it_is_asked_for_and_kept(tmp_path):
    assert not any(how.draft for how in npresnet.images.PRESETS.values())
    model = npresnet.load("demo", preprocess={"preset": "cifar10", "draft": True})
    model.save(tmp_path / "own.npz")
    (tmp_path / "a.jpg").write_bytes(jpeg(smooth(640, 480)))
    plain, again = npresnet.load("demo"), npresnet.load(tmp_path / "own.npz")
    assert same_bits(model.preprocess(tmp_path / "a.jpg"), again.preprocess(tmp_path / "a.jpg"))
    assert not same_bits(model.preprocess(tmp_path / "a.jpg"), plain.preprocess(tmp_path / "a.jpg"))
    assert again.config["preprocess"].value["draft"] is True
    assert "JPEG scaled while decoding" in str(DRAFT)
