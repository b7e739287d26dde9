"""Any image source -> a PIL picture in RGB: the pixels of torchvision's loader, `Image.open(...).convert("RGB")`.

Whatever goes wrong ends in an ImageError that names the image.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

from npresnet.errors import ImageError
from npresnet.images.arrays import deep_to_grey, from_array
from npresnet.images.trouble import name_of, too_large, why

if TYPE_CHECKING:
    from PIL import Image

# Pillow hands EPS files to the Ghostscript program, which runs what is written in them.
_REFUSED_FORMATS = {"EPS"}


def read(source: Any, *, exif: bool = False, mode: str = "RGB") -> Image.Image:
    """Read an image as torchvision's loader does; alpha is dropped, palettes are expanded, animations give frame one.

    source  path; bytes; binary file object; PIL image; or an array:
            (H, W, 3), (H, W, 4), (H, W, 1) or (H, W), uint8 or floats in 0..1 (v becomes trunc(v * 255), as
            torchvision's ToPILImage does it). Arrays hold RGB, not BGR
    exif    turn the picture as its EXIF orientation says
    mode    "RGB", or "L" for grey

    Pictures deeper than 8 bits (PIL modes I;16, I, F) would saturate; they are scaled to 8 bits, with a UserWarning
    that says how. Returns a loaded PIL image of that mode, which may be the caller's own: do not draw on it.
    Raises ImageError.
    """
    from PIL import Image

    with explained(source):
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
            f"an image cannot be read from {type(source).__name__}; give a path, the bytes of a file, a binary file "
            "object, a PIL image, or a uint8 array (H, W, 3)"
        )


@contextmanager
def explained(source: Any) -> Iterator[None]:
    """Turn every exception inside into an ImageError about this source."""
    try:
        yield
    except (ImageError, UserWarning):  # a UserWarning is raised only where the caller asked for that
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on broken bytes
        raise ImageError(f"{name_of(source)} {why(error, source)}") from error


def _read_path(path: str, exif: bool, mode: str) -> Image.Image:
    found = os.stat(path)
    if stat.S_ISDIR(found.st_mode):
        raise ImageError(f"{path} is a folder, not an image; give the files in it, as npresnet.images.find lists them")
    if not stat.S_ISREG(found.st_mode):
        raise ImageError(f"{path} is a pipe or device, not a file; read it and give the bytes")
    from PIL import Image

    with Image.open(path) as image:  # by its path: Pillow imports the format that this ends in, else five, 6 ms more
        return _checked(image, exif, mode, path)


def _read_file(file: Any, exif: bool, mode: str) -> Image.Image:
    from PIL import Image

    return _checked(Image.open(file), exif, mode, name_of(file))


def _checked(image: Image.Image, exif: bool, mode: str, name: str) -> Image.Image:
    """The picture that Pillow has opened, of which it has read no more than the head."""
    from PIL import Image

    if image.format in _REFUSED_FORMATS:
        raise ImageError(f"{name} is {image.format}, a program to be run rather than pixels; convert it to PNG")
    limit = Image.MAX_IMAGE_PIXELS  # Pillow itself only warns up to twice this
    if limit is not None and image.width * image.height > limit:
        raise ImageError(f"{name} {too_large(image.size, limit)}")
    return _converted(image, exif, mode, name)


def _converted(image: Image.Image, exif: bool, mode: str, name: str) -> Image.Image:
    """The loaded image in this mode, turned if wanted."""
    if min(image.size) < 1:
        raise ImageError(f"{name} has no pixels")
    image.load()
    if exif:
        from PIL import ImageOps

        turned = ImageOps.exif_transpose(image)
        turned.format = image.format  # which the copy forgets, and 16-bit greys are told by
        image = turned
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = deep_to_grey(image, name)
    if image.mode != mode and "transparency" in image.info:
        image = image.copy()  # the alpha of palettes is dropped: spare the user Pillow's warning about it
        del image.info["transparency"]
    return image if image.mode == mode else image.convert(mode)
