"""Turn a picture as its EXIF orientation says."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

ORIENTATION = 0x0112
# Where Pillow keeps it in `info`. A turned picture has none of these: whoever reads it again must not turn it twice.
_METADATA = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")


def upright(image: Image.Image) -> Image.Image:
    """The picture turned as its orientation says, or itself.

    Unlike Pillow's ImageOps.exif_transpose it does not write the metadata again, which fails where a camera left one
    odd tag (a signed altitude, a division by zero). Metadata that cannot be read turns nothing, as in viewers.
    """
    method = _methods().get(orientation(image))
    if method is None:
        return image
    turned = image.transpose(method)
    turned.format = image.format  # lost in the copy, but needed to detect 16-bit files
    for key in _METADATA:
        turned.info.pop(key, None)
    return turned


def orientation(image: Image.Image) -> int:
    """1 to 8; 1, upright, where there is none, or none that can be read."""
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except Exception:  # Pillow's parsers raise many types on damaged data
        return 1
    return int(found) if found in range(1, 9) else 1  # also a rational 6/1


def _methods() -> dict[int, Image.Transpose]:
    """Source: EXIF 2.3, tag 0x0112; PIL.ImageOps.exif_transpose."""
    from PIL.Image import Transpose

    return {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
