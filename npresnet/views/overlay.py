"""Blend a heat map with its image, or with the photo that the image was cropped from: `npresnet cam IMG -o out.png`."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from npresnet.errors import ShapeError
from npresnet.system.settings import quiet

if TYPE_CHECKING:
    from PIL import Image

# Nine colours of "inferno", a perceptually uniform colour map, also legible in grey and for the colour-blind; by
# Nathaniel J. Smith and Stefan van der Walt, 2015, dedicated to the public domain (CC0).
INFERNO = (
    (0, 0, 4), (31, 12, 72), (85, 15, 109), (136, 34, 106), (186, 54, 85), (227, 89, 51), (249, 140, 10),
    (249, 201, 50), (252, 255, 164),
)  # fmt: skip

# Opacity of the colour at heat 0 and 1.
COLD, HOT = 0.35, 0.6
DIM = 0.5  # brightness of what the network does not see
BAND = 256  # rows that are blended at a time


@quiet
def cam(picture: NDArray[np.uint8], heat: NDArray[Any]) -> NDArray[np.uint8]:
    """Blend a class activation map with its image.

    out = (1 - a) * grey + a * colour(heat),  a = COLD + (HOT - COLD) * heat

    where grey is the image's luma.

    picture  (H, W, 3) uint8, as returned by npresnet.images.cropped
    heat     (H, W) float in 0..1

    Returns (H, W, 3) uint8. Raises ShapeError for wrong shapes or dtypes, or heat outside 0..1.
    """
    picture, heat = np.asarray(picture), np.asarray(heat)
    _check(picture, heat)
    luma = picture @ np.array([0.299, 0.587, 0.114], np.float32)  # (H, W), ITU-R BT.601
    opacity = COLD + (HOT - COLD) * heat[:, :, np.newaxis].astype(np.float32)  # (H, W, 1)
    mixed = (1 - opacity) * luma[:, :, np.newaxis] + opacity * colours(heat)
    blended: NDArray[np.uint8] = np.rint(mixed).astype(np.uint8)
    return blended


@quiet
def on_photo(photo: Image.Image, heat: NDArray[Any], box: tuple[float, float, float, float]) -> Image.Image:
    """Blend a class activation map with the whole photo, at the photo's size.

    out = cam(photo, heat) inside the box, bilinear between the map's values;  photo * DIM outside, which the network
    does not see

    photo  of mode RGB, (width, height)
    heat   (H, W) float in 0..1: of the network's input
    box    where that lies in the photo, as given by npresnet.images.crop_in_photo; it may reach beyond the photo

    Returns an image of mode RGB and the photo's size. Works by bands of rows, so that a large photo needs little more
    memory than its own.
    """
    from PIL import Image

    left, right, x, from_left = _axis(box[0], box[2], photo.width, heat.shape[1])
    top, bottom, y, from_top = _axis(box[1], box[3], photo.height, heat.shape[0])
    map_ = Image.fromarray(np.pad(heat.astype(np.float32), 1, mode="edge"))  # so that its border has neighbours
    made = Image.new("RGB", photo.size)
    for row in range(0, photo.height, BAND):
        pixels = np.asarray(photo.crop((0, row, photo.width, min(row + BAND, photo.height))))
        shown = np.rint(pixels * np.float32(DIM)).astype(np.uint8)
        start, stop = max(top, row) - row, min(bottom, row + len(pixels)) - row
        if start < stop:
            place = (x, 0, left * x + from_left, 0, y, (row + start) * y + from_top)
            size = (right - left, stop - start)
            part = map_.transform(size, Image.Transform.AFFINE, place, Image.Resampling.BILINEAR)
            values = np.clip(np.asarray(part), 0, 1)
            shown[start:stop, left:right] = cam(pixels[start:stop, left:right], values)
        made.paste(Image.fromarray(shown), (0, row))
    return made


def _axis(start: float, stop: float, size: int, values: int) -> tuple[int, int, float, float]:
    """(first, last, scale, offset): the pixels of a photo's side that the box covers, and the map's value at one of
    them, with its margin of 1: scale * pixel + offset.

    Of a side of few pixels the box may cover none's centre: its middle is then shown in one.
    """
    first, last = max(0, round(start)), min(size, round(stop))
    if first < last:
        scale = values / (stop - start)
        return first, last, scale, 1 - start * scale
    middle = min(size - 1, max(0, int((start + stop) / 2)))
    return middle, middle + 1, 0.0, 1 + values / 2


@quiet
def colours(heat: NDArray[Any]) -> NDArray[np.uint8]:
    """The colours of heat values in 0..1: (...) -> (..., 3) uint8."""
    found: NDArray[np.uint8] = _table()[np.rint(heat * 255).astype(np.intp)]
    return found


@lru_cache(maxsize=1)
def _table() -> NDArray[np.uint8]:
    """(256, 3): INFERNO, linearly interpolated."""
    stops = np.linspace(0, 255, len(INFERNO))
    found: NDArray[np.uint8] = (
        np.stack([np.interp(np.arange(256), stops, channel) for channel in zip(*INFERNO, strict=True)], axis=1)
        .round()
        .astype(np.uint8)
    )
    return found


def _check(picture: NDArray[Any], heat: NDArray[Any]) -> None:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ShapeError(f"the picture must be (H, W, 3) uint8, got {picture.shape} {picture.dtype}")
    if heat.dtype.kind != "f" or heat.shape != picture.shape[:2]:
        raise ShapeError(
            f"the heat map must be floats of the picture's height and width {picture.shape[:2]}, got {heat.shape} "
            f"{heat.dtype}; pass the result of model.cam and the image of npresnet.images.cropped"
        )
    if not (heat.min(initial=0) >= 0 and heat.max(initial=1) <= 1):
        raise ShapeError(f"the heat map must lie in 0..1, got {heat.min():g}..{heat.max():g}")
