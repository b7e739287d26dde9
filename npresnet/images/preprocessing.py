"""Resize, crop, normalise: bit-identical to torchvision's transforms on a PIL image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from npresnet.images.bands import Box, converted, row_bands
from npresnet.images.limits import check_input, check_resized, checked_limit
from npresnet.images.messages import name_of
from npresnet.images.presets import Preprocess, Size, preset
from npresnet.images.reading import decoded, image_errors

if TYPE_CHECKING:
    from PIL import Image

How = str | Mapping[str, Any] | Preprocess


def preprocess(source: Any, how: How = "V1", *, max_pixels: int | None = None) -> NDArray[np.float32]:
    """Convert an image to the network's input.

    x[0,c,i,j] = (pixel[i,j,c] / 255 - mean[c]) / std[c], each step rounded to float32; channels as `how.bgr` says

    source      any source that `read` accepts
    how         a preset's name, a dict of Preprocess's fields, or a Preprocess
    max_pixels  of a file, of the picture after it was resized, and of the input where no crop gives its size; None: the
                limits of limits.py. They are checked before the image is decoded

    Returns (1, C, H, W) float32, contiguous; C is 3, or 1 if `how` has one mean. Costs one table look-up per value.
    Raises ImageError; ArchitectureError for an invalid `how`. Source: torchvision.transforms.{ToTensor, Normalize}.
    """
    how = preset(how)
    with image_errors(source):
        picture = _picture(source, how, max_pixels)
        x = np.empty((1, how.channels, picture.height, picture.width), np.float32)
        for top, band in row_bands(picture):
            _normalise(_pixels(band, how), how, x[:, :, top : top + band.height])
        return x


def pixels(source: Any, how: How = "V1", *, max_pixels: int | None = None) -> NDArray[np.uint8]:
    """What `preprocess` normalises: the resized and cropped image, (H, W, C) uint8; C is 3, or 1 for grey networks.

    Its channels are in the network's order. Every source comes to this exactly, floats as well. Arguments and errors
    are those of `preprocess`.
    """
    how = preset(how)
    with image_errors(source):
        found = _pixels(_picture(source, how, max_pixels), how)
        return np.ascontiguousarray(found) if how.bgr else found


def cropped(source: Any, how: How = "V1", *, max_pixels: int | None = None) -> NDArray[np.uint8]:
    """The resized and cropped image that the network sees: (H, W, 3) uint8, also for grey networks."""
    how = preset(how)
    with image_errors(source):
        return np.array(_picture(source, how, max_pixels).convert("RGB"))


def crop_in_photo(size: tuple[int, int], how: How = "V1") -> tuple[float, float, float, float]:
    """Where the network's input lies in a photo of that size (width, height): (left, top, right, bottom) in its pixels.

    Beyond the photo where the crop is larger than the resized image: what is there is black. With W the photo's width,
    w that of the resized image and l the crop's left edge in it, left = l * W / w; likewise the others.
    """
    how = preset(how)
    resized = resized_size(size, how.resize)
    left, top, right, bottom = _crop_box(resized, how.crop)
    x, y = size[0] / resized[0], size[1] / resized[1]
    return left * x, top * y, right * x, bottom * y


def _pixels(picture: Image.Image, how: Preprocess) -> NDArray[np.uint8]:
    """(H, W, C), with the channels in the network's order."""
    array = np.asarray(picture)
    if array.ndim == 2:
        return array[:, :, np.newaxis]
    return array[:, :, ::-1] if how.bgr else array


