"""Pictures of 16 or 32 bits per pixel (modes I;16, I, F) as 8 bits, in bands of rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from npresnet.errors import ImageError
from npresnet.images.bands import row_bands

if TYPE_CHECKING:
    from PIL import Image

CACHED_PIXELS = 2**15  # a quarter of a MB as float64

Array = NDArray[Any]
Rule = Callable[[Array], Array]  # values (rows, W) uint16, int32 or float32 -> grey, the same shape


def deep_to_grey(image: Image.Image, name: str) -> Callable[[Image.Image], Image.Image]:
    """What converts the picture, or a band of its rows, to mode L; warns of how.

    name  the image's name in the warning

    all values in 0..255   as they are, as in Pillow and torchvision; said of 16 bits, for siblings may be darker
    I;16 and 16-bit files  round(v / 257), so that 65535 is white
    I                      as above if all values are in 0..65535
    F                      trunc(v * 255) if all values are in 0..1
    otherwise              linearly from the minimum (black) to the maximum (white)

    Raises ImageError for NaN and infinity.
    """
    from PIL import Image

    low, high = _extremes(image)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageError(f"{name} holds NaN or infinity, which are not valid pixels; replace these values first")
    rule, how = _rule(image, low, high)
    if how:
        warnings.warn(
            f"{name} has more than 8 bits per pixel (mode {image.mode}); its values were {how}. To choose the range "
            "yourself, pass a uint8 array",
            UserWarning,
            stacklevel=2,
        )
    return lambda band: Image.fromarray(_by_rows(np.asarray(band), rule))


def _by_rows(values: Array, rule: Rule) -> NDArray[np.uint8]:
    """(rows, W) uint8, few rows at once: what the rule makes in between stays in the processor's cache."""
    grey = np.empty(values.shape, np.uint8)
    rows = max(1, CACHED_PIXELS // values.shape[1])
    for top in range(0, len(values), rows):
        grey[top : top + rows] = rule(values[top : top + rows]).astype(np.uint8)
    return grey


def _rule(image: Image.Image, low: float, high: float) -> tuple[Rule, str]:
    """What is done with values, and its words for a warning; none where it needs none."""
    is_16_bit = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    if image.mode == "F" and low >= 0 and 0 < high <= 1:
        return lambda values: values * 255, "scaled times 255"
    if low >= 0 and high <= 255:
        words = "taken as they are, as torchvision does, because all are in 0..255"
        return lambda values: values, words if is_16_bit and high > 0 else ""
    if is_16_bit or (image.mode == "I" and low >= 0 and high <= 65535):
        return lambda values: (values.astype(np.int32) + 128) // 257, "scaled divided by 257"
    if high == low:
        return np.zeros_like, f"scaled from {low:g}..{high:g} to 0..255"
    return lambda values: _stretched(values, low, 255 / (high - low)), f"scaled from {low:g}..{high:g} to 0..255"


def _stretched(values: Array, low: float, factor: float) -> Array:
    stretched = np.subtract(values, low, dtype=np.float64)
    stretched *= factor
    return stretched


def _extremes(image: Image.Image) -> tuple[float, float]:
    """The least and the greatest value; NaN where one is NaN."""
    if image.mode in ("I", "I;16"):  # of the others Pillow finds none, or not NaN
        low, high = image.getextrema()
        return float(low), float(high)  # type: ignore[arg-type]
    found = [(values.min(), values.max()) for values in (np.asarray(band) for _, band in row_bands(image))]
    lows, highs = np.array(found, np.float64).T
    return float(lows.min()), float(highs.max())
