"""JPEG files of so many scans that a decoder would be busy for minutes."""

from __future__ import annotations

import contextlib
import io
import struct
import time

import numpy as np
import pytest
from PIL import Image

from npresnet.errors import ImageError
from npresnet.images import read, scans
from tests.images.pictures import encoded, picture

START, SCAN, END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"


def of_scans(count: int, height: int, width: int, *, baseline: bool = False) -> bytes:
    """A picture whose first scan is repeated, each time with a byte of data."""
    options = {"quality": 50} if baseline else {"progressive": True}
    data = encoded(picture("RGB", 24, 40), "JPEG", **options)
    frame = data.index(b"\xff\xc0" if baseline else b"\xff\xc2") + 5
    first = data.index(SCAN)
    header = data[first : first + 2 + struct.unpack_from(">H", data, first + 2)[0]]
    return data[:frame] + struct.pack(">HH", height, width) + data[frame + 4 : first] + (header + b"\0") * count + END


def with_segment(data: bytes, content: bytes) -> bytes:
    return START + b"\xff\xe5" + struct.pack(">H", len(content) + 2) + content + data[2:]


@pytest.mark.parametrize("source", [bytes, io.BytesIO, "path"], ids=str)
def test_many_scans_of_many_pixels_are_refused_before_they_are_decoded(tmp_path, source):
    data = of_scans(40_000, 4000, 4000)  # half a megabyte, minutes of decoding
    (tmp_path / "a.jpg").write_bytes(data)
    start_s = time.process_time()
    with pytest.raises(ImageError, match=r"JPEG file of 4000x4000 pixels with more than 134 scans"):
        read(tmp_path / "a.jpg" if source == "path" else source(data))
    assert time.process_time() - start_s < 1


def with_one_component(data: bytes) -> bytes:
    """Each scan of a baseline picture has its first component alone, so that further scans may follow."""
    first = data.index(SCAN)
    length = struct.unpack_from(">H", data, first + 2)[0]
    header = data[first : first + 2 + length]
    return data.replace(header, SCAN + struct.pack(">HB", 8, 1) + header[5:7] + header[-3:])


def test_sequential_files_of_many_scans_are_refused():
    with pytest.raises(ImageError, match="with more than 134 scans"):
        read(with_one_component(of_scans(2_000, 4000, 4000, baseline=True)))


def test_a_decoder_stops_behind_a_scan_of_all_components():
    data = of_scans(2_000, 4000, 4000, baseline=True)
    image = Image.open(io.BytesIO(data))
    start_s = time.process_time()
    scans.check_scans(image, "a")
    with contextlib.suppress(OSError):  # a byte is not all of its data
        image.load()
    assert time.process_time() - start_s < 2


def test_few_pixels_may_have_many_scans():
    data = of_scans(300, 24, 40)
    assert np.array_equal(np.asarray(read(data)), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


@pytest.mark.parametrize("side", [4000, 5000])
def test_either_limit_is_enough(side):
    most = max(scans.MAX_SCANS, scans.MAX_SCANNED_PIXELS // side**2)
    image = Image.open(io.BytesIO(of_scans(most, side, side)))
    scans.check_scans(image, "a")
    with pytest.raises(ImageError, match=f"more than {most} scans"):
        scans.check_scans(Image.open(io.BytesIO(of_scans(most + 1, side, side))), "a")


def test_what_looks_like_a_scan_is_none_in_other_data(monkeypatch):
    """In a segment, in a scan's data, and in what phones append after the picture."""
    monkeypatch.setattr(scans, "MAX_SCANNED_PIXELS", 1)
    plain = encoded(picture("RGB", 64, 64), "JPEG", progressive=True, restart_marker_blocks=2)
    found = scans.count_scans(plain, 1000)
    assert 5 <= found <= 12
    for data in (with_segment(plain, SCAN * 5000), plain + SCAN * 500, plain + START + SCAN * 500):
        assert scans.count_scans(data, 1000) == found
        scans.check_scans(Image.open(io.BytesIO(data)), "a")
    with pytest.raises(ImageError, match="more than 100 scans"):
        read(of_scans(101, 24, 40))


def test_the_file_is_left_where_it_was():
    file = io.BytesIO(encoded(picture("RGB", 30, 41), "JPEG"))
    image = Image.open(file)
    place = image.fp.tell()
    scans.check_scans(image, "a")
    assert image.fp.tell() == place
    scans.check_scans(picture("RGB", 3, 3), "a")  # no file
    scans.check_scans(Image.open(io.BytesIO(encoded(picture("RGB", 30, 41), "PNG"))), "a")
