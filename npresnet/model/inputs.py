"""Checks of the caller's arguments: arrays, images, counts, paths."""

from __future__ import annotations

import operator
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import GeneratorType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npresnet.errors import CheckpointError, ImageError, NpresnetError, ShapeError
from npresnet.images import Preprocess
from npresnet.network import Node
from npresnet.system.foreign import named
from npresnet.system.signals import raise_signals

Array = NDArray[Any]
AXES = "N, C, H, W"
_IN_COLUMNS = (str, bytes, os.PathLike, Mapping)


def as_batch(
    x: Any, in_channels: int, first: Node, to_array: Callable[[Any], Any] = np.asarray, axes: str = AXES
) -> Any:
    """x as an array (N, C, H, W) of any float dtype and strides; backends cast each image when copying it.

    first     the node that reads the images, for the message
    to_array  the backend's conversion: to a NumPy array, on a GPU also to a CuPy array
    axes      of x, in the words of the message

    Raises ShapeError for a wrong number of axes or channels, images without pixels, and dtypes other than floats.
    """
    try:
        array = to_array(x)
    except NpresnetError:
        raise
    except (ValueError, TypeError, RuntimeError, BufferError) as error:  # ragged lists; tensors with a gradient
        raise_signals(error)
        way_out = ". Cast it: x.float()" if "ScalarType" in str(error) else ""  # of torch: NumPy has no bfloat16
        raise ShapeError(
            f"model(x) expects one array ({axes}), and x cannot be converted to one: {error}{way_out}"
        ) from None
    if array.dtype.kind in "OUST":
        raise ShapeError(_no_numbers(x, array, axes))
    if array.dtype.kind != "f":
        raise ShapeError(_wrong_dtype(array, x))
    if array.ndim != len(axes.split(", ")):
        raise ShapeError(_wrong_axes(array, axes))
    if array.shape[1] != in_channels:
        raise ShapeError(_wrong_channels(array, in_channels, first, axes, _is_torch(x)))
    if 0 in array.shape[2:]:
        raise ShapeError(f"model(x) expects images of at least one pixel, got {array.shape} ({axes})")
    return array


def as_count(value: Any, what: str, least: int = 1, most: int = sys.maxsize) -> int:
    """An integer from `least` to `most`, as an int. Raises ShapeError, which is a ValueError."""
    try:
        count = operator.index(value)
    except TypeError:
        count = least - 1
    if count < least or isinstance(value, (bool, np.bool_)):
        raise ShapeError(f"{what} must be an integer >= {least}, got {value!r}")
    if count > most:
        raise ShapeError(f"{what} must be at most {most:,}, got {value!r}")
    return count


def is_one_image(source: Any) -> bool:
    """Whether `source` is one image rather than an iterable of images."""
    if isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview, Mapping)):
        return True  # a Mapping: Hugging Face's {"bytes", "path"}
    if isinstance(source, (list, tuple, GeneratorType)):
        return False
    if hasattr(source, "read") or hasattr(source, "__array__"):
        return True  # a file object, an array
    if hasattr(type(source), "__array_interface__"):  # a PIL image; its instance attribute would load and copy it
        return True
    return not isinstance(source, Iterable) or bool(named(source))  # images.read raises the error


def listed(images: Any) -> Any:
    """A column of a table, or an array of one axis, that holds paths or other images, as a list; others unchanged.

    Such arrays are NumPy's of strings or objects, and the columns of pandas, polars, pyarrow and their like; so is
    numpy.array([]), whose dtype is that of floats.
    """
    if type(images).__module__.startswith("pyarrow") and hasattr(images, "to_pylist") and hasattr(images, "type"):
        return _in_pieces(images)
    shape, dtype = getattr(images, "shape", None), getattr(images, "dtype", None)
    if isinstance(images, str) or not isinstance(shape, tuple) or dtype is None:
        return images
    kind = getattr(dtype, "kind", None)
    if shape == () and kind == "U":
        return images.item()
    if len(shape) != 1 or not isinstance(images, Iterable):
        return images
    if kind in ("U", "O", "T") or (kind == "f" and shape[0] == 0):
        return list(images)
    if kind == "S" and not isinstance(images, np.ndarray):  # NumPy's strips zeros
        return list(images)
    if kind is None and (shape[0] == 0 or isinstance(next(iter(images)), (*_IN_COLUMNS, type(None)))):
        return list(images)
    return images


def _in_pieces(column: Any) -> Iterator[Any]:
    """The values of a pyarrow column, whatever its size: bytes are copied out of it one after the other."""
    return (value.as_py() for value in column)


def sources_in(paths: Any) -> Iterable[Any]:
    """The image sources for `stream`: folders, also inside an iterable, are replaced by their image files.

    An iterable is consumed lazily. Raises ImageError immediately for a single path that matches nothing.
    """
    from npresnet import images

    if isinstance(paths, (str, os.PathLike)):
        return images.find(paths)
    return [paths] if is_one_image(paths) else _expand_folders(paths)


