"""Arrays as small pictures that stand in the page itself, as data: URIs."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from npresnet.views.overlay import colours

if TYPE_CHECKING:
    from PIL import Image

LARGEST_PHOTO = 640  # pixels of the longer side of an embedded photo

# From blue over white to orange: the ends differ in hue for every kind of colour-blindness, and lightness falls evenly
# to both sides. After the scheme "PuOr" of Cynthia Brewer's ColorBrewer (Apache licence 2.0), with blue for purple.
NEGATIVE, ZERO, POSITIVE = (33, 87, 166), (247, 247, 247), (179, 88, 6)


def photo(picture: NDArray[np.uint8]) -> str:
    """(H, W, 3) uint8 as a JPEG, shrunk to LARGEST_PHOTO where it is larger."""
    from PIL import Image

    image = Image.fromarray(picture)
    image.thumbnail((LARGEST_PHOTO, LARGEST_PHOTO))
    if max(image.size) <= 64:
        return _uri(image, "PNG")
    return _uri(image, "JPEG", quality=88)


def feature_map(values: NDArray[Any]) -> str:
    """(H, W) floats as a PNG with its own scale: dark to bright from 0 on; blue and orange where some are negative."""
    from PIL import Image

    height, width = values.shape
    image = Image.frombytes("P", (width, height), _levels(values).tobytes())
    image.putpalette(_palette(bool(values.size and np.nanmin(values) < 0)))
    return _uri(image, "PNG", optimize=True)


def _levels(values: NDArray[Any]) -> NDArray[np.uint8]:
    """(H, W) floats -> 0..255: from 0 to the largest, or from -largest to +largest where some are negative."""
    finite = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    largest = np.abs(finite).max(initial=0) or 1.0
    scaled = finite / largest  # -1..1
    if finite.min(initial=0) < 0:
        scaled = (scaled + 1) / 2
    levels: NDArray[np.uint8] = np.rint(scaled * 255).astype(np.uint8)
    return levels


def _palette(signed: bool) -> list[int]:
    """256 colours, red, green, blue one after another."""
    levels = np.linspace(0, 1, 256)
    table = diverging(2 * levels - 1) if signed else colours(levels)
    flat: list[int] = table.ravel().tolist()
    return flat


def diverging(values: NDArray[Any]) -> NDArray[np.uint8]:
    """The colour of each value in -1..1: (...) becomes (..., 3) uint8."""
    stops = np.array([NEGATIVE, ZERO, POSITIVE], np.float64)
    channels = [np.interp(values, (-1, 0, 1), stops[:, channel]) for channel in range(3)]
    colours: NDArray[np.uint8] = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return colours


def _uri(image: Image.Image, kind: str, **options: Any) -> str:
    data = BytesIO()
    image.save(data, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