def _picture(source: Any, how: Preprocess, max_pixels: int | None) -> Image.Image:
    """Read, resized and cropped, of mode RGB or L as the network needs; sizes are checked before it is decoded."""
    limit, name = checked_limit(max_pixels), name_of(source)
    mode = "RGB" if how.channels == 3 else "L"

    def check(size: tuple[int, int]) -> None:
        resized = resized_size(size, how.resize)
        check_resized(size, resized, math.prod(resized_size((1, 1), how.resize)), limit, name)
        if how.crop is None and not isinstance(how.resize, tuple):
            check_input(size, resized, limit, name)

    draft = partial(_at_most, how=how) if how.draft else None
    image, convert, part = decoded(source, exif=how.exif, mode=mode, max_pixels=limit, check=check, draft=draft)
    size = resized_size(part.size, how.resize)
    wanted = _crop_box(size, how.crop)
    if size == part.size:
        made = converted(image, convert)
    elif how.antialias:
        image = converted(image, convert)  # and the decoded one is let go
        made = _resize(image, size, how.interpolation, part.box)
    else:
        from npresnet.images.bilinear import resize_without_antialias

        left, top, right, bottom = wanted
        x, y = max(left, 0), max(top, 0)
        made = resize_without_antialias(image, convert, size, (x, y, min(right, size[0]), min(bottom, size[1])))
        wanted = (left - x, top - y, right - x, bottom - y)
    if wanted != (0, 0, *made.size):
        made = made.crop(wanted)  # black outside
    return made if made.mode == mode else made.convert(mode)


def _resize(
    image: Image.Image, size: tuple[int, int], interpolation: str, box: tuple[float, float, float, float]
) -> Image.Image:
    """The box of an image, usually all of it. Source: torchvision.transforms.functional.resize."""
    return image.resize(size, _filter(interpolation), box)


def resized_size(size: tuple[int, int], wanted: Size | None) -> tuple[int, int]:
    """(width, height) after Resize: the short side is `wanted`, the long one int(wanted * long / short)."""
    if wanted is None:
        return size
    if isinstance(wanted, tuple):
        return wanted[1], wanted[0]
    width, height = size
    if width <= height:
        return wanted, int(wanted * height / width)
    return int(wanted * width / height), wanted


def _at_most(size: tuple[int, int], how: Preprocess) -> tuple[int, int]:
    """(width, height) after Resize, whichever way EXIF turns the picture before it."""
    resized = resized_size(size, how.resize)
    return (max(resized),) * 2 if how.exif and isinstance(how.resize, tuple) else resized  # else it turns with it


def _filter(interpolation: str) -> Image.Resampling:
    from PIL import Image

    return Image.Resampling[interpolation.removesuffix("-exact").upper()]


def _crop_box(size: tuple[int, int], wanted: Size | None) -> Box:
    """The centre; outside the image is black. Source: torchvision.transforms.functional.center_crop."""
    if wanted is None:
        return (0, 0, *size)
    height, width = (wanted, wanted) if isinstance(wanted, int) else wanted
    left, top = _offset(size[0], width), _offset(size[1], height)
    return left, top, left + width, top + height


def _offset(size: int, wanted: int) -> int:
    """Start of the crop along one axis; `round` rounds halves to even, as torchvision does."""
    if size < wanted:
        return -((wanted - size) // 2)
    return round((size - wanted) / 2)


def normalised(pixels: NDArray[np.uint8], how: Preprocess) -> NDArray[np.float32]:
    """Pixels (H, W, C) -> (1, C, H, W) float32, normalised by one table look-up per value."""
    x = np.empty((1, pixels.shape[2], *pixels.shape[:2]), np.float32)
    _normalise(pixels, how, x)
    return x


def _normalise(pixels: NDArray[np.uint8], how: Preprocess, x: NDArray[np.float32]) -> None:
    """Pixels (H, W, C) into x (1, C, H, W)."""
    table = _table(how.mean, how.std)  # (C, 256)
    for c in range(len(table)):
        np.take(table[c], pixels[:, :, c], out=x[0, c], mode="clip")  # "raise" would copy; indices are in range


@lru_cache(maxsize=16)
def _table(mean: tuple[float, ...], std: tuple[float, ...]) -> NDArray[np.float32]:
    """(C, 256): the normalised value of each pixel value, computed in torchvision's float32 steps."""
    unit = np.arange(256, dtype=np.float32) / np.float32(255)
    mean_column = np.array(mean, np.float32)[:, np.newaxis]  # (C, 1)
    std_column = np.array(std, np.float32)[:, np.newaxis]
    table: NDArray[np.float32] = (unit - mean_column) / std_column
    table.setflags(write=False)
    return table
