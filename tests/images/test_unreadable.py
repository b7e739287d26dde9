"""Invalid sources raise an ImageError that names them, within bounded time and memory."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from npresnet.errors import ImageError
from npresnet.images import preprocess, read
from tests.images.pictures import encoded, noise, picture

FOREIGN = [
    ("empty", b"", r"is empty \(0 bytes\)"),
    ("text", b"Hello, I am a text file.\n" * 9, "not an image that Pillow .* begins with b'Hello, I am '"),
    ("html", b"\n<!DOCTYPE html><html><body>404</body></html>", "HTML page"),
    ("lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    ("svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
    ("pdf", b"%PDF-1.7\n%...", "PDF"),
    ("zip", b"PK\x03\x04" + bytes(30), "zip archive"),
    ("npy", b"\x93NUMPY\x01\x00" + bytes(30), r"numpy.load\(path\)"),
    ("heic", b"\x00\x00\x00\x18ftypheic" + bytes(30), "HEIC or AVIF"),
    ("eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n", "executable program"),
    ("zeros", bytes(5000), "not an image that Pillow"),
]


@pytest.mark.parametrize(("data", "match"), [row[1:] for row in FOREIGN], ids=[row[0] for row in FOREIGN])
def test_foreign_bytes(tmp_path, data, match):
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=match) as caught:
        read(path)
    assert str(path) in str(caught.value)
    for source in (data, io.BytesIO(data)):
        with pytest.raises(ImageError, match=match):
            preprocess(source)


def test_paths_that_are_not_files(tmp_path):
    for path, match in (
        (tmp_path / "absent.jpg", "absent.jpg does not exist; check the spelling"),
        (tmp_path, "is a folder, not an image"),
        ("https://example.org/cat.jpg", "is a URL, not a file; download it first"),
        ("s3://bucket/cat.jpg", "is a URL, not a file; download it first, or .*--ray"),
        ("file:///home/cat.jpg", "is a URL; pass the path alone"),
        ("nul\0character.jpg", "cannot be read"),
        ("x" * 5000, "cannot be read: it is too long for a path"),
        ("", "^'' does not exist"),
    ):
        with pytest.raises(ImageError, match=match):
            read(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_is_refused_without_reading(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match=r"pipe or device.* pass its bytes \(on the command line: - < it\)"):
        read(tmp_path / "pipe.jpg")


def test_a_file_without_read_permission(tmp_path, monkeypatch):
    path = tmp_path / "secret.png"
    path.write_bytes(encoded(picture("RGB", 8, 8), "PNG"))

    def refuse(*args, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refuse)  # root ignores permissions
    with pytest.raises(ImageError, match=r"secret.png is not readable by this user"):
        read(path)


@pytest.mark.parametrize(
    ("code", "match"),
    [(errno.EMFILE, "too many files are open"), (errno.ENFILE, "too many"), (errno.ENOMEM, "does not fit into memory")],
)
def test_what_the_system_lacks_is_no_damage(tmp_path, monkeypatch, code, match):
    path = tmp_path / "good.png"
    path.write_bytes(encoded(picture("RGB", 8, 8), "PNG"))

    def refuse(*args, **options):
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ImageError, match=f"good.png .*{match}") as caught:
        read(path)
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize(
    "source", [None, 3, 2.5, [noise(8, 8)], {"image": 1}, object()], ids=lambda source: type(source).__name__
)
def test_other_types(source):
    with pytest.raises(ImageError, match="an image cannot be read from"):
        read(source)


def test_file_objects_that_cannot_be_read(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture("RGB", 8, 8), "PNG"))
    closed = open(path, "rb")  # noqa: SIM115
    closed.close()
    with pytest.raises(ImageError, match=r"a\.png was closed before it was read; .* or pass its path"):
        read(closed)
    with open(path, encoding="latin-1") as text, pytest.raises(ImageError, match=r"a\.png was opened as text"):
        read(text)
    with open(path, "rb") as file:
        read(file)
        assert not file.closed  # it belongs to the caller


def test_a_stream_without_seek():
    class Stream:
        def __init__(self, data):
            self.data = data

        def read(self, size=-1):
            data, self.data = (self.data, b"") if size < 0 else (self.data[:size], self.data[size:])
            return data

    data = encoded(picture("RGB", 9, 8), "PNG")
    assert np.array_equal(np.asarray(read(Stream(data))), np.asarray(picture("RGB", 9, 8)))
    with pytest.raises(ImageError, match=r"the file object is not an image .*it begins with b'no image'"):
        read(Stream(b"no image"))

    class Socket(Stream):
        def seek(self, place):
            raise io.UnsupportedOperation("seek")

    with pytest.raises(ImageError, match="the file object is an HTML page"):
        read(Socket(b"<html>404"))
    assert np.array_equal(np.asarray(read(Socket(data), max_pixels=10**9)), np.asarray(picture("RGB", 9, 8)))


def test_pictures_without_pixels():
    for size in ((0, 5), (5, 0), (0, 0)):
        with pytest.raises(ImageError, match="has no pixels"):
            read(Image.new("RGB", size))


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(60_000, 60_000), (10_000, 10_000), (2**31 - 1, 2**31 - 1)], ids=str)
def test_decompression_bombs(size):
    with pytest.raises(ImageError, match=r"PIL.Image.MAX_IMAGE_PIXELS"):
        read(png_claiming(*size))


def test_decompression_bomb_warning_as_an_error():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match=r"PIL.Image.MAX_IMAGE_PIXELS"):
            read(png_claiming(10_000, 10_000))


def test_the_limit_can_be_raised(monkeypatch):
    data = encoded(Image.new("L", (100, 100), 7), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 6_000)
    with pytest.warns(Image.DecompressionBombWarning), pytest.raises(ImageError, match="100x100 = 10000 pixels"):
        read(data)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert read(data).size == (100, 100)


def test_memory_error(monkeypatch):
    def exhausted(*args, **options):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "load", exhausted)
    with pytest.raises(ImageError, match="does not fit into memory"):
        read(picture("RGB", 8, 8))


KINDS = [("JPEG", "RGB"), ("JPEG", "CMYK"), ("PNG", "RGBA"), ("PNG", "P"), ("GIF", "P"), ("BMP", "RGB"), ("PPM", "RGB")]
KINDS += [
    ("TIFF", "RGB"),
    ("WEBP", "RGB"),
    ("TGA", "RGB"),
    ("ICO", "RGBA"),
    ("PCX", "RGB"),
    ("SGI", "RGB"),
    ("DDS", "RGB"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "mode"), KINDS, ids=str)
def test_truncated_files(kind, mode):
    data = encoded(picture(mode, 48, 48), kind)
    read(data)
    refused = 0
    for length in [1, 2, 3, 8, 12, 20, 33, *range(40, len(data) * 9 // 10, max(1, len(data) // 20))]:
        try:
            read(data[:length])
        except ImageError:
            refused += 1
    assert refused >= 7


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "mode"), KINDS, ids=str)
def test_damaged_files_return_an_image_or_raise_image_error(kind, mode):
    data = encoded(picture(mode, 24, 24), kind)
    rng = np.random.default_rng(1)
    for _ in range(60):
        broken = bytearray(data)
        for place in rng.integers(0, min(len(data), 400), 4):
            broken[place] = rng.integers(256)
        with contextlib.suppress(ImageError):  # any other exception fails the test
            assert read(bytes(broken)).mode == "RGB"


def test_a_truncated_photo_names_itself(photos, tmp_path):
    path = tmp_path / "half.jpg"
    path.write_bytes(photos[0].read_bytes()[:20_000])
    with pytest.raises(ImageError, match=r"half.jpg cannot be read: truncated, damaged or not supported .*truncated"):
        preprocess(path)
