"""What callers hand over: arrays, images, counts, paths; checked here, once, and refused in plain words."""

from __future__ import annotations

import operator
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npresnet.errors import CheckpointError, ImageError, NpresnetError, ShapeError
from npresnet.network import Node

Array = NDArray[Any]
AXES = "N, C, H, W"


def as_batch(x: Any, in_channels: int, first: Node, to_array: Callable[[Any], Any] = np.asarray) -> Any:
    """x as an array (N, C, H, W) of floats, any precision and strides: backends cast each image as they copy it in.

    first     the node that reads the images, for the message
    to_array  what the backend makes of x: NumPy's array, or on a GPU also CuPy's

    Raises ShapeError for any other number of axes, another number of channels, images without pixels, and for dtypes
    that are not floats.
    """
    try:
        array = to_array(x)
    except NpresnetError:
        raise
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists; tensors on a GPU or with a gradient
        raise ShapeError(f"model(x) takes one array ({AXES}), but no array can be made of this: {error}") from None
    if array.dtype.kind != "f":
        raise ShapeError(_wrong_dtype(array))
    if array.ndim != 4:
        raise ShapeError(_wrong_axes(array))
    if array.shape[1] != in_channels:
        raise ShapeError(_wrong_channels(array, in_channels, first))
    if 0 in array.shape[2:]:
        raise ShapeError(f"model(x) takes images of at least one pixel, got {array.shape} ({AXES})")
    return array


def as_count(value: Any, what: str, least: int = 1, most: int = sys.maxsize) -> int:
    """A whole number from `least` to `most`, as a plain int. Raises ShapeError, which is a ValueError."""
    try:
        count = operator.index(value)
    except TypeError:
        count = least - 1
    if count < least or isinstance(value, (bool, np.bool_)):
        raise ShapeError(f"{what} is a whole number from {least} on, got {value!r}")
    if count > most:
        raise ShapeError(f"{what} is {most:,} at most, got {value!r}")
    return count


def is_one_image(source: Any) -> bool:
    """Whether `predict` was given one image rather than an iterable of images."""
    if isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview)):
        return True
    if hasattr(source, "read") or hasattr(source, "__array__"):
        return True  # a file object, an array
    if hasattr(type(source), "__array_interface__"):  # a PIL image, which to ask itself would load and copy
        return True
    return not isinstance(source, Iterable)  # images.read says what is wrong with it


def sources_in(paths: Any) -> Iterable[Any]:
    """The image sources that `stream` was given: a folder, by itself or in an iterable, stands for its image files.

    An iterable is drawn lazily. Raises ImageError at once for one path that stands for nothing.
    """
    from npresnet import images

    if isinstance(paths, (str, os.PathLike)):
        return images.find(paths)
    return [paths] if is_one_image(paths) else _unfolded(paths)


def _unfolded(sources: Iterable[Any]) -> Iterator[Any]:
    from npresnet import images

    for source in sources:
        if isinstance(source, (str, os.PathLike)) and os.path.isdir(source):
            try:
                yield from images.find(source)
            except ImageError:
                yield source  # without images; to read it will say so, in its place
        else:
            yield source


def named_error(error: ImageError, source: Any, position: int) -> ImageError:
    """The error of one image of a list, told so that it can be found: a path names itself, others have a position."""
    if isinstance(source, (str, os.PathLike)):
        return error
    named = ImageError(f"image {position} of the list (the first is 0): {error}")
    named.__cause__ = error
    return named


def path_text(path: str | os.PathLike[str]) -> str:
    """A path or a name as text. Raises CheckpointError for anything else."""
    try:
        return os.fsdecode(path)
    except TypeError:
        raise CheckpointError(
            f"weights come from a file or by a name, such as 'resnet18.npz' or 'resnet18', not from a "
            f"{type(path).__name__}"
        ) from None


def npz_path(path: str | os.PathLike[str]) -> Path:
    """Where `save` and `convert` write. Raises CheckpointError for a name that does not end in .npz."""
    text = path_text(path)
    target = Path(text)
    if "\0" in text:
        raise CheckpointError(f"{text!r} is no path, for it holds a NUL; give a name such as resnet18.npz")
    if target.suffix.lower() != ".npz":
        instead = target.with_suffix(".npz") if target.name else "a name such as resnet18.npz"
        raise CheckpointError(
            f"{text or repr(text)} does not end in .npz, the one format that npresnet writes; give {instead}"
        )
    return target


def _wrong_dtype(array: Array) -> str:
    if array.dtype == np.uint8:
        way_out = "Pixels become such numbers by model.preprocess(image), or give the image to model.predict"
    else:
        way_out = "Cast it: x.astype(numpy.float32)"
    return f"model(x) takes normalised floats (float32; float64 and float16 are cast), got {array.dtype}. {way_out}"


def _wrong_axes(array: Array) -> str:
    if array.ndim == 3:
        way_out = "For one image (C, H, W) give x[None]; for a picture (H, W, 3) use model.predict"
    else:
        way_out = "N is the number of images, C the channels, H and W height and width"
    return f"model(x) takes four axes ({AXES}), got {array.ndim}: {array.shape}. {way_out}"


def _wrong_channels(array: Array, in_channels: int, first: Node) -> str:
    way_out = f"Each filter sees all channels of an image: give (N, {in_channels}, H, W)"
    if array.shape[3] == in_channels:
        way_out = "The channels come second. Is this (N, H, W, C)? Give x.transpose(0, 3, 1, 2)"
    return (
        f"{first.name} expects {in_channels} input channels, got {array.shape[1]}\n"
        f"  input   {array.shape}   {AXES}\n"
        f"  weight  {first.params['weight'].shape}   out_channels, in_channels, kernel_height, kernel_width\n"
        f"  {way_out}"
    )
