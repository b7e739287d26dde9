"""Read any image source as an RGB PIL image, as torchvision's loader does: `Image.open(...).convert("RGB")`.

Every failure raises an ImageError that names the image.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from npresnet.errors import ImageError
from npresnet.images.arrays import from_array
from npresnet.images.bands import ToMode, converted
from npresnet.images.draft import Part, scaled_down, whole
from npresnet.images.limits import check_file, checked_limit
from npresnet.images.messages import name_of, reason
from npresnet.images.opening import opened
from npresnet.images.wrapped import unwrapped
from npresnet.system.foreign import named
from npresnet.system.settings import warnings_of
from npresnet.system.signals import raise_signals

if TYPE_CHECKING:
    from PIL import Image

    from npresnet.images.bands import Convert

# Modes of which RGB would only repeat one channel three times.
_GREY = ("1", "L", "LA", "La")

Check = Callable[[tuple[int, int]], None]
Resized = Callable[[tuple[int, int]], tuple[int, int]]


def read(source: Any, *, exif: bool = False, mode: str = "RGB", max_pixels: int | None = None) -> Image.Image:
    """Read an image as torchvision's loader does: drops alpha, expands palettes, takes the first frame of animations.

    source      path; bytes; Hugging Face's {"bytes", "path"}; binary file object; PIL image; or an RGB (not BGR) array:
                (H, W, 3), (H, W, 4), (H, W, 1) or (H, W), uint8 or floats in 0..1 (v becomes trunc(v * 255), as in
                torchvision's ToPILImage; up to 1.001, as resizing leaves some, is 1)
    exif        apply the EXIF orientation
    mode        "RGB", or "L" for grey
    max_pixels  of a file, refused before it is decoded; None: Pillow's own limit, PIL.Image.MAX_IMAGE_PIXELS

    Images with more than 8 bits per pixel (PIL modes I;16, I, F) would saturate; unless their values fit, they are
    scaled to 8 bits, with a UserWarning that says how. Returns a loaded PIL image of that mode, possibly the caller's
    own: do not modify it. Raises ImageError.
    """
    with image_errors(source):
        image, convert, _ = decoded(source, exif=exif, mode=mode, max_pixels=max_pixels)
        made = converted(image, convert)
        return made if made.mode == mode else made.convert(mode)


def decoded(
    source: Any,
    *,
    exif: bool = False,
    mode: str = "RGB",
    max_pixels: int | None = None,
    check: Check | None = None,
    draft: Resized | None = None,
) -> tuple[Image.Image, Convert, Part]:
    """As `read`, but not yet converted: a loaded, upright image, what converts it, or any band of its rows, and the
    part of it that is the picture.

    Grey images become L first, whatever the mode: the three channels of RGB would be equal.

    check  is called with the picture's size (width, height) before it is decoded
    draft  what the picture of a size is resized to at most: JPEG files may be scaled while they are decoded
    """
    from PIL import Image

    limit, given = checked_limit(max_pixels), source
    source = unwrapped(source)
    if isinstance(source, Image.Image):
        return _loaded(source, exif, mode, name_of(source), check)
    is_content = isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview))
    foreign = "" if is_content else named(source)
    if not foreign and (is_content or hasattr(source, "read")):
        with opened(source, limit, name_of(given)) as image:
            found = _loaded(image, exif, mode, name_of(given), check, draft)
        check_file(found[0].size, limit, name_of(given))  # an ICO's directory may say less than its picture
        return found
    if not foreign and hasattr(source, "__array__"):
        return _loaded(from_array(source), False, mode, name_of(source), check)
    if foreign:
        raise ImageError(f"an image cannot be read from {foreign}")
    raise ImageError(
        f"an image cannot be read from {type(source).__name__}{_hint(source)}; pass a path, the bytes of a file, a "
        "binary file object, a PIL image, or a uint8 array (H, W, 3)"
    )


def _hint(source: Any) -> str:
    """What an object that is no image may be."""
    if source is None:
        return " (cv2.imread returns None for a file that it cannot read)"
    missing = source != source if isinstance(source, float) else type(source).__name__ in ("NAType", "NaTType")
    return ", a missing value: leave such rows out" if missing else ""


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
        raise ImageError(f"{name_of(source)} {reason(error, unwrapped(source))}") from error


def _loaded(
    image: Image.Image, exif: bool, mode: str, name: str, check: Check | None, draft: Resized | None = None
) -> tuple[Image.Image, Convert, Part]:
    if min(image.size) < 1:
        raise ImageError(f"{name} has no pixels")
    said = image.size
    if check is not None:
        check(said)
    part = None if draft is None else scaled_down(image, draft(said))
    image.load()
    if part is None:
        part = whole(image.size)
        if check is not None and image.size != said:
            check(image.size)
    if exif:
        from npresnet.images.orientation import orientation, upright

        part = part.turned(orientation(image), image.size)
        image = upright(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        from npresnet.images.deep import deep_to_grey

        return image, deep_to_grey(image, name), part
    wanted = "L" if image.mode in _GREY else mode
    return image, None if image.mode == wanted else ToMode(wanted), part
