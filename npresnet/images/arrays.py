"""Convert arrays and images with more than 8 bits per channel to 8-bit PIL images."""

from __future__ import annotations

import warnings
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


def deep_to_grey(image: Image.Image, name: str) -> Image.Image:
    """Convert an image of 16 or 32 bits per pixel (modes I;16, I, F) to 8 bits, mode L; warns if values are scaled.

    name  the image's name in the warning

    I;16 and 16-bit files  round(v / 257), so that 65535 is white
    I                      as above if all values are in 0..65535
    F                      trunc(v * 255) if all values are in 0..1
    I, F in 0..255         converted by Pillow without scaling or warning
    otherwise              linearly from the minimum (black) to the maximum (white)

    Raises ImageError for NaN and infinity.
    """
    from PIL import Image

    values = np.asarray(image)  # (H, W) uint16, int32 or float32
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageError(f"{name} holds NaN or infinity, which are not valid pixels; replace these values first")
    is_16_bit = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    if image.mode == "F" and low >= 0 and 0 < high <= 1:
        grey, how = values * 255, "times 255"
    elif not is_16_bit and low >= 0 and high <= 255:
        return image.convert("L")
    elif is_16_bit or (image.mode == "I" and low >= 0 and high <= 65535):
        grey, how = (values.astype(np.int64) + 128) // 257, "divided by 257"
    else:
        grey = (values.astype(np.float64) - low) * (255 / (high - low)) if high > low else np.zeros(values.shape)
        how = f"from {low:g}..{high:g} to 0..255"
    warnings.warn(
        f"{name} has more than 8 bits per pixel (mode {image.mode}); its values were scaled {how}. To choose the range "
        "yourself, pass a uint8 array",
        UserWarning,
        stacklevel=2,
    )
    return Image.fromarray(grey.astype(np.uint8))
