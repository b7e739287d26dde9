"""How many scans a JPEG file has: a file of ten bytes a scan can have a decoder go over all of its pixels for each.

A progressive file refines its picture scan by scan, about ten times; nothing bounds them, and libjpeg passes over the
coefficients of the whole picture in each. So many scans of many pixels are refused, and so they are in a sequential
file whose first scan has not all components.

Nothing tells how many there are, so that the file's markers are followed: FF, a code, and for most the length of what
follows. A scan's data ends at the next FF that neither 0 (a data byte FF), nor another FF, nor D0 to D7 (restarts)
follow. That takes 3 % of the time of decoding a progressive file; a file of one scan is not searched.
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
    head: bytes = file.read(place)
    data = b"" if _has_one_scan(image, head) else head + file.read()
    file.seek(place)
    pixels = image.size[0] * image.size[1]
    most = max(MAX_SCANS, MAX_SCANNED_PIXELS // max(1, pixels))
    if data.count(bytes((0xFF, _SCAN))) > most and count_scans(data, most) > most:  # some may stand in other data
        raise ImageError(
            f"{name} is a JPEG file of {image.size[0]}x{image.size[1]} pixels with more than {most:,} scans, each of "
            "which costs the time of a picture; other progressive files have about ten. Save it again in an editor "
            "if you trust it"
        )


def _has_one_scan(image: Image.Image, head: bytes) -> bool:
    """Whether no decoder reads a second one: most photos are so, and need no search.

    head  the file up to where Pillow stopped reading, behind the first scan's header
    """
    first = head.rfind(bytes((0xFF, _SCAN)))
    components = head[first + 4] if 0 <= first < len(head) - 4 else 0
    return "progressive" not in image.info and components >= len(image.getbands())


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
