"""Reading: torchvision's pixels in every mode; images of more than 8 bits are scaled; EXIF only on request."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import npresnet.images
from npresnet.errors import ImageError
from npresnet.images import PRESETS, find, preprocess, read
from tests.images.pictures import by_torchvision, encoded, picture, same_bits

MODES = ["RGB", "L", "LA", "P", "RGBA", "RGBX", "CMYK", "1", "YCbCr", "HSV", "LAB", "PA"]


@pytest.mark.parametrize("mode", MODES)
def test_pil_images_of_every_mode(mode):
    image = picture("RGB", 60, 70).convert("P" if mode == "PA" else "RGB").convert(mode)
    got = read(image)
    assert (got.mode, got.size) == ("RGB", (70, 60))
    assert np.array_equal(np.asarray(got), np.asarray(image.convert("RGB")))
    assert same_bits(preprocess(image), by_torchvision(image.convert("RGB"), PRESETS["V1"]))


FILES = [
    *((mode, "PNG", {}) for mode in ("RGB", "L", "LA", "P", "RGBA", "1")),
    *((mode, "JPEG", {"quality": 90}) for mode in ("RGB", "L", "CMYK", "YCbCr")),
    *((mode, "TIFF", {}) for mode in ("RGB", "L", "LA", "P", "RGBA", "CMYK", "1", "LAB")),
    *((mode, "GIF", {}) for mode in ("L", "P")),
    *((mode, "BMP", {}) for mode in ("RGB", "L", "P", "1")),
    *((mode, "WEBP", {"lossless": True}) for mode in ("RGB", "RGBA")),
    *((mode, "PPM", {}) for mode in ("RGB", "L", "1")),
]


@pytest.mark.parametrize(("mode", "kind", "options"), FILES, ids=str)
def test_files_of_every_mode(mode, kind, options):
    data = encoded(picture(mode, 70, 55), kind, **options)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(np.asarray(read(data)), expected)


@pytest.mark.parametrize("transparency", [3, bytes(range(256))], ids=["one colour", "one value per colour"])
@pytest.mark.parametrize("mode", ["P", "L"])
def test_transparency_is_dropped_without_compositing_or_warning(mode, transparency):
    if mode == "L" and isinstance(transparency, bytes):
        transparency = 255
    data = encoded(picture(mode, 40, 40), "PNG", transparency=transparency)
    with Image.open(io.BytesIO(data)) as image, warnings.catch_warnings():
        assert "transparency" in image.info
        warnings.simplefilter("ignore")
        expected = np.asarray(image.convert("RGB"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(np.asarray(read(data)), expected)
        mine = Image.open(io.BytesIO(data))
        read(mine)
        assert "transparency" in mine.info  # the caller's image is unchanged


def test_first_frame_of_animations():
    frames = [picture("RGB", 20, 30, seed) for seed in range(3)]
    for kind, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        with Image.open(io.BytesIO(data)) as image:
            assert getattr(image, "n_frames", 1) == 3
            expected = np.asarray(image.convert("RGB"))
        assert np.array_equal(np.asarray(read(data)), expected)


# --- EXIF ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_only_on_request(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture("RGB", 24, 40), "PNG", exif=exif)
    plain = np.asarray(picture("RGB", 24, 40))
    turned = {
        1: plain, 2: plain[:, ::-1], 3: plain[::-1, ::-1], 4: plain[::-1],
        5: plain.transpose(1, 0, 2), 6: np.rot90(plain, -1),
        7: np.rot90(plain, 2).transpose(1, 0, 2), 8: np.rot90(plain),
    }  # fmt: skip
    assert np.array_equal(np.asarray(read(data)), plain)
    assert np.array_equal(np.asarray(read(data, exif=True)), turned[orientation])
    assert np.array_equal(np.asarray(read(Image.open(io.BytesIO(data)), exif=True)), turned[orientation])


def test_the_photo_with_an_exif_rotation(photos):
    turned = []
    for path in photos:
        with Image.open(path) as image:
            if image.getexif().get(0x0112, 1) == 1:
                continue
            turned.append(path)
            expected = by_torchvision(ImageOps.exif_transpose(image).convert("RGB"), PRESETS["V1"])
        assert same_bits(preprocess(path, {"preset": "V1", "exif": True}), expected)
        assert not same_bits(preprocess(path), expected)
    assert turned


# --- more than 8 bits ----------------------------------------------------------------------------------------------


def deep(values, dtype) -> Image.Image:
    return Image.fromarray(np.array([values], dtype))


DEEP = [
    ("16 bits", deep([0, 1, 128, 129, 257, 32768, 65535], np.uint16), [0, 0, 0, 1, 1, 128, 255], "divided by 257"),
    ("dark 16 bits", deep([0, 200], np.uint16), [0, 200], "taken as they are, as torchvision does"),
    ("32 bits as 16", deep([0, 257, 65535], np.int32), [0, 1, 255], "divided by 257"),
    ("32 bits", deep([-5, 0, 5], np.int32), [0, 127, 255], "from -5..5 to 0..255"),
    ("32 bits beyond 16", deep([0, 1 << 30], np.int32), [0, 255], "from 0..1.07374e\\+09 to 0..255"),
    ("unit floats", deep([0, 0.5, 1], np.float32), [0, 127, 255], "times 255"),
    ("floats", deep([-1, 0, 3], np.float32), [0, 63, 255], "from -1..3 to 0..255"),
    ("great floats", deep([-3e38, 0, 3e38], np.float32), [0, 127, 255], "from -3e\\+38..3e\\+38 to 0..255"),
    ("flat negative", deep([-4, -4], np.int32), [0, 0], "from -4..-4 to 0..255"),
]


@pytest.mark.parametrize(("image", "grey", "how"), [row[1:] for row in DEEP], ids=[row[0] for row in DEEP])
def test_deep_images_are_scaled_with_a_warning(image, grey, how):
    with pytest.warns(UserWarning, match=how):
        got = np.asarray(read(image))
    assert np.array_equal(got, np.repeat(np.array([grey], np.uint8)[:, :, np.newaxis], 3, axis=2))


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
@pytest.mark.parametrize("values", [[0, 7, 255], [2, 3, 4], [0, 0, 0]])
def test_deep_images_with_8_bit_values_match_pillow_and_torchvision(dtype, values):
    image = deep(values, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = read(image)
    assert np.array_equal(np.asarray(got), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_both_byte_orders(mode):
    values = np.array([[0, 257, 65535]], ">u2" if mode.endswith("B") else "<u2")
    image = Image.frombytes(mode, (3, 1), values.tobytes())
    with pytest.warns(UserWarning, match=mode):
        assert np.asarray(read(image))[0, :, 0].tolist() == [0, 1, 255]


def sixteen_bit_file(path, values):
    """A grey PNG, TIFF or PPM of 16 bits, by the path's suffix."""
    kind = path.suffix[1:].upper()
    if kind == "PPM":  # not written by older Pillows
        path.write_bytes(b"P5 %d 1 65535\n" % len(values) + np.array(values, ">u2").tobytes())
    else:
        path.write_bytes(encoded(deep(values, np.uint16), kind))