def _expand_folders(sources: Iterable[Any]) -> Iterator[Any]:
    from npresnet import images

    for source in sources:
        if isinstance(source, (str, os.PathLike)) and os.path.isdir(source):
            try:
                yield from images.find(source)
            except ImageError:
                yield source  # no images; reading it raises the error at its position
        else:
            yield source


def named_error(error: ImageError, source: Any, position: int, word: str = "image") -> ImageError:
    """The error of one image of a list, with its position unless the source is a path, which the error names.

    word  what one of the list is
    """
    if isinstance(source, (str, os.PathLike)):
        return error
    named = ImageError(f"{word} {position} of the list (the first is 0): {error}")
    named.__cause__ = error
    return named


def require_preprocess(how: Preprocess | None, channels: int) -> Preprocess:
    """The preprocessing of a network of that many input channels. Raises ShapeError if there is none for it."""
    if how is None or how.channels != channels:
        made = "none" if how is None else how.channels
        raise ShapeError(
            f"this network expects images of {channels} channels, but its preprocessing yields {made}; "
            "load it with preprocess={'mean': [...], 'std': [...]}, one number per channel (1 or 3), or pass "
            "arrays to model(x)"
        )
    return how


def path_text(path: object) -> str:
    """A path or a name as a string. Raises CheckpointError for other types."""
    if isinstance(path, (str, os.PathLike)):
        return os.fsdecode(path)
    foreign = named(path)
    raise CheckpointError(
        f"expected the path of a weight file or a name, such as 'resnet18.npz' or 'resnet18', got "
        f"{foreign or type(path).__name__}"
    )


def npz_path(path: str | os.PathLike[str]) -> Path:
    """The destination of `save` and `convert`. Raises CheckpointError unless it ends in .npz."""
    text = path_text(path)
    target = Path(text)
    if "\0" in text:
        raise CheckpointError(f"{text!r} is not a path: it contains a NUL; pass a name such as resnet18.npz")
    if target.suffix.lower() != ".npz":
        instead = target.with_suffix(".npz") if target.name else "a name such as resnet18.npz"
        raise CheckpointError(
            f"{text or repr(text)} does not end in .npz, the only format that npresnet writes; pass {instead}"
        )
    return target


def _no_numbers(x: Any, array: Array, axes: str) -> str:
    """A path, bytes, or whatever else `model.predict` may take."""
    expected = f"model(x) expects preprocessed images, one array ({axes}) of float32, got"
    foreign = named(x)
    if foreign:
        return f"{expected} {foreign}"
    shown = f" {x!r:.60}" if isinstance(x, (str, os.PathLike, bytes)) else ""
    shown = f" of dtype {array.dtype}" if x is array else shown
    return (
        f"{expected} {type(x).__name__}{shown}. For a path, bytes or other images use model.predict(images); for the "
        "logits alone model(model.preprocess(images))"
    )


def _is_torch(x: Any) -> bool:
    return type(x).__module__.partition(".")[0] == "torch"


def _wrong_dtype(array: Array, x: Any) -> str:
    if array.dtype == np.uint8:
        way_out = "Convert pixels by model.preprocess(image), or pass the image to model.predict"
    else:
        way_out = "Cast it: x.float()" if _is_torch(x) else "Cast it: x.astype(numpy.float32)"
    return f"model(x) expects normalised floats (float32; float64 and float16 are cast), got {array.dtype}. {way_out}"


def _wrong_axes(array: Array, axes: str) -> str:
    if axes != AXES:
        way_out = "T is the number of frames. For one clip (C, T, H, W) pass x[None]; for frames use model.predict"
        return f"model(x) expects five axes ({axes}), got {array.ndim}: {array.shape}. {way_out}"
    if array.ndim == 3:
        way_out = "For one image (C, H, W) pass x[None]; for an image (H, W, 3) use model.predict"
    else:
        way_out = "N is the number of images, C the channels, H and W height and width"
    return f"model(x) expects four axes ({AXES}), got {array.ndim}: {array.shape}. {way_out}"


def _wrong_channels(array: Array, in_channels: int, first: Node, axes: str, is_torch: bool) -> str:
    way_out = f"Each filter reads all channels: pass ({axes.replace('C', str(in_channels))})"
    if axes != AXES and array.shape[2] == in_channels:
        way_out = "The channels must be the second axis. If x is (N, T, C, H, W), pass x.swapaxes(1, 2)"
    elif axes == AXES and array.shape[3] == in_channels:
        turned = "x.permute(0, 3, 1, 2)" if is_torch else "x.transpose(0, 3, 1, 2)"
        way_out = f"The channels must be the second axis. If x is (N, H, W, C), pass {turned}"
    return (
        f"{first.name} expects {in_channels} input channels, got {array.shape[1]}\n"
        f"  input   {array.shape}   {axes}\n"
        f"  weight  {first.params['weight'].shape}   out_channels, in_channels, "
        f"{'kernel_time, ' if axes != AXES else ''}kernel_height, kernel_width\n"
        f"  {way_out}"
    )
