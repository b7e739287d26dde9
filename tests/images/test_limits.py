"""Sizes are worked out before a picture is decoded; what is refused says which option allows it."""

from __future__ import annotations

import io
import os
import struct
import threading
import warnings

import numpy as np
import pytest
from PIL import Image

import npresnet
from npresnet.errors import ImageError, ShapeError
from npresnet.images import Preprocess, clips, cropped, limits, pixels, preprocess, read
from tests.images.pictures import encoded, picture

KINDS = [
    ("PNG", "RGB"),
    ("JPEG", "RGB"),
    ("GIF", "P"),
    ("BMP", "RGB"),
    ("TIFF", "RGB"),
    ("WEBP", "RGB"),
    ("PPM", "RGB"),
]


@pytest.fixture
def undecoded(monkeypatch):
    """Decoding is an error."""

    def load(self):
        raise AssertionError("decoded before its size was checked")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)


@pytest.mark.parametrize(("kind", "mode"), KINDS, ids=str)
def test_a_smaller_limit(undecoded, tmp_path, kind, mode):
    data = encoded(picture(mode, 30, 41), kind)
    (tmp_path / "a.picture").write_bytes(data)
    for source in (data, io.BytesIO(data), tmp_path / "a.picture"):
        for function in (read, preprocess, pixels, cropped):
            with pytest.raises(
                ImageError, match=r"has 41x30 = 1230 pixels, more than max_pixels = 1229; .*--max-pixels"
            ):
                function(source, max_pixels=1229)


@pytest.mark.parametrize(("kind", "mode"), KINDS, ids=str)
def test_a_larger_limit_than_pillows(monkeypatch, tmp_path, kind, mode):
    """Without a warning, and without changing Pillow's limit, which is the whole process's."""
    data = encoded(picture(mode, 30, 41), kind)
    (tmp_path / "a.picture").write_bytes(data)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if kind == "TIFF" else "error")  # of TIFFs Pillow warns while it decodes
        for source in (data, io.BytesIO(data), tmp_path / "a.picture", str(tmp_path / "a.picture")):
            assert np.array_equal(np.asarray(read(source, max_pixels=1230)), expected)
            with pytest.raises(ImageError, match="max_pixels = 1229"):
                read(source, max_pixels=1229)
    assert Image.MAX_IMAGE_PIXELS == 1000
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600)  # of twice this Pillow itself raises
    with pytest.raises(ImageError, match=r"PIL.Image.MAX_IMAGE_PIXELS .*allow more by max_pixels"):
        read(data)


def test_a_larger_limit_refuses_what_is_no_picture(tmp_path):
    limit = 10**9
    for data, match in (
        (b"", "empty"),
        (b"hello " * 9, "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not an image|EPS"),
    ):
        (tmp_path / "a.png").write_bytes(data)
        for source in (data, tmp_path / "a.png"):
            with pytest.raises(ImageError, match=match):
                read(source, max_pixels=limit)
    with pytest.raises(ImageError, match="does not exist"):
        read(tmp_path / "absent.png", max_pixels=limit)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs a list of open files")
def test_a_larger_limit_closes_the_file(tmp_path):
    (tmp_path / "good.png").write_bytes(encoded(picture("RGB", 8, 8), "PNG"))
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    before = len(os.listdir("/proc/self/fd"))
    kept = []
    for _ in range(5):
        read(tmp_path / "good.png", max_pixels=10**9)
        with pytest.raises(ImageError) as caught:
            read(tmp_path / "bad.png", max_pixels=10**9)
        kept.append(caught)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("bad", [0, -1, 2.5, "many", True, [5]], ids=repr)
def test_limits_that_are_none(bad):
    for source in (b"", Image.new("L", (2, 2)), np.zeros((2, 2, 3), np.uint8)):
        with pytest.raises(ImageError, match="max_pixels must be a positive integer"):
            read(source, max_pixels=bad)
    with pytest.raises(ShapeError, match="max_pixels must be an integer >= 1"):
        npresnet.load("demo", max_pixels=bad)


STRIPS = [
    ((1, 60_000), Preprocess(), "1x60000 pixels and would be resized to 256x15360000"),
    ((60_000, 1), Preprocess(), "60000x1 pixels and would be resized to 15360000x256"),
    ((3, 20_000), Preprocess(resize=512), "3x20000 pixels and would be resized to 512x3413333"),
    ((1, 700_000), Preprocess(resize=(128, 171), crop=112), "would be resized to 171x128"),
    (
        (9_000, 1_000),
        Preprocess(resize=None, crop=None, antialias=False),
        r"would have 9000x1000 = 9000000, more than 8000",
    ),
    ((10, 2_000), Preprocess(resize=40, crop=None), "would have 40x8000 = 320000, more than 8000"),
]


