"""TensorMap: what Hopper's copy engine (TMA) must know of a tensor, as plain data; and CUDA's encoding of it.

One copy brings a box of a tensor into shared memory. Two kinds of box:

    tile     rows x columns of a matrix; outside the matrix zeros
    im2col   channels of so many pixels of an NHWC image batch, read in the order of a convolution's output positions.
             A pixel is a base position plus an offset that each copy gives, (s * dilation_w, r * dilation_h) for tap
             (r, s). Base positions walk a bounding box of the image in steps of the stride, along W, then H, then the
             images. The box is the image moved by two corners, so that it holds one base position an output:

                 lower = -padding          upper = padding - dilation * (kernel_size - 1)
                 positions: lower, lower + stride, ... up to size - 1 + upper

A launcher puts a TensorMap among a launch's arguments; binding the launch calls `encode`, for a machine with a
GPU. The tests' emulator has its own encoding. The address is part of it: a map holds for one place in memory.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from npresnet.cuda.elements import Element
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.runtime.driver import open_driver
from npresnet.errors import DeviceError
from npresnet.network import Array
from npresnet.window import Window

SLAB_BYTES = 128  # a box's row in shared memory, what the 128-byte swizzle permutes
MAP_BYTES = 128  # sizeof(CUtensorMap)
MAP_ALIGNMENT = 64
ENCODED = np.dtype([("opaque", np.uint64, MAP_BYTES // 8)])


class TensorMap(NamedTuple):
    """A tensor and the box that one copy takes of it; dimensions innermost first.

    address          of the first element, on 16 bytes
    element          what it is made of
    dims             (columns, rows) of a matrix, or (C, W, H, N) of an image batch
    strides          bytes from one to the next along each dimension but the first, multiples of 16
    box              (columns, rows) of a tile; (channels, pixels) of im2col
    element_strides  of im2col: the step of base positions along each dimension, (1, stride_w, stride_h, 1)
    lower, upper     of im2col: the bounding box's corners, (w, h); of a tile ()
    swizzle          128: 16-byte chunk c of row r goes to chunk c ^ r % 8. The only one here
    """

    address: int
    element: Element
    dims: tuple[int, ...]
    strides: tuple[int, ...]
    box: tuple[int, int]
    element_strides: tuple[int, ...]
    lower: tuple[int, ...] = ()
    upper: tuple[int, ...] = ()
    swizzle: int = 128

    @property
    def is_im2col(self) -> bool:
        """Whether it walks an image batch, rather than a matrix."""
        return bool(self.lower)


def slab(element: Element) -> int:
    """Elements in a row of a box."""
    return SLAB_BYTES // element.item_bytes


def tile(address: int, element: Element, rows: int, columns: int, box_rows: int) -> TensorMap:
    """Tiles of box_rows x 128 bytes of a matrix (rows, columns), row by row without gaps."""
    box = (slab(element), box_rows)
    return TensorMap(address, element, (columns, rows), (columns * element.item_bytes,), box, (1, 1))


def im2col(address: int, element: Element, shape: ConvShape, box_pixels: int) -> TensorMap:
    """box_pixels rows x 128 bytes of a convolution's im2col matrix, from its NHWC input."""
    lower, upper = corners(shape.window)
    dims = (shape.in_channels, shape.width, shape.height, shape.images)
    pixel_bytes = shape.in_channels * element.item_bytes
    strides = (pixel_bytes, pixel_bytes * shape.width, pixel_bytes * shape.width * shape.height)
    stride_h, stride_w = shape.window.stride
    box = (slab(element), box_pixels)
    return TensorMap(address, element, dims, strides, box, (1, stride_w, stride_h, 1), lower, upper)


def corners(window: Window) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(lower, upper), each (w, h)."""
    lower = tuple(-p for p in window.padding)
    upper = tuple(p + 1 - extent for p, extent in zip(window.padding, window.extent, strict=True))
    return lower[::-1], upper[::-1]


def takes_window(window: Window) -> bool:
    """Whether im2col's fields can hold this window: corners are signed bytes, offsets bytes, steps 1 to 8."""
    lower, upper = corners(window)
    return (
        all(-128 <= corner <= 127 for corner in (*lower, *upper))
        and all(extent - 1 <= 255 for extent in window.extent)
        and all(stride <= 8 for stride in window.stride)
    )


