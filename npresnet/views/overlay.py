"""Blend a heat map with its image, as in `npresnet cam IMG -o out.png`."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npresnet.errors import ShapeError
from npresnet.system.settings import quiet

# Nine colours of "inferno", a perceptually uniform colour map, also legible in grey and for the colour-blind; by
# Nathaniel J. Smith and Stefan van der Walt, 2015, dedicated to the public domain (CC0).
INFERNO = (
    (0, 0, 4), (31, 12, 72), (85, 15, 109), (136, 34, 106), (186, 54, 85), (227, 89, 51), (249, 140, 10),
    (249, 201, 50), (252, 255, 164),
)  # fmt: skip

# Opacity of the colour at heat 0 and 1.
COLD, HOT = 0.35, 0.6


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
