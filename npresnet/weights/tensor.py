"""Storage and Tensor: tensors as described in a file, before their data is read.

- A storage is a contiguous range of elements of one dtype. Several tensors may share one.
- A tensor is a view: element (i, j, ...) is at `offset + i*stride[0] + j*stride[1] + ...`, counted in elements.
- Offset, sizes and strides MUST be >= 0; the last element MUST lie inside the storage.
- A view MAY repeat elements (stride 0), but not beyond 64 MiB or the storage's size, whichever is larger.
- Arrays are read-only. They are views of the mapped file if the bytes are aligned and in native order; otherwise the
  storage is copied once, however many tensors share it.
- bfloat16 is the upper half of a float32 and is widened to float32; other dtypes are unchanged.
- Complex, quantised and 8-bit float tensors can be listed, not read.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from itertools import accumulate
from operator import mul
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from numpy.typing import NDArray

from npresnet.errors import CheckpointError
from npresnet.weights.budget import Budget
from npresnet.weights.source import Span, shown

Array = NDArray[Any]

EXPANSION_BYTES = 64 << 20
MAX_AXES = 32  # NumPy's own limit before 2.0
_MAX_EXTENT = 1 << 48  # of an axis, in elements: larger than any memory, far below overflow

NUMPY_DTYPES = {
    "float64": "f8", "float32": "f4", "float16": "f2",
    "int64": "i8", "int32": "i4", "int16": "i2", "int8": "i1",
    "uint64": "u8", "uint32": "u4", "uint16": "u2", "uint8": "u1",
    "bool": "b1", "bfloat16": "u2",
}  # fmt: skip
_ITEM_BYTES = {name: int(code[1:]) for name, code in NUMPY_DTYPES.items()} | {
    "complex32": 4, "complex64": 8, "complex128": 16,
    "qint8": 1, "quint8": 1, "qint32": 4, "quint4x2": 1, "quint2x4": 1,
}  # fmt: skip


class Storage:
    """`numel` contiguous elements of dtype `element`; `open` returns their bytes when first needed.

    open   None until the container's data has been located
    whole  the storage of which this is a part, starting at its element `skip`; None if it is not a part
    budget charged for what is copied; None in tests
    """

    def __init__(
        self,
        key: str,
        element: str,
        numel: int,
        big_endian: bool = False,
        open: Callable[[], Span] | None = None,
        whole: Storage | None = None,
        skip: int = 0,
        budget: Budget | None = None,
    ):
        self.key = key
        self.element = element
        self.numel = numel
        self.big_endian = big_endian
        self.open = open
        self.whole = whole
        self.skip = skip
        self.budget = budget
        self._elements: dict[str, Array] = {}

    @property
    def size_bytes(self) -> int:
        return self.numel * item_bytes(self.element)

    def part(self, key: str, offset: object, numel: object) -> Storage:
        """The part of `numel` elements from `offset` on. Raises CheckpointError if it is out of bounds."""
        if type(offset) is not int or type(numel) is not int or min(offset, numel) < 0 or offset + numel > self.numel:
            raise CheckpointError(
                f"storage {shown(key)} reaches outside storage {shown(self.key)}; damaged or hostile."
            )
        return Storage(key, self.element, numel, whole=self.whole or self, skip=self.skip + offset)

    def same_as(self, element: str, numel: int) -> Storage:
        """Return self. Raises CheckpointError if dtype or length differ from an earlier description of this storage."""
        if (self.element, self.numel) != (element, numel):
            raise CheckpointError(f"storage {shown(self.key)} is described inconsistently; damaged or hostile.")
        return self

    def elements(self, dtype: str) -> Array:
        """All elements, (numel,), read-only, in native byte order."""
        if self.whole is not None:  # a slice, not a copy: there may be thousands of parts
            if dtype != self.element:
                raise CheckpointError(f"part of a {self.element} storage is used as {shown(dtype)}; damaged.")
            return self.whole.elements(dtype)[self.skip : self.skip + self.numel]
        if dtype not in self._elements:
            self._elements[dtype] = self._decode(dtype)
            self._elements[dtype].flags.writeable = False
        return self._elements[dtype]

    def _decode(self, dtype: str) -> Array:
        if self.open is None:
            raise CheckpointError(f"the file holds no data for storage {shown(self.key)}; it is truncated or damaged.")
        span = self.open()
        whole = self.size_bytes // item_bytes(dtype) * item_bytes(dtype)
        raw: Array = np.frombuffer(span.buffer, np.uint8, whole, span.start)
        stored: Array = raw.view(np.dtype(NUMPY_DTYPES[dtype]).newbyteorder(">" if self.big_endian else "<"))
        if dtype not in ("bool", "bfloat16") and stored.dtype.isnative and stored.flags.aligned:
            return stored
        if self.budget is not None:
            self.budget.make(2 * whole if dtype == "bfloat16" else whole)
        if dtype == "bool":
            flags: Array = raw != 0  # bytes other than 0 and 1 are not valid NumPy bools
            return flags
        if dtype == "bfloat16":
            widened = stored.astype(np.uint32)
            widened <<= 16
            return widened.view(np.float32)
        return stored.astype(stored.dtype.newbyteorder("="))


class Tensor:
    """A strided view of a storage: offset and stride count elements."""

    def __init__(self, storage: Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], dtype: str):
        self.storage = storage
        self.offset = offset
        self.shape = shape
        self.stride = stride
        self.dtype = dtype

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        return self.numel * item_bytes(self.dtype)

    def check(self) -> None:
        """Raise CheckpointError for an invalid view: outside its storage, negative, or excessively large."""
        extents = (self.offset, *self.shape, *self.stride)
        if len(self.shape) != len(self.stride) or len(self.shape) > MAX_AXES:
            raise CheckpointError(f"a tensor has {len(self.shape)} sizes and {len(self.stride)} strides.")
        emptied = math.prod(n for n in self.shape if n) if self.numel == 0 else 0  # NumPy limits these, too
        if min(extents) < 0 or max(*extents, emptied) > _MAX_EXTENT:
            raise CheckpointError(f"a tensor's view is invalid: {self._view()}.")
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.stride, strict=True) if n)
        room = self.storage.size_bytes // item_bytes(self.dtype)
        if self.offset > room or (self.numel and last >= room):
            raise CheckpointError(
                f"a tensor reaches outside its storage: {self._view()} ends at element {last}, "
                f"but the storage holds {room}. The file is damaged or hostile."
            )
        if self.size_bytes > max(self.storage.size_bytes, EXPANSION_BYTES):
            raise CheckpointError(
                f"a tensor repeats stored elements too often: {self._view()} expands {self.storage.size_bytes:,} bytes "
                f"to {self.size_bytes:,}. If that is intended, save it with `.contiguous()`."
            )

    def array(self) -> Array:
        """The tensor as a read-only array of shape `shape`. Raises CheckpointError for a dtype that NumPy lacks."""
        if self.dtype not in NUMPY_DTYPES:
            raise CheckpointError(f"{_article(self.dtype)} tensor, {_WAY_OUT}")
        self.check()
        elements = self.storage.elements(self.dtype)
        if self.numel == 0:
            return elements[:0].reshape(self.shape)
        strides = [step * elements.itemsize for step in self.stride]
        view: Array = np.ndarray(self.shape, elements.dtype, elements, self.offset * elements.itemsize, strides)
        return view

    def _view(self) -> str:
        return f"offset {self.offset}, shape {shown(self.shape)}, strides {shown(self.stride)}"


_WAY_OUT = (
    "which is not supported. In PyTorch, save plain floats: `{name: t.float() for name, t in ...items()}`, of "
    "quantised and sparse tensors `t.dequantize()` and `t.to_dense()`."
)


class Unreadable(NamedTuple):
    """A tensor of an unsupported kind; `kind` is a noun such as "a quantised tensor"."""

    kind: str

    def array(self) -> Array:
        raise CheckpointError(f"{self.kind}, {_WAY_OUT}")


def item_bytes(dtype: str) -> int:
    """The size of one element in bytes. Raises CheckpointError for an unknown dtype."""
    size = _ITEM_BYTES.get(dtype) or (1 if dtype.startswith(("float8_", "float4_")) else None)
    if size is None:
        raise CheckpointError(f"the file holds elements of unknown dtype {shown(dtype)}.")
    return size


def is_sizes(value: object) -> TypeGuard[tuple[int, ...] | list[int]]:
    """A short tuple or list of integers. The length is checked first: thousands of tensors may share a long one."""
    return isinstance(value, (tuple, list)) and len(value) <= MAX_AXES and all(type(n) is int for n in value)


def dense(storage: Storage, shape: Iterable[int], *, fortran: bool = False) -> Tensor:
    """A tensor that covers its storage, in C order (last axis fastest) or Fortran order (first axis fastest).

    Raises CheckpointError for more axes than NumPy allows.
    """
    sizes = tuple(shape)
    if len(sizes) > MAX_AXES:
        raise CheckpointError(f"a tensor has {len(sizes):,} axes; the limit is {MAX_AXES}.")
    order = sizes if fortran else sizes[::-1]
    steps = [*accumulate(order[:-1], mul, initial=1)][: len(order)] if 0 not in sizes else [0] * len(order)
    return Tensor(storage, 0, sizes, tuple(steps if fortran else steps[::-1]), storage.element)


def numpy_dtype(code: str) -> tuple[str, bool] | None:
    """(dtype's name, big-endian?) of a NumPy code such as "<f4" or ">i8"; None for strings, objects and records."""
    order, plain = (code[0], code[1:]) if code[:1] in tuple("<>|=") else ("=", code)
    if plain == "?":
        plain = "b1"
    for name, known in NUMPY_DTYPES.items():
        if plain == known:
            return name, order == ">" or (order == "=" and sys.byteorder == "big")
    return {"c8": ("complex64", False), "c16": ("complex128", False)}.get(plain)


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