def problems(tensor: TensorMap) -> list[str]:
    """What the copy engine would refuse, in words; cuTensorMapEncode says no more than "invalid argument"."""
    columns, rows = tensor.box
    rules = {
        f"the address {tensor.address:#x} is not a multiple of 16": tensor.address % 16 == 0,
        f"strides {tensor.strides} are not multiples of 16 below 2^40": _all_in(tensor.strides, 1, 2**40 - 1)
        and all(stride % 16 == 0 for stride in tensor.strides),
        f"dimensions {tensor.dims} are not within 1 .. 2^32": _all_in(tensor.dims, 1, 2**32),
        f"a box's row is {columns * tensor.element.item_bytes} bytes, the swizzle permutes {SLAB_BYTES}": (
            columns * tensor.element.item_bytes == SLAB_BYTES and tensor.swizzle == SLAB_BYTES
        ),
        f"a box of {rows} rows": 1 <= rows <= (1024 if tensor.is_im2col else 256),
        f"steps {tensor.element_strides} are not within 1 .. 8": _all_in(tensor.element_strides, 1, 8),
        f"corners {tensor.lower}, {tensor.upper} are not signed bytes": _all_in(
            (*tensor.lower, *tensor.upper), -128, 127
        ),
    }
    return [rule for rule, kept in rules.items() if not kept]


def check(tensor: TensorMap) -> None:
    """Raises DeviceError, which says what the copy engine would refuse."""
    if found := problems(tensor):
        kind = "im2col" if tensor.is_im2col else "tile"
        raise DeviceError(f"a tensor map ({kind}, {tensor.element.name}) cannot be encoded: {'; '.join(found)}")


def encode(tensor: TensorMap) -> Array:
    """The map as a kernel's argument: one item of 128 bytes, passed by value as `const __grid_constant__ TensorMap`.

    Needs the NVIDIA driver's library. Raises DeviceError where there is none, or it refuses.
    """
    check(tensor)
    driver, encoded = _driver(), aligned_item()
    common = (encoded.ctypes.data, _data_type(tensor.element), len(tensor.dims), tensor.address)
    dims, strides = _array(ctypes.c_uint64, tensor.dims), _array(ctypes.c_uint64, tensor.strides)
    steps, modes = _array(ctypes.c_uint32, tensor.element_strides), (_NO_INTERLEAVE, _SWIZZLE_128, _L2_256, _ZEROS)
    if tensor.is_im2col:
        lower, upper = _array(ctypes.c_int, tensor.lower), _array(ctypes.c_int, tensor.upper)
        status = driver.cuTensorMapEncodeIm2col(*common, dims, strides, lower, upper, *tensor.box, steps, *modes)
    else:
        box = _array(ctypes.c_uint32, tensor.box)
        status = driver.cuTensorMapEncodeTiled(*common, dims, strides, box, steps, *modes)
    if status:
        raise DeviceError(f"the NVIDIA driver does not encode {tensor}: {_words(driver, status)}")
    return encoded


def aligned_item(dtype: np.dtype[np.void] = ENCODED) -> Array:
    """One zeroed item that begins on 64 bytes, as the driver wants it."""
    room = np.zeros(dtype.itemsize + MAP_ALIGNMENT, np.uint8)
    start = -room.ctypes.data % MAP_ALIGNMENT
    return room[start : start + dtype.itemsize].view(dtype)


# CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill of cuda.h
_NO_INTERLEAVE, _SWIZZLE_128, _L2_256, _ZEROS = 0, 3, 3, 0
# CUtensorMapDataType: 16-bit numbers are copied bit by bit, tf32 is rounded on the way, to the nearest, ties to even
_TYPES = {"float16": 1, "bfloat16": 1, "float32": 7, "tf32": 11}


def _data_type(element: Element) -> int:
    return _TYPES[element.name]


def _all_in(values: Sequence[int], low: int, high: int) -> bool:
    return all(low <= value <= high for value in values)


def _array(kind: type[ctypes._SimpleCData[int]], values: Sequence[int]) -> ctypes.Array[ctypes._SimpleCData[int]]:
    return (kind * len(values))(*values)


@functools.cache
def _driver() -> ctypes.CDLL:
    """The NVIDIA driver's library; both functions have the signatures of cuda.h."""
    driver = open_driver("tensor maps", "12", "cuTensorMapEncodeTiled", "cuTensorMapEncodeIm2col")
    encoders = (driver.cuTensorMapEncodeTiled, driver.cuTensorMapEncodeIm2col)
    # (map, type, rank, address, dims, strides, box | corners and box, steps, interleave, swizzle, L2 promotion, fill)
    pointer, word = ctypes.c_void_p, ctypes.c_uint32
    front, back = (pointer, word, word, pointer, pointer, pointer), (pointer, word, word, word, word)
    encoders[0].argtypes = (*front, pointer, *back)
    encoders[1].argtypes = (*front, pointer, pointer, word, word, *back)
    return driver


def _words(driver: ctypes.CDLL, status: int) -> str:
    text = ctypes.c_char_p()
    driver.cuGetErrorString(status, ctypes.byref(text))
    return f"{(text.value or b'unknown error').decode()} ({status})"
