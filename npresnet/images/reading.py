"""Read any image source as an RGB PIL image, as torchvision's loader does: `Image.open(...).convert("RGB")`.

Every failure raises an ImageError that names the image.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from npresnet.errors import ImageError
from npresnet.images.arrays import deep_to_grey, from_array
from npresnet.images.messages import name_of, reason, too_large
from npresnet.system.settings import warnings_of
from npresnet.system.signals import raise_signals

if TYPE_CHECKING:
    from PIL import Image

# Pillow passes EPS files to Ghostscript, which executes the program in them.
_REFUSED_FORMATS = {"EPS"}


def read(source: Any, *, exif: bool = False, mode: str = "RGB") -> Image.Image:
    """Read an image as torchvision's loader does: drops alpha, expands palettes, takes the first frame of animations.

    source  path; bytes; binary file object; PIL image; or an RGB (not BGR) array:
            (H, W, 3), (H, W, 4), (H, W, 1) or (H, W), uint8 or floats in 0..1 (v becomes trunc(v * 255), as in
            torchvision's ToPILImage)
    exif    apply the EXIF orientation
    mode    "RGB", or "L" for grey

    Images with more than 8 bits per pixel (PIL modes I;16, I, F) would saturate; they are scaled to 8 bits, with a
    UserWarning that says how. Returns a loaded PIL image of that mode, possibly the caller's own: do not modify it.
    Raises ImageError.
    """
    from PIL import Image

    with image_errors(source):
        if isinstance(source, Image.Image):
            return _converted(source, exif, mode, name_of(source))
        if isinstance(source, (str, os.PathLike)):
            return _read_path(os.fspath(source), exif, mode)
        if isinstance(source, (bytes, bytearray, memoryview)):
            return _read_file(BytesIO(source), exif, mode)
        if hasattr(source, "read"):
            return _read_file(source, exif, mode)
        if hasattr(source, "__array__"):
            return from_array(source).convert(mode)
        raise ImageError(
            f"an image cannot be read from {type(source).__name__}; pass a path, the bytes of a file, a binary file "
            "object, a PIL image, or a uint8 array (H, W, 3)"
        )


@contextmanager
def image_errors(source: Any) -> Iterator[None]:
    """Convert exceptions raised in the block to an ImageError that names `source`.

    The caller's settings for floating-point errors and Pillow's warnings do not apply inside.
    """
    before = sys.exc_info()[1]
    try:
        with np.errstate(all="ignore"), warnings_of("PIL"):
            yield
    except (ImageError, UserWarning) as error:  # UserWarning: npresnet's own, raised only by the caller's filter
        raise_signals(error, before)
        raise
    except Exception as error:  # Pillow's decoders raise many types on damaged data
        raise_signals(error, before)
        raise ImageError(f"{name_of(source)} {reason(error, source)}") from error


def _read_path(path: str, exif: bool, mode: str) -> Image.Image:
    found = os.stat(path)
    if stat.S_ISDIR(found.st_mode):
        raise ImageError(f"{path} is a folder, not an image; pass the files in it, see npresnet.images.find")
    if not stat.S_ISREG(found.st_mode):
        raise ImageError(f"{path} is a pipe or device, not a file; read it and pass the bytes")
    from PIL import Image

    with Image.open(path) as image:  # by path: Pillow then imports only the format of its extension, not five (6 ms)
        return _checked(image, exif, mode, path)


def _read_file(file: Any, exif: bool, mode: str) -> Image.Image:
    from PIL import Image

    return _checked(Image.open(file), exif, mode, name_of(file))


def _checked(image: Image.Image, exif: bool, mode: str, name: str) -> Image.Image:
    """Check an opened image, of which Pillow has read only the header, then load and convert it."""
    from PIL import Image

    if image.format in _REFUSED_FORMATS:
        raise ImageError(f"{name} is {image.format}, an executable program rather than pixels; convert it to PNG")
    limit = Image.MAX_IMAGE_PIXELS  # Pillow only warns up to twice this
    if limit is not None and image.width * image.height > limit:
        raise ImageError(f"{name} {too_large(image.size, limit)}")
    return _converted(image, exif, mode, name)


def _converted(image: Image.Image, exif: bool, mode: str, name: str) -> Image.Image:
    """The loaded image converted to `mode`, with its EXIF orientation applied if requested."""
    if min(image.size) < 1:
        raise ImageError(f"{name} has no pixels")
    image.load()
    if exif:
        from PIL import ImageOps

        turned = ImageOps.exif_transpose(image)
        turned.format = image.format  # lost in the copy, but needed to detect 16-bit files
        image = turned
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = deep_to_grey(image, name)
    if image.mode != mode and "transparency" in image.info:
        image = image.copy()  # palette alpha is dropped; avoids Pillow's warning
        del image.info["transparency"]
    return image if image.mode == mode else image.convert(mode)
