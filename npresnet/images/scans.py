"""How many scans a JPEG file has: a file of ten bytes a scan can have a decoder go over all of its pixels for each.

A progressive file refines its picture scan by scan, about ten times; nothing bounds them, and libjpeg passes over the
coefficients of the whole picture in each. So many scans of many pixels are refused. The header tells neither, so that
the file's markers are followed: FF, a code, and for most the length of what follows. A scan's data ends at the next FF
that neither 0 (a data byte FF), nor another FF, nor D0 to D7 (restarts) follow.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from npresnet.errors import ImageError

if TYPE_CHECKING:
    from PIL import Image

MAX_SCANS = 100  # libtiff's limit, for JPEG data in TIFF files
MAX_SCANNED_PIXELS = 2**31  # of all scans: about half a second
_FORMATS = ("JPEG", "MPO")
_SCAN, _END = 0xDA, 0xD9
_MARKER = rb"\xff[^\x00\x01\xd0-\xd8\xff]"  # those with a length, and the end


def check_scans(image: Image.Image, name: str) -> None:
    """Raise ImageError for an opened JPEG file with more scans than both limits allow; others pass."""
    file = getattr(image, "fp", None)
    if image.format not in _FORMATS or file is None:
        return
    place = file.tell()
    file.seek(0)
    data: bytes = file.read()
    file.seek(place)
    pixels = image.size[0] * image.size[1]
    most = max(MAX_SCANS, MAX_SCANNED_PIXELS // max(1, pixels))
    if data.count(bytes((0xFF, _SCAN))) > most and count_scans(data, most) > most:  # some may stand in other data
        raise ImageError(
            f"{name} is a JPEG file of {image.size[0]}x{image.size[1]} pixels with more than {most:,} scans, each of "
            "which costs the time of a picture; other progressive files have about ten. Save it again in an editor "
            "if you trust it"
        )


def count_scans(data: bytes, most: int) -> int:
    """The scans of the first picture in a JPEG file; no more are counted than one above `most`."""
    position, scans = 2, 0  # after FF D8
    find = re.compile(_MARKER).search
    while scans <= most:
        marker = find(data, position)
        if marker is None:
            break
        code = data[marker.start() + 1]
        if code == _END:
            break
        scans += code == _SCAN
        length = int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        position = marker.end() + max(2, length)
    return scans