@pytest.mark.parametrize(("size", "how", "match"), STRIPS, ids=str)
def test_pictures_that_would_grow(undecoded, monkeypatch, size, how, match):
    if "more than 8000" in match:
        monkeypatch.setattr(limits, "MAX_INPUT_PIXELS", 8_000)
    data = encoded(Image.new("1", size), "PNG")
    for source in (data, Image.new("L", size)):
        with pytest.raises(ImageError, match=match) as refusal:
            preprocess(source, how)
        assert "--max-pixels" in str(refusal.value)


def ico_claiming(width: int, height: int, image: Image.Image) -> bytes:
    """An ICO whose directory says another size than its picture has."""
    data = encoded(image, "PNG")
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, width, height, 0, 0, 1, 32, len(data), 22) + data


@pytest.mark.filterwarnings("ignore:Image was not the expected size")
def test_pictures_that_are_larger_than_their_file_says():
    strip = ico_claiming(16, 16, Image.new("RGBA", (1, 60_000)))
    with pytest.raises(ImageError, match="1x60000 pixels and would be resized to"):
        preprocess(strip)
    large = ico_claiming(16, 16, Image.new("RGBA", (90, 70)))
    for function in (read, preprocess):
        function(large, max_pixels=6300)
        with pytest.raises(ImageError, match="90x70 = 6300 pixels, more than max_pixels = 6299"):
            function(large, max_pixels=6299)


def test_growth_is_allowed_by_max_pixels(monkeypatch):
    image = Image.new("L", (1, 400), 9)
    monkeypatch.setattr(limits, "MAX_RESIZED_PIXELS", 64 * 25_000)
    monkeypatch.setattr(limits, "MAX_INPUT_PIXELS", 64 * 25_000)
    for crop in (24, None):
        with pytest.raises(ImageError, match="max_pixels"):
            preprocess(image, Preprocess(resize=64, crop=crop))
        x = preprocess(image, Preprocess(resize=64, crop=crop), max_pixels=64 * 64 * 400)
        assert x.shape == ((1, 3, 24, 24) if crop else (1, 3, 25_600, 64))


def test_what_the_caller_asks_of_every_picture_is_no_growth(monkeypatch):
    monkeypatch.setattr(limits, "MAX_RESIZED_PIXELS", 1_000)
    monkeypatch.setattr(limits, "MAX_BETWEEN_PIXELS", 1_000)
    monkeypatch.setattr(limits, "MAX_INPUT_PIXELS", 1_000)
    for how in (
        Preprocess(resize=80, crop=70),
        Preprocess(resize=(300, 400), crop=None),
        Preprocess(resize=None, crop=99),
    ):
        preprocess(picture("RGB", 40, 90), how)


def test_frames_of_clips():
    frames = [encoded(picture("RGB", 30, 41, seed), "PNG") for seed in range(2)]
    assert clips.preprocess_clip(frames, max_pixels=1230).shape == (1, 3, 2, 112, 112)
    with pytest.raises(ImageError, match=r"frame 0 of the clip .* max_pixels = 1229"):
        clips.preprocess_clip(frames, max_pixels=1229)


def test_models(tmp_path):
    """Every way of a model to images, and what is saved or copied."""
    import pickle

    path, data = tmp_path / "a.png", encoded(picture("RGB", 30, 41), "PNG")
    path.write_bytes(data)
    with npresnet.load("demo", max_pixels=1229, threads=1) as model:
        assert (model.config["max_pixels"].value, model.config["max_pixels"].origin) == (1229, "caller")
        copy = pickle.loads(pickle.dumps(model))
        for function in (model.predict, model.preprocess, model.embed, model.cam, copy.predict):
            with pytest.raises(ImageError, match="max_pixels = 1229"):
                function(path)
        for function in (model.predict, model.embed):
            with pytest.raises(ImageError, match="max_pixels = 1229"):
                function([data, path])
        ((_, error),) = model.stream(str(path))
        assert isinstance(error, ImageError)
        assert "max_pixels = 1229" in str(error)
        model.save(tmp_path / "saved.npz")
    with npresnet.load(tmp_path / "saved.npz", threads=1) as model:
        assert model.config["max_pixels"].value is None  # a file does not limit, nor allow
        model.predict(path)
    with npresnet.build("cifar_resnet8", num_classes=10, max_pixels=1230, threads=1) as model:
        model.predict(path)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_threads_with_different_limits(monkeypatch):
    data = encoded(picture("RGB", 30, 41), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1229)
    refused = {}

    def work(limit):
        refused[limit] = 0
        for _ in range(40):
            try:
                read(data, max_pixels=limit)
            except ImageError:
                refused[limit] += 1

    threads = [threading.Thread(target=work, args=(limit,)) for limit in (1000, 1229, 1230, 10**9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == {1000: 40, 1229: 40, 1230: 0, 10**9: 0}