@pytest.mark.parametrize("exif", [False, True])
@pytest.mark.parametrize("kind", ["png", "tiff", "ppm"])
def test_16_bit_files_are_scaled_by_257(tmp_path, kind, exif):
    path = tmp_path / f"deep.{kind}"
    sixteen_bit_file(path, [0, 128, 129, 256])
    with pytest.warns(UserWarning, match=rf"deep.{kind} has more than 8 bits per pixel .* scaled divided by 257"):
        assert np.asarray(read(path, exif=exif))[0, :, 0].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("kind", ["png", "tiff", "ppm"])
def test_16_bit_files_of_8_bit_values_are_torchvisions(tmp_path, kind):
    """Masks and thermal pictures saved as uint16 by habit: 0..255 of 65,535 is no black picture."""
    path = tmp_path / f"habit.{kind}"
    sixteen_bit_file(path, [0, 1, 128, 200, 255])
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    with pytest.warns(UserWarning, match=rf"habit.{kind} .* taken as they are, as torchvision does"):
        got = np.asarray(read(path))
    assert np.array_equal(got, expected)
    assert got[0, :, 0].tolist() == [0, 1, 128, 200, 255]


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I", "F"])
def test_black_deep_pictures_are_black_without_a_word(mode):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not np.asarray(read(Image.new(mode, (3, 2)))).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_images_are_refused(bad):
    with pytest.raises(ImageError, match="NaN or infinity"):
        read(deep([0, bad, 1], np.float32))


def test_a_warning_raised_as_an_error_stays_a_user_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="scaled"):
            read(deep([0, 65535], np.uint16))


def test_threads_read_the_same_pixels(photos):
    expected = [preprocess(path).tobytes() for path in photos[:6]]
    found = {}

    def work(number):
        found[number] = [preprocess(path).tobytes() for path in photos[:6]]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[number] == expected for number in range(3))


def test_pillow_is_imported_only_when_an_image_is_read():
    code = "import sys; import npresnet.images; print('PIL' in sys.modules)"
    checkout = Path(npresnet.images.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_found_files_can_be_read(photos):
    listed = find(photos[0].parent)
    assert [os.path.basename(path) for path in listed] == [path.name for path in photos]
    assert read(listed[-1]).mode == "RGB"
