"""Convert arrays to 8-bit PIL images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from npresnet.errors import ImageError

if TYPE_CHECKING:
    from PIL import Image

Array = NDArray[Any]


def from_array(source: Any) -> Image.Image:
    """A PIL image from an array of shape (H, W, 3), (H, W, 4), (H, W, 1) or (H, W).

    uint8   used unchanged
    floats  must lie in 0..1; v becomes trunc(v * 255) in the array's precision, as in torchvision's ToPILImage

    Raises ImageError for other shapes and dtypes, NaN and infinity.
    """
    from PIL import Image

    try:
        array = np.asarray(source)
    except Exception as error:  # for example a torch tensor on a GPU or with requires_grad
        raise ImageError(f"the {type(source).__name__} cannot be converted to a NumPy array: {error}") from error
    _check_shape(array)
    pixels = _to_uint8(array)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(pixels))  # L, RGB or RGBA by the shape


def _check_shape(array: Array) -> None:
    if array.ndim == 4:
        raise _refused(
            array,
            "has four axes, like a batch; pass its images as a list, or a normalised (N, C, H, W) batch to model(x)",
        )
    if array.ndim not in (2, 3):
        raise _refused(array, f"has {array.ndim} axes; expected (H, W) or (H, W, channels)")
    if array.size == 0:
        raise _refused(array, "has no pixels")
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4):
        if array.shape[0] in (1, 3, 4):
            raise _refused(array, "looks like (C, H, W); channels must be last: image.transpose(1, 2, 0)")
        raise _refused(array, f"has {array.shape[2]} channels; expected 1, 3 or 4 in (H, W, channels)")


def _to_uint8(array: Array) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "f":
        return _unit_to_uint8(array)
    if array.dtype.kind == "b":
        raise _refused(array, "is boolean; pass image.astype(np.uint8) * 255")
    if array.dtype.kind in "iu":
        raise _refused(
            array,
            "is neither uint8 nor float; pass image.astype(np.uint8) if the values are in 0..255, "
            "or (image // 257).astype(np.uint8) if they are in 0..65535",
        )
    if array.dtype.kind in "OUST":  # a column of a table, (N, 1)
        raise _refused(
            array, "holds no pixels; if it holds paths or images, pass them as a list: array.ravel().tolist()"
        )
    raise _refused(array, "has an unsupported dtype; expected uint8, or floats in 0..1")


def _unit_to_uint8(array: Array) -> NDArray[np.uint8]:
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise _refused(array, "holds NaN or infinity, which are not valid pixels; replace these values first")
    if low < 0:
        raise _refused(
            array,
            f"holds {low:.6g}; floats must lie in 0..1. If it is already normalised, pass it to model(x) "
            "as an (N, C, H, W) array",
        )
    if high > 1:
        raise _refused(array, f"holds {high:.6g}; floats must lie in 0..1. If they are in 0..255, divide by 255")
    return (array * 255).astype(np.uint8)


def _refused(array: Array, reason: str) -> ImageError:
    return ImageError(f"the array of shape {array.shape}, {array.dtype}, {reason}")
