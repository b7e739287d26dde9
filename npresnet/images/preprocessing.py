"""Resize, crop, normalise: bit-identical to torchvision's transforms on a PIL image."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from npresnet.errors import ImageError
from npresnet.images.messages import name_of
from npresnet.images.presets import Preprocess, Size, preset
from npresnet.images.reading import image_errors, read
from npresnet.images.resizing import resize_without_antialias

if TYPE_CHECKING:
    from PIL import Image

How = str | Mapping[str, Any] | Preprocess

# Resizing by the short side can make a strip huge: 1 x 60000 would become 256 x 15 million.
MAX_RESIZED_PIXELS = 2**27


def preprocess(source: Any, how: How = "V1") -> NDArray[np.float32]:
    """Convert an image to the network's input.

    x[0,c,i,j] = (pixel[i,j,c] / 255 - mean[c]) / std[c], each step rounded to float32; channels as `how.bgr` says

    source  any source that `read` accepts
    how     a preset's name, a dict of Preprocess's fields, or a Preprocess

    Returns (1, C, H, W) float32, contiguous; C is 3, or 1 if `how` has one mean. Costs one table look-up per value.
    Raises ImageError; ArchitectureError for an invalid `how`. Source: torchvision.transforms.{ToTensor, Normalize}.
    """
    how = preset(how)
    with image_errors(source):
        return normalised(_pixels(source, how), how)


def pixels(source: Any, how: How = "V1") -> NDArray[np.uint8]:
    """What `preprocess` normalises: the resized and cropped image, (H, W, C) uint8; C is 3, or 1 for grey networks.

    Its channels are in the network's order. Every source comes to this exactly, floats as well. Raises as `preprocess`
    does.
    """
    how = preset(how)
    with image_errors(source):
        found = _pixels(source, how)
        return np.ascontiguousarray(found) if how.bgr else found


def cropped(source: Any, how: How = "V1") -> NDArray[np.uint8]:
    """The resized and cropped image that the network sees: (H, W, 3) uint8, also for grey networks."""
    how = preset(how)
    with image_errors(source):
        return np.array(_picture(source, how).convert("RGB"))


def _pixels(source: Any, how: Preprocess) -> NDArray[np.uint8]:
    picture = np.asarray(_picture(source, how))
    if picture.ndim == 2:
        return picture[:, :, np.newaxis]  # (H, W, C)
    return picture[:, :, ::-1] if how.bgr else picture


def _picture(source: Any, how: Preprocess) -> Image.Image:
    image = read(source, exif=how.exif, mode="RGB" if how.channels == 3 else "L")
    return _crop(_resize(image, how, name_of(source)), how.crop)


def _resize(image: Image.Image, how: Preprocess, name: str) -> Image.Image:
    """Source: torchvision.transforms.functional.resize."""
    size = resized_size(image.size, how.resize)
    if size == image.size:
        return image
    if size[0] * size[1] > MAX_RESIZED_PIXELS:
        raise ImageError(
            f"{name} has {image.width}x{image.height} pixels and would be resized to {size[0]}x{size[1]}; crop it "
            "first, or choose a smaller resize"
        )
    if not how.antialias:
        return resize_without_antialias(image, size)
    return image.resize(size, _filter(how.interpolation))


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


def _filter(interpolation: str) -> Image.Resampling:
    from PIL import Image

    return Image.Resampling[interpolation.removesuffix("-exact").upper()]


def _crop(image: Image.Image, wanted: Size | None) -> Image.Image:
    """Crop the centre; outside the image is black. Source: torchvision.transforms.functional.center_crop."""
    if wanted is None:
        return image
    height, width = (wanted, wanted) if isinstance(wanted, int) else wanted
    left, top = _offset(image.width, width), _offset(image.height, height)
    if (left, top) == (0, 0) and image.size == (width, height):
        return image
    return image.crop((left, top, left + width, top + height))


def _offset(size: int, wanted: int) -> int:
    """Start of the crop along one axis; `round` rounds halves to even, as torchvision does."""
    if size < wanted:
        return -((wanted - size) // 2)
    return round((size - wanted) / 2)


def normalised(pixels: NDArray[np.uint8], how: Preprocess) -> NDArray[np.float32]:
    """Pixels (H, W, C) -> (1, C, H, W) float32, normalised by one table look-up per value."""
    table = _table(how.mean, how.std)  # (C, 256)
    height, width, channels = pixels.shape
    x = np.empty((1, channels, height, width), np.float32)
    for c in range(channels):
        np.take(table[c], pixels[:, :, c], out=x[0, c], mode="clip")  # "raise" would copy; indices are in range
    return x


@lru_cache(maxsize=16)
def _table(mean: tuple[float, ...], std: tuple[float, ...]) -> NDArray[np.float32]:
    """(C, 256): the normalised value of each pixel value, computed in torchvision's float32 steps."""
    unit = np.arange(256, dtype=np.float32) / np.float32(255)
    mean_column = np.array(mean, np.float32)[:, np.newaxis]  # (C, 1)
    std_column = np.array(std, np.float32)[:, np.newaxis]
    table: NDArray[np.float32] = (unit - mean_column) / std_column
    table.setflags(write=False)
    return table
