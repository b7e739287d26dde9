"""Arrays between two poisoned zones: a kernel that reads or writes beside its tensors is found out."""

from __future__ import annotations

import ctypes
import mmap
import weakref

import numpy as np

from npresnet.network import Array

GUARD_BYTES = 4096
POISON = 0xFF  # NaN in float32, float16 and bfloat16; -1 as an integer

_zones: dict[int, tuple[weakref.ref[Array], Array]] = {}


def guarded(array: Array) -> Array:
    """A copy of `array` between two poisoned zones, aligned to 256 bytes as device memory is."""
    array = np.ascontiguousarray(array)
    memory = np.full(array.nbytes + 2 * GUARD_BYTES + 256, POISON, np.uint8)
    start = GUARD_BYTES + -(memory.ctypes.data + GUARD_BYTES) % 256
    inside = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    inside[...] = array
    _zones[id(inside)] = (weakref.ref(inside), memory)
    return inside


def poisoned(shape: tuple[int, ...], dtype: np.typing.DTypeLike) -> Array:
    """A guarded array of NaN (all bits 1), for a kernel to write all of."""
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return guarded(np.full(count, POISON, np.uint8).view(dtype).reshape(shape))


def at_the_end(array: Array) -> Array:
    """A copy of `array` that ends, but for 15 bytes at most, where pages begin that nobody may touch.

    There a kernel that reads behind it fails as well, though it makes nothing of what it reads.
    """
    array = np.ascontiguousarray(array)
    size = -(-array.nbytes // 16) * 16
    end = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = np.frombuffer(mmap.mmap(-1, end + mmap.PAGESIZE), np.uint8)
    forbidden = ctypes.c_void_p(memory.ctypes.data + end), ctypes.c_size_t(mmap.PAGESIZE), 0
    assert ctypes.CDLL(None).mprotect(*forbidden) == 0
    inside = memory[end - size :][: array.nbytes].view(array.dtype).reshape(array.shape)
    inside[...] = array
    return inside


def check_guards(*arrays: Array) -> None:
    """Raises AssertionError where something was written beside one of `arrays`, which `guarded` made."""
    for array in arrays:
        made, memory = _zones[id(array)]
        assert made() is array, "this array was not made by guarded()"
        start = array.ctypes.data - memory.ctypes.data
        outside = np.concatenate([memory[:start], memory[start + array.nbytes :]])
        wrong = np.flatnonzero(outside != POISON)
        if len(wrong):
            offset = int(wrong[0]) if wrong[0] < start else int(wrong[0]) + array.nbytes
            raise AssertionError(f"{len(wrong)} bytes were written beside the array, the first at {offset - start:+d}")
