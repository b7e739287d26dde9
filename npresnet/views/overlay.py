"""A heat map laid over its picture: what `npresnet cam IMG -o out.png` writes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npresnet.errors import ShapeError

# Nine colours along "inferno", a colour map whose lightness grows evenly, so that it also reads in grey and to the
# colour-blind; by Nathaniel J. Smith and Stefan van der Walt, 2015, dedicated to the public domain (CC0).
INFERNO = (
    (0, 0, 4), (31, 12, 72), (85, 15, 109), (136, 34, 106), (186, 54, 85), (227, 89, 51), (249, 140, 10),
    (249, 201, 50), (252, 255, 164),
)  # fmt: skip

# The least and the greatest part that the colour has in a pixel: cold places still show the photo.
COLD, HOT = 0.35, 0.6


def cam(picture: NDArray[np.uint8], heat: NDArray[Any]) -> NDArray[np.uint8]:
    """Lay a class activation map over the picture it was made from.

    out = (1 - a) * grey + a * colour(heat),  a = COLD + (HOT - COLD) * heat

    where grey is the picture without its colours, which would mix with the map's.

    picture  (H, W, 3) uint8, as npresnet.images.cropped gives it
    heat     (H, W) float in 0..1

    Returns (H, W, 3) uint8. Raises ShapeError where shapes or dtypes do not fit, or heat leaves 0..1.
    """
    picture, heat = np.asarray(picture), np.asarray(heat)
    _check(picture, heat)
    luma = picture @ np.array([0.299, 0.587, 0.114], np.float32)  # (H, W), ITU-R BT.601
    opacity = COLD + (HOT - COLD) * heat[:, :, np.newaxis].astype(np.float32)  # (H, W, 1)
    mixed = (1 - opacity) * luma[:, :, np.newaxis] + opacity * colours(heat)
    return np.rint(mixed).astype(np.uint8)


def colours(heat: NDArray[Any]) -> NDArray[np.uint8]:
    """The colour of each heat in 0..1: (...) becomes (..., 3) uint8."""
    return _table()[np.rint(heat * 255).astype(np.intp)]


@lru_cache(maxsize=1)
def _table() -> NDArray[np.uint8]:
    """(256, 3): INFERNO, with the colours between its nine found by straight lines."""
    stops = np.linspace(0, 255, len(INFERNO))
    return (
        np.stack([np.interp(np.arange(256), stops, channel) for channel in zip(*INFERNO, strict=True)], axis=1)
        .round()
        .astype(np.uint8)
    )


def _check(picture: NDArray[Any], heat: NDArray[Any]) -> None:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ShapeError(f"the picture must be (H, W, 3) uint8, got {picture.shape} {picture.dtype}")
    if heat.dtype.kind != "f" or heat.shape != picture.shape[:2]:
        raise ShapeError(
            f"the heat map must be floats of the picture's height and width {picture.shape[:2]}, got {heat.shape} "
            f"{heat.dtype}; model.cam gives it for the picture that npresnet.images.cropped shows"
        )
    if not (heat.min(initial=0) >= 0 and heat.max(initial=1) <= 1):
        raise ShapeError(f"the heat map must lie in 0..1, got {heat.min():g}..{heat.max():g}")
