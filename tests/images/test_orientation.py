"""EXIF orientation is applied whatever else the metadata holds; what cannot be read turns nothing."""

from __future__ import annotations

import io
import struct
import warnings

import numpy as np
import pytest
from PIL import Image, ImageOps

from npresnet.images import read
from npresnet.images.orientation import ORIENTATION
from tests.images.pictures import encoded, picture

# tag (its directory, type, value bytes): each reads, and most cannot be written again by Pillow
ODD_TAGS = {
    "altitude -1/1": (34853, 6, 10, struct.pack("<ii", -1, 1)),
    "altitude -1/0": (34853, 6, 10, struct.pack("<ii", -1, 0)),
    "latitude 0/0": (34853, 2, 5, struct.pack("<II", 0, 0)),
    "exposure -5/2": (34665, 37380, 5, struct.pack("<ii", -5, 2)),
    "aperture 1/0": (34665, 37378, 5, struct.pack("<II", 1, 0)),
    "text": (34665, 36867, 2, b"\xff\xfe\x00bad\x80\x00"),
    "unknown tag": (34665, 59932, 7, b"\x00" * 8),
    "unknown type": (34665, 59933, 77, b"\x01" * 8),
}


def exif_of(orientation: int, where: int, tag: int, kind: int, value: bytes) -> bytes:
    """An EXIF block with an orientation and one tag of 8 bytes in another directory."""
    ifd0 = struct.pack("<H", 2) + struct.pack("<HHIHH", ORIENTATION, 3, 1, orientation, 0)
    ifd0 += struct.pack("<HHII", where, 4, 1, 38) + bytes(4)
    count = 8 if kind in (2, 7, 77) else 1
    other = struct.pack("<H", 1) + struct.pack("<HHII", tag, kind, count, 56) + bytes(4) + value
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + ifd0 + other


def jpeg_with(block: bytes, image: Image.Image) -> bytes:
    data = encoded(image, "JPEG", quality=95)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]


@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 8])
@pytest.mark.parametrize("tag", ODD_TAGS.values(), ids=ODD_TAGS)
def test_odd_tags(tag, orientation):
    image = picture("RGB", 24, 40)
    data = jpeg_with(exif_of(orientation, *tag), image)
    plain = read(encoded(image, "JPEG", quality=95))
    plain.getexif()[ORIENTATION] = orientation
    expected = np.asarray(ImageOps.exif_transpose(plain))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of the tag
        assert np.array_equal(np.asarray(read(data, exif=True)), expected)
        assert np.array_equal(np.asarray(read(data)), np.asarray(plain))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_as_pillow_where_pillow_can(kind, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[271] = "a camera"
    data = encoded(picture("RGB", 24, 40), kind, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    turned = read(data, exif=True)
    assert np.array_equal(np.asarray(turned), expected)
    assert np.array_equal(np.asarray(read(turned, exif=True)), expected)  # not turned twice


def test_orientation_in_xmp():
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    data = encoded(picture("RGB", 24, 40), "JPEG", xmp=xmp)
    turned = read(data, exif=True)
    assert turned.size == ImageOps.exif_transpose(Image.open(io.BytesIO(data))).size == (24, 40)
    assert read(turned, exif=True).size == (24, 40)


BROKEN = [
    b"Exif\0\0",
    b"Exif\0\0II*\0",
    b"Exif\0\0XX*\0\x08\0\0\0",
    b"Exif\0\0II*\0\xff\xff\xff\xff",
    b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(20),
    b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", ORIENTATION, 3, 1, 9, 0),
    b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHI4s", ORIENTATION, 2, 2, b"6\0\0\0"),
]


@pytest.mark.parametrize("block", BROKEN, ids=lambda block: repr(block[6:30]))
def test_metadata_that_cannot_be_read(block):
    image = picture("RGB", 24, 40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        turned = read(jpeg_with(block, image), exif=True)
    assert np.array_equal(np.asarray(turned), np.asarray(read(encoded(image, "JPEG", quality=95))))


def test_deep_pictures_keep_their_format_when_turned():
    """A 16-bit file is one after it was turned, so that a dark one is no bright one."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    data = encoded(Image.fromarray(np.array([[0, 300, 65_535]], np.uint16)), "PNG", exif=exif)
    with pytest.warns(UserWarning, match="divided by 257"):
        turned = read(data, exif=True)
    assert turned.size == (1, 3)
    assert np.asarray(turned)[:, 0, 0].tolist() == [0, 1, 255]
