"""Convert arrays to 8-bit PIL images."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from npresnet.errors import ImageError
from npresnet.system.signals import raise_signals

if TYPE_CHECKING:
    from PIL import Image

Array = NDArray[Any]
LARGEST = 1.001  # of a float, which is clipped to 1


def from_array(source: Any) -> Image.Image:
    """A PIL image from an array of shape (H, W, 3), (H, W, 4), (H, W, 1) or (H, W).

    uint8   used unchanged
    floats  must lie in 0..1; v becomes trunc(v * 255) in the array's precision, as in torchvision's ToPILImage. What is
            at most a thousandth larger, as resizing and arithmetic leave it, is clipped

    Raises ImageError for other shapes and dtypes, NaN and infinity.
    """
    from PIL import Image

    try:
        array = np.asarray(source)
    except Exception as error:  # for example a torch tensor on a GPU or with requires_grad
        raise ImageError(f"the {type(source).__name__} cannot be converted to a NumPy array: {error}") from error
    is_torch = type(source).__module__.partition(".")[0] == "torch"
    _check_shape(array, is_torch)
    pixels = _to_uint8(array, is_torch)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(pixels))  # L, RGB or RGBA by the shape


def in_rgb_order(source: Any) -> Any:
    """An array whose channels are blue, green, red (and alpha), as OpenCV's, in the order of `from_array`.

    Arrays of other shapes are left to `from_array`, which refuses them. Raises ImageError for what is no array: files
    and pictures know their order.
    """
    if not hasattr(source, "__array__") or isinstance(source, (str, bytes)):
        kind = "a path" if isinstance(source, (str, PathLike)) else type(source).__name__
        raise ImageError(
            f"bgr=True is about arrays, whose order nothing tells, as OpenCV's; got {kind}, which knows its own. "
            "Leave it out for files, bytes and PIL images. A network that itself reads blue, green, red is loaded with "
            "bgr=True instead"
        )
    try:
        array = np.asarray(source)
    except Exception as error:
        raise_signals(error)
        return source  # `from_array` raises the error
    if array.ndim not in (3, 4) or array.shape[-1] not in (3, 4):
        return source
    return array[..., [2, 1, 0, 3][: array.shape[-1]]]


def _check_shape(array: Array, is_torch: bool) -> None:
    if array.dtype.kind == "S":
        raise _refused(
            array,
            "holds NumPy's byte strings, which lose zeros at their end, so they cannot hold images; pass a list of "
            "bytes, or paths as array.astype(str)",
        )
    if array.ndim == 4:
        raise _refused(
            array,
            "has four axes, like a batch; pass its images as a list, or a normalised (N, C, H, W) batch to model(x)",
        )
    if array.ndim == 1 and array.dtype == np.uint8:
        raise _refused(
            array,
            "has one axis; if it holds a file, as cv2.imencode gives it, pass its bytes: array.tobytes(). Pixels are "
            "(H, W) or (H, W, channels)",
        )
    if array.ndim not in (2, 3):
        raise _refused(array, f"has {array.ndim} axes; expected (H, W) or (H, W, channels)")
    if array.size == 0:
        raise _refused(array, "has no pixels")
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4):
        if array.shape[0] in (1, 3, 4):
            way_out = "image.permute(1, 2, 0)" if is_torch else "image.transpose(1, 2, 0)"
            raise _refused(array, f"looks like (C, H, W); channels must be last: {way_out}")
        raise _refused(array, f"has {array.shape[2]} channels; expected 1, 3 or 4 in (H, W, channels)")


def _to_uint8(array: Array, is_torch: bool) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "f":
        return _unit_to_uint8(array)
    cast = "to(torch.uint8)" if is_torch else "astype(np.uint8)"
    if array.dtype.kind == "b":
        raise _refused(array, f"is boolean; pass image.{cast} * 255")
    if array.dtype.kind in "iu":
        raise _refused(
            array,
            f"is neither uint8 nor float; pass image.{cast} if the values are in 0..255, "
            f"or (image // 257).{cast} if they are in 0..65535",
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
    if high > high.dtype.type(LARGEST):
        raise _refused(array, f"holds {high:.6g}; floats must lie in 0..1. If they are in 0..255, divide by 255")
    unit = np.minimum(array, 1) if high > 1 else array
    return (unit * 255).astype(np.uint8)


def _refused(array: Array, reason: str) -> ImageError:
    return ImageError(f"the array of shape {array.shape}, {array.dtype}, {reason}")
